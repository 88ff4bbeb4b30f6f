"""``python3 runner.pyz FOLDER``: execute the plan in FOLDER, or prove and time a bundle by hand."""

import os
import sys
import tempfile
import traceback
from typing import Any, Dict, List, Tuple

from .failure import INFERENCE_FAILED, PROOF_FAILED, RUNTIME_MISSING, RunnerFailure
from .plan import check_file, plan_from_bundle, read_plan
from .result import ResultFile
from .sensors import sample_forever


def main(words: List[str]) -> int:
    """Returns the exit code (see PROTOCOL.md)."""
    # Before numpy is imported: its own threads spin at first, beside the timed one.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if words[:1] == ["--sensors"]:
        path, period_s, parent = words[1:4]
        sample_forever(path, float(period_s), int(parent), [int(core) for core in words[4:]])
        return 0
    if len(words) != 1:
        sys.stderr.write("usage: python3 runner.pyz RUN_FOLDER | BUNDLE_FOLDER\n")
        return 2
    if os.path.exists(os.path.join(words[0], "plan.json")):
        return run_folder(words[0])
    return run_by_hand(words[0])


def run_folder(folder: str) -> int:
    """Execute ``folder``/plan.json; a failure becomes the result's last line and the exit code."""
    result = ResultFile(folder)
    try:
        _execute(read_plan(folder), folder, result)
        return 0
    except RunnerFailure as failure:
        result.write("error", code=failure.code, message=str(failure))
        sys.stderr.write("%s\n" % failure)
        return failure.code
    except Exception as error:  # noqa: BLE001 - runtimes raise anything; the host must learn it
        traceback.print_exc()
        result.write(
            "error", code=INFERENCE_FAILED, message="%s: %s" % (type(error).__name__, error)
        )
        return INFERENCE_FAILED
    finally:
        result.close()


def run_by_hand(bundle: str) -> int:
    """Prove and time the bundle in a folder, with the protocol of the papers, and print both."""
    try:
        return _prove_and_time(bundle)
    except RunnerFailure as failure:
        sys.stderr.write("%s\n" % failure)
        return failure.code
    except Exception:  # noqa: BLE001 - runtimes raise anything
        traceback.print_exc()
        return INFERENCE_FAILED


def _prove_and_time(bundle: str) -> int:
    prove, timing = plan_from_bundle(bundle, "prove"), plan_from_bundle(bundle, "time")
    for path, digest in prove["sha256"].items():
        check_file(path, digest)
    lines = Lines()
    with tempfile.TemporaryDirectory() as scratch:
        _execute(prove, scratch, lines)
        _execute(timing, scratch, lines)

    from .tensor_drift import failures  # it needs numpy, which _execute has found

    found = []
    for line in lines.of("proof"):
        found += failures("%s/%s" % (line["case"], line["output"]), line, prove["gate"])
    for sentence in found:
        print("proof FAILED: %s" % sentence)
    if found:
        return PROOF_FAILED
    samples = sorted(lines.of("samples")[0]["ns"])
    middle = (samples[(len(samples) - 1) // 2] + samples[len(samples) // 2]) / 2e6
    computed_in = lines.of("header")[0]["computed_in"]
    where = ", computed in %s" % computed_in if computed_in else ""
    print("proof passed in tensor space on %d outputs%s" % (len(lines.of("proof")), where))
    print("median %.3f ms, min %.3f ms, n %d, 1 process" % (middle, samples[0] / 1e6, len(samples)))
    return 0


class Lines:
    """A result that is kept in memory."""

    def __init__(self) -> None:
        self._lines: List[Tuple[str, Dict[str, Any]]] = []

    def write(self, kind: str, **fields: Any) -> None:
        self._lines.append((kind, fields))

    def of(self, kind: str) -> List[Dict[str, Any]]:
        return [fields for its_kind, fields in self._lines if its_kind == kind]


def _execute(plan: Dict[str, Any], folder: str, result: Any) -> None:
    try:
        from .run import execute
    except ImportError as error:
        raise RunnerFailure(RUNTIME_MISSING, "numpy cannot be imported: %s" % error) from None
    execute(plan, folder, result)
