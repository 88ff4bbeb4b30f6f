"""What the pipeline stands on, where edgepose's own Python runs on a device: beside an engine."""

from edgepose.errors import ToolchainError
from edgepose.fingerprint import package_version

LEAST_PYTHON = (3, 11)
# Module → the package that brings it.
MODULES = {
    "numpy": "numpy",
    "cv2": "opencv-python-headless",
    "msgspec": "msgspec",
    "platformdirs": "platformdirs",
}
# What bottom-up nets want beside; it is not sent: for arm64 it exists as source only.
BOTTOM_UP = {"munkres": "munkres"}


def pipeline_requirements() -> dict[str, str]:
    """Module → exact requirement: the versions of this host, but numpy's, which engines choose.

    Raises ToolchainError where one is not installed here.
    """
    found = {}
    for module, package in MODULES.items():
        version = package_version(package)
        if version is None:
            raise ToolchainError(
                f"this host lacks {package}, so its version for a device is not known",
                hint=f"pip install {package}",
            )
        if module != "numpy":
            found[module] = f"{package}=={version}"
    return found
