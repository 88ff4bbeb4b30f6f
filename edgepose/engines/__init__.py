"""Engines: one module per compiler/runtime pair, found by name."""

from importlib import import_module
from typing import cast

from edgepose.engines.base import Engine
from edgepose.errors import ToolchainError

_MODULES = {
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "ncnn": "ncnn",
    "tvm": "tvm.engine",
}
ENGINES = tuple(_MODULES)


def find_engine(name: str) -> Engine:
    """The engine ``name``. Its toolchain is not imported yet.

    Raises ToolchainError for an engine that this version of edgepose does not drive.
    """
    if name not in _MODULES:
        raise ToolchainError(
            f"this version of edgepose does not drive the engine {name!r}",
            hint=f"Use a recipe of one of: {', '.join(_MODULES)}.",
        )
    return cast(Engine, import_module(f"edgepose.engines.{_MODULES[name]}").ENGINE)


def usable_engine(name: str) -> Engine:
    """Like ``find_engine``, and its toolchain is installed here, else ToolchainError."""
    engine = find_engine(name)
    status = engine.check()
    if not status.available:
        raise ToolchainError(
            f"the engine {name!r} needs {', '.join(status.missing)}, which this host lacks",
            hint=status.fix,
        )
    return engine
