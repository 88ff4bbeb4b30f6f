"""The host's side of the runner protocol: the plan (see PROTOCOL.md)."""

from typing import Any, Literal

import msgspec

from edgepose.graph.spec import TensorSpec
from edgepose.zoo import ModelSpec

PROTOCOL = 1


class GoldenPaths(msgspec.Struct, frozen=True):
    """One golden case: tensor name → path of its ``.npy`` file where the runner runs."""

    name: str
    inputs: dict[str, str]
    outputs: dict[str, str]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What one runner process does; field by field as PROTOCOL.md says."""

    protocol: int = PROTOCOL
    run_id: str
    mode: Literal["prove", "time", "profile", "trace", "infer", "stages"]
    engine: str
    artifact: dict[str, str]
    options: dict[str, Any]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    golden: tuple[GoldenPaths, ...]
    sha256: dict[str, str]
    threads: int
    cpus: tuple[int, ...] | None
    gate: dict[str, float]
    warmup_min: int = 0
    warmup_max: int = 0
    runs: int = 0
    sensor_period_s: float = 0.0
    repeats: int = 1
    reference_options: dict[str, Any] | None = None
    follow: tuple[str, ...] = ()
    batch: dict[str, str] | None = None
    decoder: dict[str, Any] | None = None

    def encode(self) -> bytes:
        return msgspec.json.encode(self)


def decoder_of(model: ModelSpec) -> dict[str, Any] | None:
    """A plan's ``decoder`` for the model; None where the model does not say how it is decoded."""
    if model.decoder is None or model.input is None:
        return None
    return {
        **msgspec.to_builtins(model.decoder),
        "keypoints": model.keypoints,
        "input": {"height": model.input.height, "width": model.input.width},
    }
