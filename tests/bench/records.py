"""Records for tests, alike but for what a test says."""

from typing import Any

from edgepose.bench.plan import Effort
from edgepose.bench.record import Record, RunSamples, SensorReading, Verdict
from edgepose.bench.statistics import summarise
from edgepose.prove.proof import Proof, TensorDrift

FACTS = {"boot_id": "b1", "governor": "performance", "throttled": "0x0"}


def drift(**changes: Any) -> TensorDrift:
    return TensorDrift(
        **{
            "output": "heatmaps",
            "max_relative_error": 3e-7,
            "mean_relative_error": 1e-7,
            "cosine": 1.0,
            "finite": True,
            **changes,
        }
    )


def proof(**changes: Any) -> Proof:
    return Proof(
        **{
            "passed": True,
            "tensors": (drift(),),
            "keypoints": None,
            "failures": (),
            "weights": "trained",
            "where": "host",
            **changes,
        }
    )


def reading(
    at_ms: float = 0.0, mhz: float = 1500.0, throttled: str | None = "0x0", **clocks: float
) -> SensorReading:
    return SensorReading(
        at_ms=at_ms,
        temperatures_c={"cpu-thermal": 50.0},
        clocks_mhz=clocks or {"cpu0": mhz},
        throttled=throttled,
    )


def run(index: int = 0, count: int = 200, **changes: Any) -> RunSamples:
    """Latencies of 20 ms and a bit, all different, the timed loop busy all of its time."""
    samples = tuple(20_000_000 + 1_000 * position + index for position in range(count))
    return RunSamples(
        **{
            "run_id": f"run-{index}",
            "process_index": index,
            "warmup_ns": samples[:50],
            "samples_ns": samples,
            "converged": True,
            "outputs_steady": True,
            "wall_ns": sum(samples),
            "cpu_ns": sum(samples),
            "load_ms": 12.5,
            "started_at": "2026-11-21T10:00:00Z",
            "sensors": (reading(0), reading(1000)),
            "peak_rss_mib": 80.0,
            **changes,
        }
    )


def record(record_id: str = "r1", **changes: Any) -> Record:
    runs = changes.pop("runs", tuple(run(index) for index in range(5)))
    return Record(
        **{
            "record_id": record_id,
            "session_id": "s1",
            "created_at": "2026-11-21T10:01:00Z",
            "edgepose_version": "0.1.0",
            "git_commit": None,
            "model": "litepose-xs",
            "target": "rpi4",
            "recipe": "onnxruntime-fp32",
            "engine": "onnxruntime",
            "precision": "fp32",
            "bundle_id": "abc",
            "device": "pi-kitchen",
            "transport": "ssh",
            "emulated": False,
            "threads": 4,
            "profile": "trust",
            "effort": Effort(processes=5, warmup_min=50, warmup_max=300, runs=200),
            "facts_before": FACTS,
            "facts_after": FACTS,
            "runtime_versions": {"onnxruntime": "1.31.1"},
            "proof": proof(),
            "runs": runs,
            "summary": summarise([one.samples_ns for one in runs]) if runs else None,
            "verdict": Verdict(valid=True),
            **changes,
        }
    )
