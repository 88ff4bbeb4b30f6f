"""From a runner's result to the samples that a record keeps. Pure."""

from edgepose.bench.record import RunSamples, SensorReading
from edgepose.devices.phone_sensors import PhoneSensors
from edgepose.devices.sensors import is_temperature
from edgepose.runners.result import Line, RunResult


def read_samples(
    result: RunResult, process_index: int, phone: PhoneSensors | None = None
) -> RunSamples:
    """The raw samples of a run of mode ``time``; ``phone`` is what a phone said right after it.

    Raises RunError where a line is missing.
    """
    header, warmup, samples = (result.one(kind) for kind in ("header", "warmup", "samples"))
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
        sensors=tuple(_reading(line, phone is not None) for line in result.all("sensor")),
        peak_rss_mib=result.one("memory")["peak_rss_mib"],
        thermal_status=phone.thermal_status if phone else None,
    )


def _reading(line: Line, of_phone: bool) -> SensorReading:
    """The runner reads every thermal zone; here those go that tell no temperature."""
    temperatures = line["temperatures_c"].items()
    return SensorReading(
        at_ms=line["at_ms"],
        temperatures_c={n: c for n, c in temperatures if is_temperature(n, c, phone=of_phone)},
        clocks_mhz=line["clocks_mhz"],
        throttled=line["throttled"],
    )
