"""Everything one measurement produced: a line of records.jsonl, never edited afterwards.

Schema versions: 1, the first.
"""

from typing import Any, Final, Literal

import msgspec

from edgepose.bench.plan import Effort
from edgepose.bench.statistics import Summary
from edgepose.engines.base import Tuning
from edgepose.prove.proof import Proof

SCHEMA_VERSION: Final = 1


class SensorReading(msgspec.Struct, frozen=True, kw_only=True):
    """One reading ``at_ms`` after the sensors' start; what the board hides is absent.

    ``clocks_mhz`` by core (``cpu0``); ``throttled`` is the Raspberry Pi's bit mask as it prints it.
    """

    at_ms: float
    temperatures_c: dict[str, float]
    clocks_mhz: dict[str, float]
    throttled: str | None


class RunSamples(msgspec.Struct, frozen=True, kw_only=True):
    """One process: every raw latency in ns, ``wall_ns`` and ``cpu_ns`` of the timed loop.

    ``converged`` is None where the effort asks for no convergence test; ``started_at`` is ISO UTC;
    ``outputs_steady``: the last inference gave bit for bit what the first one gave;
    ``thermal_status``: a phone's own, 0 to 6, right after the process.
    """

    run_id: str
    process_index: int
    warmup_ns: tuple[int, ...]
    samples_ns: tuple[int, ...]
    converged: bool | None
    outputs_steady: bool
    wall_ns: int
    cpu_ns: int
    load_ms: float
    started_at: str
    sensors: tuple[SensorReading, ...]
    peak_rss_mib: float | None
    thermal_status: int | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """``valid``, or refused for ``reasons``, each ``keyword: detail``; ``notes`` refuse nothing."""

    valid: bool
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One cell of a table: a bundle on a device with a number of threads.

    ``facts_before`` and ``facts_after`` are what the device said of itself around the runs (see
    ``validity`` for the keys that are judged); ``cpus`` the cores the runs were pinned to, empty
    for any. Where ``emulated``, no time in the record is the latency of a device. ``tuning`` is the
    bundle's. ``precision`` is the recipe's, ``computed_in`` what the runtime says it was on this
    device, None where it does not.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    record_id: str
    session_id: str
    created_at: str
    edgepose_version: str
    git_commit: str | None
    model: str
    target: str
    recipe: str
    engine: str
    precision: str
    bundle_id: str
    device: str
    transport: str
    emulated: bool
    threads: int
    cpus: tuple[int, ...] = ()
    batch: int = 1
    tuning: Tuning | None = None
    profile: str
    effort: Effort
    computed_in: str | None = None
    facts_before: dict[str, Any]
    facts_after: dict[str, Any]
    runtime_versions: dict[str, str]
    proof: Proof
    runs: tuple[RunSamples, ...]
    summary: Summary | None
    verdict: Verdict
