"""Mend a half-precision bundle whose proof failed: few layers go back to single precision.

The runner compares the layers with the same net in single precision; ``edgepose.prove.rescue``
searches the pins, and each trial is a whole proof.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf, sqrt
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from edgepose.bundle import Bundle, judge_bundle, make_plan
from edgepose.deadline import Deadline
from edgepose.engines.base import Artifact, PinningEngine
from edgepose.prove.on_host import WayToProve, lines_on_host, outputs_on_host, way_to_prove
from edgepose.prove.rescue import (
    LayerDrift,
    Limits,
    PinCost,
    Rescue,
    find_pins,
    likely_pins,
    suspects,
)
from edgepose.recipes import TensorGate
from edgepose.runners.plan import Plan
from edgepose.targets import load_target

LIMITS = Limits(trials=32, layers=16)
MAX_SECONDS = 1800.0
_BLOCKS, _WARMUP, _RUNS = 5, 5, 20
_LEAST = 1e-12  # a gate may be 0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Patient:
    """An unproven bundle, the artifact in it as compiled, and how it runs on this host."""

    bundle: Bundle
    artifact: Artifact
    engine: PinningEngine
    way: WayToProve

    def plan(self, mode: str, artifact: Artifact, **settings: Any) -> Plan:
        """A plan for ``artifact`` instead of the bundle's own."""
        manifest, folder = self.bundle.manifest, self.bundle.folder
        plan = make_plan(
            manifest, mode, "rescue", {n: str(folder / n) for n in manifest.files}, **settings
        )
        files = {name: str(artifact.folder / name) for name in artifact.files}
        return msgspec.structs.replace(plan, artifact=files, sha256={})


def can_rescue(bundle: Bundle) -> bool:
    """Whether this host can see what half precision does to the bundle's single layers.

    Only native runners can.
    """
    return bundle.manifest.recipe.precision == "fp16" and bool(_way(bundle).command)


def rescue(bundle: Bundle, artifact: Artifact, engine: PinningEngine) -> Rescue:
    """Search the fewest layers that must be pinned and pin them in the bundle's folder.

    The bundle must be sealed and proven again afterwards. Where no small set suffices, nothing is
    changed. Ends after ``LIMITS`` and ``MAX_SECONDS``, whichever comes first.
    """
    patient = _Patient(bundle, artifact, engine, _way(bundle))
    until = Deadline.after(MAX_SECONDS)
    name = bundle.manifest.model.name
    _log.info("%s: the proof failed; comparing layer by layer on %s", name, patient.way.where)
    drifts = _trace(patient)
    ranking = suspects(drifts, engine.pinnable(artifact))

    def passes(pins: tuple[str, ...]) -> bool:
        with _pinned(patient, pins) as pinned:
            outputs = outputs_on_host(patient.plan("prove", pinned), patient.way.command)
        passed = judge_bundle(bundle, outputs, where=patient.way.where).passed
        which = pins[0] if len(pins) == 1 else f"{len(pins)} layers"
        _log.info("%s: %s in FP32: %s", name, which, "passes" if passed else "still fails")
        return passed

    first = likely_pins(drifts, ranking)
    search = find_pins(ranking, passes, LIMITS, first, lambda: until.expired)
    cost, note = None, search.reason
    if first > LIMITS.layers and not search.pinned:
        note += f"; by their errors, it would take about {first} or more"
    if search.pinned:
        cost, note = pin_cost(bundle, artifact, engine, search.pinned)
        engine.pin(artifact, search.pinned, artifact.folder)
        _log.info("%s: rescued by pinning %s", name, ", ".join(search.pinned))
    return Rescue(
        failures=bundle.manifest.proof.failures,
        pinned=search.pinned,
        tried=search.tried,
        minimal=search.minimal,
        note=note,
        cost=cost,
    )


def pin_cost(
    bundle: Bundle, artifact: Artifact, engine: PinningEngine, pins: tuple[str, ...]
) -> tuple[PinCost | None, str]:
    """What the pins cost in latency, in alternating blocks, or None and the reason.

    An emulated CPU's latencies say nothing.
    """
    patient = _Patient(bundle, artifact, engine, _way(bundle))
    if patient.way.emulated:
        return None, f"the latency of the pins was not measured ({patient.way.where})"
    blocks: dict[bool, list[float]] = {False: [], True: []}
    with _pinned(patient, pins) as pinned:
        for index in range(2 * _BLOCKS):
            is_pinned = index % 2 == 1
            artifact = pinned if is_pinned else patient.artifact
            counts = {"warmup_min": _WARMUP, "warmup_max": _WARMUP, "runs": _RUNS}
            plan = patient.plan("time", artifact, **counts)
            samples = lines_on_host(plan, patient.way.command).one("samples")["ns"]
            blocks[is_pinned].append(median(samples) / 1e6)
    return PinCost(without_ms=median(blocks[False]), pinned_ms=median(blocks[True])), ""


def _way(bundle: Bundle) -> WayToProve:
    manifest = bundle.manifest
    target = load_target(manifest.target)
    return way_to_prove(bundle.folder / manifest.runner, target, manifest.recipe)


@contextmanager
def _pinned(patient: _Patient, pins: tuple[str, ...]) -> Iterator[Artifact]:
    with tempfile.TemporaryDirectory(prefix="edgepose-") as folder:
        yield patient.engine.pin(patient.artifact, pins, Path(folder))


def _trace(patient: _Patient) -> list[LayerDrift]:
    """The layers on the golden case that suffers most: following errors to the outputs is slow."""
    engine, artifact = patient.engine, patient.artifact
    gate = patient.bundle.manifest.recipe.gates.tensor
    proofs = lines_on_host(patient.plan("prove", artifact), patient.way.command).all("proof")
    worst = max(proofs, key=lambda line: _harm(line, gate))["case"]
    plan = patient.plan(
        "trace",
        artifact,
        reference_options=dict(engine.exact_options(artifact)),
        follow=engine.pinnable(artifact),
    )
    golden = tuple(case for case in plan.golden if case.name == worst)
    plan = msgspec.structs.replace(plan, golden=golden)
    lines = lines_on_host(plan, patient.way.command).all("trace")
    return [_layer_drift(line, gate) for line in lines]


def _layer_drift(line: Mapping[str, Any], gate: TensorGate) -> LayerDrift:
    figures = [line["alone"], *line["outputs"].values()]
    if not all(one["finite"] for one in figures):
        return LayerDrift(name=line["name"], harm=inf)
    harm = max((_harm(one, gate) for one in figures[1:]), default=0.0)
    return LayerDrift(name=line["name"], harm=harm)


def _harm(figures: Mapping[str, Any], gate: TensorGate) -> float:
    """The largest part of the gate that the error uses up. 1 - cosine is an error squared."""
    if not figures["finite"]:
        return inf
    parts = (
        (figures["max_relative_error"], gate.max_relative_error),
        (figures["mean_relative_error"], gate.mean_relative_error),
        (sqrt(max(0.0, 1 - figures["cosine"])), sqrt(max(0.0, 1 - gate.min_cosine))),
    )
    return max(part / max(limit, _LEAST) for part, limit in parts)
