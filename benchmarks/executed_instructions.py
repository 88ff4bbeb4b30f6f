"""How many arm64 instructions an inference executes, artifact by artifact: never a latency.

``python -m benchmarks.executed_instructions`` from the root; see benchmarks/README.md.
"""

import argparse
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgspec

from benchmarks.counting_emulator import CountingEmulator, Counts
from benchmarks.results_file import circumstances, write_results
from edgepose.build import build
from edgepose.bundle import Bundle, make_plan
from edgepose.deadline import Deadline
from edgepose.devices.facts import PythonFacts
from edgepose.devices.wheels import fetch_wheels
from edgepose.engines.tvm.hardware import tvm_target
from edgepose.engines.tvm.process import run_child
from edgepose.engines.tvm.records import Records, best_records
from edgepose.engines.tvm.steps import LIBRARY, CompileRequest, compile_apart
from edgepose.errors import ProofError
from edgepose.graph.topology import topology_hash
from edgepose.runners.native_tvm import TVM_VERSION, tvm_runner, tvm_runtime
from edgepose.runners.plan import Plan
from edgepose.runners.result import read_result
from edgepose.targets import load_target
from tests.emulation.root import prepare_root

_TARGET = "rpi4"
_REFERENCE = "onnxruntime"
_PYTHON = "3.11"  # the emulated root's, as the target's own
# Its counts differ by up to 140 million between processes, for no reason that we found.
_PYTHON_PROCESSES = 5
_COMPILE_S, _FETCH_S = 1800.0, 900.0
_HEADERS = ("model", "what", "million instructions", "of onnxruntime", "vector", "memory", "other")


@dataclass(frozen=True)
class Contestant:
    """``argv`` and a run folder make the program; ``plan`` is one of mode ``prove``.

    ``processes`` run it with one inference more, and as many without.
    """

    name: str
    plan: Plan
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    processes: int = 1


@dataclass(frozen=True)
class Counted:
    """One inference of one artifact, and all ``processes`` by how many more they ran."""

    model: str
    name: str
    counts: Counts
    processes: Mapping[int, Sequence[Counts]]


def main() -> int:
    """Returns 0; whatever cannot be counted is an error."""
    arguments = _arguments()
    found = circumstances()
    root = prepare_root()
    emulator = CountingEmulator(arguments.emulator, load_target(_TARGET).cpu.llvm or "max", root)
    counted: list[Counted] = []
    remarks: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        python_path = Path(scratch) / "python"
        _unpack_wheels(python_path)
        for model in arguments.models:
            for each in _contestants(model, Path(scratch) / model, root, python_path):
                place = Path(scratch) / model / f"run-{len(counted)}"
                counted.append(_count(model, each, emulator, place))
                remarks += [each.note] if each.note else []
    notes = [
        "**Executed instructions are no latency.** A Cortex-A72 starts up to three of them at a "
        "time, and waits for memory: half as many can take half the time, or as long.",
        "One inference on one thread: the difference between two runs of which one makes one more, "
        "so start, load and first inference are not in it. All outputs were checked. Of "
        f"{_REFERENCE}, whose processes differ by up to 140 million, the least of "
        f"{_PYTHON_PROCESSES} on either side.",
        "vector: Advanced SIMD arithmetic; memory: loads and stores of any kind; other: scalar "
        "arithmetic, addresses, branches.",
        f"{emulator.version} with `benchmarks/counting_plugin`, target {_TARGET}, "
        f"TVM {TVM_VERSION}.",
        *remarks,
    ]
    rows = [_row(each, counted) for each in counted]
    write_results(
        "executed_instructions",
        found,
        {"counted": [asdict(each) for each in counted]},
        _HEADERS,
        rows,
        notes,
    )
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["litepose-xs", "rtmpose-t"])
    parser.add_argument("--emulator", help="a qemu-aarch64 that takes plugins")
    return parser.parse_args()


def _unpack_wheels(into: Path) -> None:
    """onnxruntime and numpy as the target has them."""
    target = load_target(_TARGET)
    facts = PythonFacts(
        version=_PYTHON,
        implementation="cpython",
        abiflags="",
        bits=64,
        machine=target.arch,
        libc=target.system.libc,
        packages={},
    )
    wanted = target.runtimes["onnxruntime"].packages
    for wheel in fetch_wheels(wanted, facts, Deadline.after(_FETCH_S)):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(into)


