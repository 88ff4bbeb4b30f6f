"""The exact versions of TVM that edgepose drives, and whether they are installed here."""

from edgepose.engines.base import ToolStatus
from edgepose.engines.packages import check_packages
from edgepose.runners.native_tvm import FFI_VERSION, TVM_VERSION

PINS = {"apache-tvm": TVM_VERSION, "apache-tvm-ffi": FFI_VERSION}
TUNING_PACKAGES = ("psutil", "cloudpickle", "tornado", "xgboost-cpu")
_WHY = {
    "apache-tvm": "TVM renames its modules from version to version",
    "apache-tvm-ffi": "0.1.15 dies with a segmentation fault when it stores a tuning record",
}


def check_pins() -> ToolStatus:
    """Status of the compiler; a wrong version counts as missing."""
    status = check_packages(*PINS, extra="tvm")
    wrong = {
        name: found
        for name, pin in PINS.items()
        if (found := status.versions.get(name)) is not None and found != pin
    }
    if not wrong:
        return status
    found_and_why = (f"{name} is {found}, but {_WHY[name]}." for name, found in wrong.items())
    return ToolStatus(
        available=False,
        versions=status.versions,
        missing=(*(f"{name}=={PINS[name]}" for name in wrong), *status.missing),
        fix=" ".join([*found_and_why, "Install the pins with `pip install 'edgepose[tvm]'`."]),
    )


def check_tuner() -> ToolStatus:
    """Status of the compiler and of what only the tuner needs beside it."""
    pins, packages = check_pins(), check_packages(*TUNING_PACKAGES, extra="tvm")
    return ToolStatus(
        available=pins.available and packages.available,
        versions={**pins.versions, **packages.versions},
        missing=(*pins.missing, *packages.missing),
        fix=pins.fix or packages.fix,
    )
