"""From a runner's result to the samples that a record keeps. Pure."""

from edgepose.bench.record import RunSamples, SensorReading
from edgepose.runners.result import RunResult


def read_samples(result: RunResult, process_index: int) -> RunSamples:
    """The raw samples of a run of mode ``time``. Raises RunError where a line is missing."""
    header, warmup, samples = (result.one(kind) for kind in ("header", "warmup", "samples"))
    readings = [{k: v for k, v in line.items() if k != "kind"} for line in result.all("sensor")]
    return RunSamples(
        run_id=header["run_id"],
        process_index=process_index,
        warmup_ns=tuple(warmup["ns"]),
        samples_ns=tuple(samples["ns"]),
        converged=warmup["converged"],
        outputs_steady=result.one("outputs")["same_as_first"],
        wall_ns=samples["wall_ns"],
        cpu_ns=samples["cpu_ns"],
        load_ms=header["load_ms"],
        started_at=header["started_at"],
        sensors=tuple(SensorReading(**reading) for reading in readings),
        peak_rss_mib=result.one("memory")["peak_rss_mib"],
    )