def _contestants(model: str, folder: Path, root: Path, python_path: Path) -> list[Contestant]:
    folder.mkdir()
    reference = build(model, _TARGET, "onnxruntime-fp32", into=folder / "onnxruntime")
    ncnn = build(model, _TARGET, "ncnn-fp32", into=folder / "ncnn")
    python = str(root / f"usr/bin/python{_PYTHON}")
    environment = {"PYTHONPATH": str(python_path), "PYTHONHASHSEED": "0"}
    onnx_file = reference.folder / reference.manifest.artifact.files[0]
    records = best_records(topology_hash(onnx_file), _TARGET, ("proxy",))
    found = [
        Contestant(
            _REFERENCE,
            _plan(reference),
            (python, _runner(reference)),
            environment,
            processes=_PYTHON_PROCESSES,
        ),
        Contestant("ncnn", _plan(ncnn), (_runner(ncnn),)),
        _tvm("TVM by itself, untuned", reference, _plain(onnx_file, folder / "plain")),
        _tvm("TVM, untuned", reference, _compiled(onnx_file, folder / "untuned", None)),
    ]
    if records is None:
        return found
    note = f"The proxy's records of {model}: {records.about.created_at}, {records.sha256[:12]}."
    tuned = _compiled(onnx_file, folder / "proxy", records)
    return [*found, _tvm("TVM, tuned on a proxy", reference, tuned, note)]


def _runner(bundle: Bundle) -> str:
    return str(bundle.folder / bundle.manifest.runner)


def _plan(bundle: Bundle) -> Plan:
    paths = {name: str(bundle.folder / name) for name in bundle.manifest.files}
    plan = make_plan(bundle.manifest, "prove", "count", paths)
    return msgspec.structs.replace(plan, sha256={}, golden=plan.golden[:1])


def _tvm(name: str, reference: Bundle, library: Path, note: str = "") -> Contestant:
    """The net of ``reference`` as TVM compiled it to ``library``."""
    arch = load_target(_TARGET).arch
    files = {LIBRARY: library, **tvm_runtime(arch)}
    plan = msgspec.structs.replace(
        _plan(reference),
        engine="tvm",
        options={},
        artifact={file: str(path) for file, path in files.items()},
    )
    return Contestant(name, plan, (str(tvm_runner(arch)),), note=note)


def _plain(onnx_file: Path, folder: Path) -> Path:
    folder.mkdir()
    words, deadline = [str(onnx_file), _TARGET], Deadline.after(_COMPILE_S)
    run_child("benchmarks.plain_tvm", words, folder, deadline, doing="compiling with TVM by itself")
    return folder / LIBRARY


def _compiled(onnx_file: Path, folder: Path, records: Records | None) -> Path:
    folder.mkdir()
    if records:
        records.write(folder / "records")
    request = CompileRequest(
        onnx=str(onnx_file),
        target=tvm_target(load_target(_TARGET)),
        records=str(folder / "records") if records else None,
    )
    compile_apart(request, folder, Deadline.after(_COMPILE_S))
    return folder / LIBRARY


def _count(model: str, contestant: Contestant, emulator: CountingEmulator, place: Path) -> Counted:
    """Processes that differ by one inference; each begins with the one whose outputs are checked.

    Of several processes the least counts: whatever comes in between only ever adds.
    """
    place.mkdir()
    totals: dict[int, list[Counts]] = {0: [], 1: []}
    for process in range(contestant.processes):
        for more, seen in totals.items():
            folder = place / f"{process}-{more}"
            folder.mkdir()
            plan = msgspec.structs.replace(contestant.plan, runs=more)
            (folder / "plan.json").write_bytes(plan.encode())
            argv = [*contestant.argv, str(folder)]
            seen.append(emulator.count(argv, contestant.environment))
            _require_right(contestant, folder)
    without, with_one = (min(seen, key=lambda counts: counts.all) for seen in totals.values())
    counted = Counted(model, contestant.name, with_one - without, totals)
    print(f"{model}, {counted.name}: {counted.counts.all / 1e6:.0f} million", flush=True)
    return counted


def _require_right(contestant: Contestant, folder: Path) -> None:
    """Raise ProofError unless the outputs are the model's."""
    result = read_result((folder / "result.jsonl").read_bytes(), "count")
    worst = max(line["max_relative_error"] for line in result.all("proof"))
    if not worst <= contestant.plan.gate["max_relative_error"]:
        raise ProofError(f"{contestant.name}: the outputs are off by {worst:.2g}")


def _row(each: Counted, counted: Sequence[Counted]) -> list[str]:
    (reference,) = (c for c in counted if (c.model, c.name) == (each.model, _REFERENCE))
    counts = each.counts
    parts = (counts.vector, counts.memory, counts.all - counts.vector - counts.memory)
    return [
        each.model,
        each.name,
        f"{counts.all / 1e6:.0f}",
        f"{counts.all / reference.counts.all:.2f}",
        *(f"{part / 1e6:.0f}" for part in parts),
    ]


if __name__ == "__main__":
    sys.exit(main())
