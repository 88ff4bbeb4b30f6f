"""The program that times the pipeline's stages, on the device: edgepose itself, sent as one file.

``python3 PROGRAM RUN_FOLDER`` reads ``plan.json`` and the bundles ``pose`` and ``detector`` in the
folder, and writes ``result.jsonl`` as a runner does (see runners/PROTOCOL.md), with one more kind
of line: ``stages``, the fields of ``StageSamples``.
"""

import os
import platform
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from edgepose.bench.stage_budget import FRAME
from edgepose.bundle import Bundle, load_bundle
from edgepose.config import load_json
from edgepose.engines import find_engine
from edgepose.engines.base import Artifact, Session
from edgepose.errors import EdgePoseError
from edgepose.runners.python import failure
from edgepose.runners.python.cores import pin_to
from edgepose.runners.python.plan import check_file
from edgepose.runners.python.result import ResultFile

PLAN = "plan.json"
POSE, DETECTOR = "pose", "detector"
_FPS = 30.0  # of the film that the tracker believes to see


class StagePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``warmup`` and then ``frames`` timed frames of one picture, on ``threads`` threads.

    ``sha256`` are the hashes of files by their paths there; of bundles, of their manifests only,
    which name the hashes of the rest.
    """

    run_id: str
    picture: str
    has_detector: bool
    detect_every: int
    sha256: dict[str, str]
    threads: int
    cpus: tuple[int, ...]
    warmup: int
    frames: int

    def encode(self) -> bytes:
        return msgspec.json.encode(self)


class _BundleHere(Bundle):
    """A device has what runs an artifact, and not what compiles one."""

    def session(self, threads: int = 1) -> Session:
        manifest = self.manifest
        artifact = Artifact(
            self.folder,
            manifest.artifact.files,
            manifest.artifact.options,
            manifest.inputs,
            manifest.outputs,
            any_batch=manifest.artifact.any_batch,
        )
        return find_engine(manifest.recipe.engine).load(artifact, threads)


def main(words: list[str]) -> int:
    """Returns the exit code; a failure is the result's last line too."""
    (folder,) = words
    result = ResultFile(folder)
    try:
        time_stages(load_json(Path(folder) / PLAN, StagePlan), Path(folder), result)
        return 0
    except (EdgePoseError, failure.RunnerFailure) as error:
        code = getattr(error, "code", failure.INFERENCE_FAILED)
        result.write("error", code=code, message=str(error))
        sys.stderr.write(f"{error}\n")
        return code
    except Exception as error:  # noqa: BLE001 - runtimes raise anything; the host must learn it
        traceback.print_exc()
        message = f"{type(error).__name__}: {error}"
        result.write("error", code=failure.INFERENCE_FAILED, message=message)
        return failure.INFERENCE_FAILED
    finally:
        result.close()


def time_stages(plan: StagePlan, folder: Path, result: Any) -> None:
    """Process the plan's picture again and again, as frames of a film; write what it took."""
    cpus = pin_to(plan.cpus)
    for path, digest in plan.sha256.items():
        check_file(path, digest)

    import cv2
    import numpy

    from edgepose.pose.pipeline import Pipeline, PipelineSettings
    from edgepose.pose.preprocess import read_image

    cv2.setNumThreads(plan.threads)
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    begun = time.perf_counter_ns()
    names = [POSE, DETECTOR] if plan.has_detector else [POSE]
    bundles = [_BundleHere(**vars(load_bundle(folder / name))) for name in names]
    settings = PipelineSettings(detect_every=plan.detect_every)
    pipeline = Pipeline.from_bundles(*bundles, threads=plan.threads, settings=settings)
    picture = read_image(Path(plan.picture))
    result.write(
        "header",
        run_id=plan.run_id,
        pid=os.getpid(),
        started_at=started_at,
        runner="pipeline",
        versions={
            "python": platform.python_version(),
            "numpy": numpy.__version__,
            "opencv": cv2.__version__,
        },
        cpus=cpus,
        threads=plan.threads,
        load_ms=(time.perf_counter_ns() - begun) / 1e6,
    )
    for number in range(plan.warmup):
        pipeline.process(picture, number / _FPS)
    ns: dict[str, list[int]] = {}
    people: list[int] = []
    cpu_s, wall = time.process_time(), time.perf_counter_ns()
    for number in range(plan.warmup, plan.warmup + plan.frames):
        begun = time.perf_counter_ns()
        frame = pipeline.process(picture, number / _FPS)
        took = {FRAME: time.perf_counter_ns() - begun}
        took |= {stage: round(ms * 1e6) for stage, ms in frame.stages_ms.items()}
        if not plan.has_detector:
            del took["detector"]
        for stage, stage_ns in took.items():
            ns.setdefault(stage, []).append(stage_ns)
        people.append(len(frame.people))
    wall, cpu = time.perf_counter_ns() - wall, round((time.process_time() - cpu_s) * 1e9)
    result.write("stages", ns=ns, people=people, wall_ns=wall, cpu_ns=cpu)
