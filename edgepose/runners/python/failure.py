"""The runner's exit codes (see PROTOCOL.md)."""

BAD_PLAN = 10
CORRUPT_FILE = 11
RUNTIME_MISSING = 12
LOAD_FAILED = 13
PROOF_FAILED = 14
INFERENCE_FAILED = 15


class RunnerFailure(Exception):
    """Ends a run with ``code`` and one sentence."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
