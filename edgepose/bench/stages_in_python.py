"""The whole pipeline timed on a device that has its Python: edgepose itself is sent there."""

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import edgepose
from edgepose.bench.place import Place, soon
from edgepose.bench.preflight import cool_down
from edgepose.bench.remote_run import RemoteRun
from edgepose.bench.runs import Proven
from edgepose.bench.stage_budget import StageSamples, Timed
from edgepose.bench.stage_program import DETECTOR, POSE, StagePlan
from edgepose.bundle import MANIFEST
from edgepose.deadline import Deadline, duration_text
from edgepose.devices.cache import ensure_cached
from edgepose.devices.python import try_imports
from edgepose.devices.setup_pipeline import BOTTOM_UP, LEAST_PYTHON, MODULES
from edgepose.devices.shell import script, succeeded
from edgepose.errors import DeviceError, RuntimeMissingError, UsageError
from edgepose.files import sha256_file
from edgepose.runners.pack import program_of
from edgepose.runners.result import Line

PROCESSES = 5
WARMUP = 10
LIMIT_S = 1200.0  # of one process
_SEND_S = 600.0
_IMPORT_S = 300.0  # a busy host takes minutes to import OpenCV under emulation
# Before numpy is imported: its own threads spin at first, beside the timed one.
_MAIN = """import os, sys
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
from edgepose.bench.stage_program import main
sys.exit(main(sys.argv[1:]))
"""
# Hard links cost nothing; where the file system has none, copies.
_LAY_OUT = """
into=$1; shift
while [ $# -gt 1 ]
do mkdir -p "$(dirname "$into/$2")" || exit 1
   ln -f "$1" "$into/$2" 2>/dev/null || cp "$1" "$into/$2" || exit 1
   shift 2
done
"""


@dataclass(frozen=True)
class Film:
    """``frames`` times the same ``picture``; the detector sees every ``detect_every``-th."""

    picture: Path
    detect_every: int
    frames: int


def require_python(places: Mapping[str, Place]) -> None:
    """Raise RuntimeMissingError where the device's Python cannot run the pipeline, naming why."""
    place = places[POSE]
    device, python = place.device, place.facts.python
    if python is None or _version(python.version) < LEAST_PYTHON:
        raise RuntimeMissingError(
            f"the stages of the pipeline need Python 3.11 on {device.name!r}, "
            f"which has {python.version if python else 'none'}",
            hint="`edgepose profile` without --stages times the net's layers there; a bundle "
            "with a native runner (ncnn, tvm) times network and decoding without Python.",
        )
    is_bottom_up = place.bundle.manifest.model.task == "bottom-up"
    modules = MODULES | (BOTTOM_UP if is_bottom_up else {})
    outcome = try_imports(place.transport, place.python, modules, Deadline.after(_IMPORT_S))
    missing = {module: one.error for module, one in outcome.items() if one.error}
    if not missing:
        return
    fixes = []
    if set(missing) & set(MODULES):
        fixes.append(f"`edgepose device setup {device.name} --with pipeline` installs it.")
    if set(missing) & set(BOTTOM_UP):
        packages = " ".join(BOTTOM_UP.values())
        fixes.append(f"Bottom-up nets: `{device.python} -m pip install {packages}` on the device.")
    raise RuntimeMissingError(
        f"device {device.name!r} cannot import what the pipeline stands on: "
        + "; ".join(f"{module} ({error})" for module, error in missing.items()),
        hint=" ".join(fixes),
    )


def require_short(expected_s: float) -> None:
    """Raise UsageError where a process that takes this long may be taken for a hung one."""
    if expected_s > LIMIT_S / 2:
        raise UsageError(
            f"each process would take {duration_text(expected_s)} or more, "
            f"and is stopped after {duration_text(LIMIT_S)}",
            hint="Time fewer frames: `--passes N`.",
        )


def time_in_python(places: Mapping[str, Place], proven: Mapping[str, Proven], film: Film) -> Timed:
    """Fresh processes, one after another.

    Raises UsageError for what takes too long, DeviceError, LeaseError and RunError.
    """
    place = places[POSE]
    # Nobody looks before this time. One person in each frame is taken for the least there can be.
    frames = WARMUP + film.frames
    inferences = {POSE: frames, DETECTOR: math.ceil(frames / film.detect_every)}
    expected_s = sum(one.least_s(inferences[part]) for part, one in proven.items())
    require_short(expected_s)
    with TemporaryDirectory(prefix="edgepose-") as scratch:
        program = Path(scratch) / "program"
        program.write_bytes(pipeline_program())
        digests = {sha256_file(path): path for path in (program, film.picture)}
        remote = ensure_cached(place.transport, place.workdir, digests, Deadline.after(_SEND_S))
    there = {path: remote[digest] for digest, path in digests.items()}
    processes, header = [], None
    run = place.run(f"stages-{place.bundle.manifest.bundle_id}")
    try:
        for _ in range(PROCESSES):
            place.lease.renew(soon())
            run.remove()  # of the process before, or of an earlier command, whose link was lost
            cool_down(place.transport)
            _lay_out(places, run)
            manifests = {
                f"{part}/{MANIFEST}": one.bundle.folder / MANIFEST for part, one in places.items()
            }
            plan = StagePlan(
                run_id=run.run_id,
                picture=there[film.picture],
                has_detector=DETECTOR in places,
                detect_every=film.detect_every,
                sha256={there[film.picture]: sha256_file(film.picture)}
                | {f"{run.folder}/{name}": sha256_file(path) for name, path in manifests.items()},
                threads=place.threads,
                cpus=place.cpus,
                warmup=WARMUP,
                frames=film.frames,
            )
            run.start(plan, [*place.python, there[program]], manifests)
            result = run.wait(expected_s, Deadline.after(LIMIT_S))
            header = result.one("header")
            processes.append(samples_of(result.one("stages")))
            expected_s = max(expected_s, processes[-1].wall_ns / 1e9)
    finally:
        with contextlib.suppress(DeviceError):  # it must not hide the error before it
            run.remove()
    assert header is not None
    return Timed(
        processes=tuple(processes),
        cpus=tuple(header["cpus"] or ()),
        versions=header["versions"],
        picture=film.picture.name,
        picture_sha256=sha256_file(film.picture),
    )


def samples_of(line: Line) -> StageSamples:
    """The ``stages`` line of a result."""
    return StageSamples(
        ns={stage: tuple(ns) for stage, ns in line["ns"].items()},
        people=tuple(line["people"]),
        wall_ns=line["wall_ns"],
        cpu_ns=line["cpu_ns"],
    )


@cache
def pipeline_program() -> bytes:
    """``python3 PROGRAM RUN_FOLDER``: all of edgepose's own Python files in one."""
    package = Path(edgepose.__file__).parent
    sources = {path.relative_to(package).as_posix(): path for path in package.rglob("*.py")}
    return program_of(_MAIN, {f"edgepose/{name}": path for name, path in sources.items()})


def _lay_out(places: Mapping[str, Place], run: RemoteRun) -> None:
    """Every bundle as a folder of the run; its files are on the device already."""
    for part, place in places.items():
        files = place.bundle.manifest.files
        words = [word for name in sorted(files) for word in (place.paths[name], name)]
        done = place.transport.run(script(_LAY_OUT, f"{run.folder}/{part}", *words), soon())
        succeeded(done, f"cannot lay out {place.bundle.name}")


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
