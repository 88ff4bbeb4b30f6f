"""From a human-pose model in PyTorch to a proven latency on a real edge device.

The public names are loaded when they are first used, so that importing edgepose stays cheap.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgepose.bench.compare import compare
    from edgepose.bench.race import race
    from edgepose.bench.session import bench
    from edgepose.build import build
    from edgepose.bundle import load_bundle
    from edgepose.errors import EdgePoseError
    from edgepose.graph.create import create_model
    from edgepose.pose.pipeline import Pipeline, PipelineSettings
    from edgepose.zoo import list_models, model_spec

__version__ = "0.1.0"
__all__ = [
    "EdgePoseError",
    "Pipeline",
    "PipelineSettings",
    "__version__",
    "bench",
    "build",
    "compare",
    "create_model",
    "list_models",
    "load_bundle",
    "model_spec",
    "race",
]

_HOMES = {
    "EdgePoseError": "edgepose.errors",
    "Pipeline": "edgepose.pose.pipeline",
    "PipelineSettings": "edgepose.pose.pipeline",
    "bench": "edgepose.bench.session",
    "build": "edgepose.build",
    "compare": "edgepose.bench.compare",
    "create_model": "edgepose.graph.create",
    "list_models": "edgepose.zoo",
    "load_bundle": "edgepose.bundle",
    "model_spec": "edgepose.zoo",
    "race": "edgepose.bench.race",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'edgepose' has no attribute {name!r}")


class _Package(ModuleType):
    """Keeps ``edgepose.build`` and ``edgepose.bench`` functions when their modules are imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
