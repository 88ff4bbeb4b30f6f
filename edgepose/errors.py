"""Every error that edgepose raises on purpose.

EdgePoseError                 exit code 1
├── UsageError                2   an argument or a name that we do not know
│   └── ConfigError           2   a TOML/JSON file that does not say what it must
├── BuildError                3   export, simplification or compilation failed
│   ├── UnsupportedModelError 3   dynamic shapes, foreign operators, too new an opset
│   ├── WeightsError          3   a weights file that is unsafe or does not fit the model
│   ├── DownloadError         3   a published file cannot be fetched, or is another one
│   └── ToolchainError        3   a compiler or runtime is missing on this host
├── ProofError                4   the artifact's outputs are not the model's outputs
├── BundleError               5   a bundle is corrupt, truncated or of an unknown schema
├── RecordsError              5   tuning records are damaged, or not of this TVM or graph
├── DeviceError               6   the board cannot be used
│   ├── UnreachableError      6   no answer, or the link died
│   ├── AuthenticationError   6   the board refused our key
│   ├── HostKeyError          6   the board's host key is unknown or has changed
│   ├── DeviceFullError       6   no space left on the board
│   ├── RuntimeMissingError   6   python, numpy or the engine's runtime is absent there
│   └── LeaseError            6   somebody else holds the board
└── RunError                  7   a run died, or the measurement was refused

Each error carries a ``hint``: the next thing to do, in one sentence.
"""


class EdgePoseError(Exception):
    """Root of all errors; ``str(error)`` is one paragraph, ``error.hint`` the way out."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(EdgePoseError):
    exit_code = 2


class ConfigError(UsageError):
    pass


class BuildError(EdgePoseError):
    exit_code = 3


class UnsupportedModelError(BuildError):
    pass


class WeightsError(BuildError):
    pass


class DownloadError(BuildError):
    pass


class ToolchainError(BuildError):
    pass


class ProofError(EdgePoseError):
    exit_code = 4


class BundleError(EdgePoseError):
    exit_code = 5


class RecordsError(EdgePoseError):
    exit_code = 5


class DeviceError(EdgePoseError):
    exit_code = 6


class UnreachableError(DeviceError):
    pass


class AuthenticationError(DeviceError):
    pass


class HostKeyError(DeviceError):
    pass


class DeviceFullError(DeviceError):
    pass


class RuntimeMissingError(DeviceError):
    pass


class LeaseError(DeviceError):
    pass


class RunError(EdgePoseError):
    exit_code = 7
