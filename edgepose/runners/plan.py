"""The host's side of the runner protocol: the plan (see PROTOCOL.md)."""

from typing import Any, Literal

import msgspec

from edgepose.graph.spec import TensorSpec

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
    mode: Literal["prove", "time", "profile", "trace"]
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

    def encode(self) -> bytes:
        return msgspec.json.encode(self)
