"""Network and decoding timed by the C++ runner: for devices that need no Python."""

import contextlib
from collections.abc import Mapping

from edgepose.bench.place import Place
from edgepose.bench.runs import Proven
from edgepose.bench.stage_budget import StageSamples, Timed, added
from edgepose.bench.stage_program import POSE
from edgepose.bench.stages_in_python import LIMIT_S, PROCESSES, WARMUP, require_short
from edgepose.errors import DeviceError
from edgepose.runners.plan import decoder_of
from edgepose.runners.result import Line


def time_natively(places: Mapping[str, Place], proven: Mapping[str, Proven], passes: int) -> Timed:
    """Fresh processes, one after another: of each net in turn, on its first golden input.

    Raises UsageError for what takes too long, DeviceError, LeaseError and RunError.
    """
    expected_s = {part: one.least_s(WARMUP + passes) for part, one in proven.items()}
    require_short(max(expected_s.values()))
    processes, header = [], None
    for _ in range(PROCESSES):
        lines = {}
        for part, place in places.items():
            header, lines[part] = _once(place, passes, expected_s[part])
        processes.append(_together(lines))
    assert header is not None
    manifest = places[POSE].bundle.manifest
    golden = manifest.golden[0]
    (path,) = golden.inputs.values()
    return Timed(
        processes=tuple(processes),
        cpus=tuple(header["cpus"] or ()),
        versions=header["versions"],
        picture=golden.name,
        picture_sha256=manifest.files[path],
    )


def _once(place: Place, passes: int, expected_s: float) -> tuple[Line, Line]:
    run = place.run(f"stages-{place.bundle.manifest.bundle_id}")
    run.remove()  # of an earlier command, whose link was lost
    try:
        what = f"stages of {place.bundle.name}"
        result = place.finish(
            run,
            what,
            "stages",
            LIMIT_S,
            expected_s,
            decoder=decoder_of(place.bundle.manifest.model),
            warmup_min=WARMUP,
            warmup_max=WARMUP,
            runs=passes,
        )
        return result.one("header"), result.one("stages")
    finally:
        with contextlib.suppress(DeviceError):  # it must not hide the error before it
            run.remove()


def _together(lines: Mapping[str, Line]) -> StageSamples:
    """The pose net's samples, and the detector's where there is one, as those of one frame."""
    times = [
        {"network" if part == POSE else part: line["network"], "decode": line["decode"]}
        for part, line in lines.items()
    ]
    return StageSamples(
        ns=added(times),
        people=tuple(lines[POSE]["found"]),
        wall_ns=sum(line["wall_ns"] for line in lines.values()),
        cpu_ns=sum(line["cpu_ns"] for line in lines.values()),
    )
