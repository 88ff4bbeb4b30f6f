"""Where a net spends its time on a device: the latencies of its layers, measured there.

A profile explains a latency, it is none: every layer is timed by itself, and nothing is proven.
"""

import contextlib
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final, Literal

import msgspec

import edgepose
from edgepose.bench.place import CALL_S, on_device, soon
from edgepose.bench.store import default_folder
from edgepose.bundle import Bundle
from edgepose.devices.inventory import find_device
from edgepose.errors import DeviceError
from edgepose.files import write_atomic
from edgepose.runners.result import RunResult

SCHEMA_VERSION: Final = 1
DEFAULT_PASSES = 20
_WARMUP = 3
_LIMIT_S = 1800.0


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """``ns``: its latency in every pass, or the mean of all, where the runtime tells no more."""

    name: str
    type: str
    ns: tuple[int, ...]

    @property
    def median_ms(self) -> float:
        return median(self.ns) / 1e6


class LayerProfile(msgspec.Struct, frozen=True, kw_only=True):
    """All layers in the order of execution. Where ``emulated``, no time is that of a device."""

    schema_version: Literal[1] = SCHEMA_VERSION
    created_at: str
    edgepose_version: str
    model: str
    target: str
    recipe: str
    engine: str
    bundle_id: str
    device: str
    emulated: bool
    threads: int
    cpus: tuple[int, ...]
    runtime_versions: dict[str, str]
    layers: tuple[Layer, ...]

    @property
    def total_ms(self) -> float:
        """The sum of the layers' medians: near the net's latency, but not it."""
        return sum(layer.median_ms for layer in self.layers)


def profile(
    bundle: Bundle,
    device: str = "local",
    *,
    threads: int | None = None,
    passes: int = DEFAULT_PASSES,
    folder: Path | None = None,
) -> tuple[LayerProfile, Path]:
    """Time every layer of ``bundle`` on ``device`` in ``passes`` passes, and keep the profile.

    Returns it and its file, in ``profiles`` below the records' folder, or ``folder``. Raises
    UsageError, DeviceError, LeaseError, and RunError where the runner cannot profile.
    """
    entry = find_device(device)
    purpose = f"profile {bundle.name}"
    with on_device(bundle, entry, threads, _LIMIT_S + CALL_S, purpose) as place:
        stamp = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"
        run = place.run(f"{stamp}-profile")
        try:
            settings = {"warmup_min": _WARMUP, "warmup_max": _WARMUP, "runs": passes}
            result = place.finish(run, purpose, "profile", _LIMIT_S, 0.5, **settings)
        finally:
            with contextlib.suppress(DeviceError):  # it must not hide the error before it
                place.transport.run(["rm", "-rf", run.folder], soon())
        threads = place.threads
    header, manifest = result.one("header"), bundle.manifest
    found = LayerProfile(
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        edgepose_version=edgepose.__version__,
        model=manifest.model.name,
        target=manifest.target,
        recipe=manifest.recipe.name,
        engine=manifest.recipe.engine,
        bundle_id=manifest.bundle_id,
        device=entry.name,
        emulated=entry.emulated,
        threads=threads,
        cpus=tuple(header["cpus"] or ()),
        runtime_versions=header["versions"],
        layers=read_layers(result),
    )
    place_of = folder or default_folder() / "profiles"
    path = place_of / f"{manifest.bundle_id}-{entry.name}-{stamp}.json"
    write_atomic(path, msgspec.json.format(msgspec.json.encode(found), indent=1))
    return found, path


def read_layers(result: RunResult) -> tuple[Layer, ...]:
    return tuple(
        Layer(name=line["name"], type=line["type"], ns=tuple(line["ns"]))
        for line in result.all("layer")
    )


def slowest(found: LayerProfile, count: int) -> list[Layer]:
    return sorted(found.layers, key=lambda layer: -layer.median_ms)[:count]


def by_type(found: LayerProfile) -> list[tuple[str, int, float]]:
    """Type, number of its layers, sum of their medians in ms; the slowest type first."""
    totals: dict[str, list[float]] = {}
    for layer in found.layers:
        totals.setdefault(layer.type, []).append(layer.median_ms)
    rows = [(kind, len(times), sum(times)) for kind, times in totals.items()]
    return sorted(rows, key=lambda row: -row[2])
