from collections.abc import Mapping, Sequence
from typing import Any

from edgepose.bench.plan import Effort
from edgepose.bench.record import RunSamples, SensorReading, Verdict
from edgepose.bench.statistics import summarise
from edgepose.bench.validity import judge
from edgepose.prove.proof import Proof
from tests.bench.records import FACTS, proof, reading, run

EFFORT = Effort(processes=2, warmup_min=50, warmup_max=300, runs=200)


def _judge(
    runs: Sequence[RunSamples] = (run(0), run(1)),
    before: Mapping[str, Any] = FACTS,
    after: Mapping[str, Any] = FACTS,
    effort: Effort = EFFORT,
    proven: Proof | None = None,
    cpus: Sequence[int] = (),
) -> Verdict:
    return judge(
        proof=proven or proof(),
        effort=effort,
        runs=runs,
        summary=summarise([one.samples_ns for one in runs]) if runs else None,
        facts_before=before,
        facts_after=after,
        cpus=cpus,
    )


def _with_sensors(*readings: SensorReading) -> tuple[RunSamples, RunSamples]:
    return run(0, sensors=readings), run(1)


def test_a_measurement_without_a_fault_is_valid_and_needs_no_note() -> None:
    assert _judge() == Verdict(valid=True)


def test_a_failed_proof_refuses_the_measurement_and_says_why() -> None:
    verdict = _judge(proven=proof(passed=False, failures=("output 'a' holds NaN or Inf",)))
    assert verdict.reasons == ("proof failed: output 'a' holds NaN or Inf",)
    assert not verdict.valid


def test_a_failed_proof_is_the_only_reason_where_nothing_was_timed_after_it() -> None:
    verdict = _judge([], proven=proof(passed=False, failures=("no",)))
    assert verdict.reasons == ("proof failed: no",)


def test_a_throttle_bit_that_rises_refuses_the_measurement() -> None:
    verdict = _judge(_with_sensors(reading(), reading(throttled="0x40000")))
    assert verdict.reasons == ("throttled: the firmware set the bits 0x40000",)


def test_a_throttle_bit_that_rises_between_two_runs_is_seen() -> None:
    assert not _judge(after={**FACTS, "throttled": "0x50005"}).valid


def test_a_throttle_bit_left_from_before_the_start_accuses_nobody() -> None:
    facts = {**FACTS, "throttled": "0x50000"}
    still = [reading(throttled="0x50000"), reading(throttled="0x50000")]
    runs = [run(index, sensors=tuple(still)) for index in range(2)]
    assert _judge(runs, facts, facts).valid


def test_a_board_that_is_throttled_all_the_time_is_refused() -> None:
    facts = {**FACTS, "throttled": "0x20002"}
    assert _judge(before=facts, after=facts).reasons == (
        "throttled: the firmware set the bits 0x2",
    )


def test_throttle_words_of_an_unknown_kind_are_ignored() -> None:
    assert _judge(_with_sensors(reading(throttled="none"), reading(throttled=None))).valid


def test_a_clock_below_90_percent_of_its_start_refuses_the_measurement() -> None:
    verdict = _judge(_with_sensors(reading(mhz=1500), reading(mhz=1349)))
    assert verdict.reasons == ("throttled: the clock fell from 1500 to 1349 MHz",)
    assert _judge(_with_sensors(reading(mhz=1500), reading(mhz=1350))).valid


def test_a_second_run_that_starts_at_a_low_clock_is_refused() -> None:
    slow = run(1, sensors=(reading(mhz=1000),))
    assert not _judge([run(0), slow]).valid


def test_an_idle_core_at_a_low_clock_is_no_throttling() -> None:
    sleepy = [reading(cpu0=1500.0, cpu1=1500.0), reading(cpu0=600.0, cpu1=1500.0)]
    assert _judge(_with_sensors(*sleepy)).valid


def test_only_the_measured_cores_are_looked_at() -> None:
    readings = [reading(cpu0=1500.0, cpu1=1500.0), reading(cpu0=1000.0, cpu1=1500.0)]
    runs = [run(0, sensors=tuple(readings)), run(1, sensors=tuple(readings))]
    assert not _judge(runs, cpus=[0]).valid
    assert _judge(runs, cpus=[1]).valid


def test_a_governor_that_wakes_up_late_is_no_throttling() -> None:
    facts = {**FACTS, "governor": "ondemand"}
    awake = (reading(mhz=1500), reading(mhz=1500))
    runs = [run(0, sensors=awake), run(1, sensors=(reading(mhz=600), reading(mhz=1500)))]
    verdict = _judge(runs, facts, facts)
    assert verdict.valid
    assert verdict.notes == ("the governor is ondemand, not performance",)
    assert not _judge(_with_sensors(*awake, reading(mhz=600)), facts, facts).valid


def test_a_changed_knob_refuses_the_measurement() -> None:
    verdict = _judge(after={**FACTS, "governor": "powersave"})
    assert verdict.reasons == ("knob changed: governor went from 'performance' to 'powersave'",)


def test_a_knob_that_one_side_does_not_tell_is_not_changed() -> None:
    assert _judge(after={"boot_id": "b1"}).valid
    assert _judge(after={**FACTS, "governor": None}).valid


def test_missing_processes_and_samples_refuse_the_measurement() -> None:
    verdict = _judge([run(0, count=150)])
    assert verdict.reasons == (
        "samples missing: 1 of 2 processes came home",
        "samples missing: process 0 has 150 of 200",
    )
    assert not _judge([]).valid


def test_a_loop_that_waited_for_the_processor_is_refused_as_foreign_load() -> None:
    waiting = run(1, wall_ns=1_000, cpu_ns=840)
    assert _judge([run(0), waiting]).reasons == (
        "foreign load: the timed loop had the processor for 84% of its time only",
    )
    assert _judge([run(0), run(1, wall_ns=1_000, cpu_ns=850)]).valid


def test_four_busy_threads_are_no_foreign_load() -> None:
    assert _judge([run(0, wall_ns=1_000, cpu_ns=3_900), run(1)]).valid


def test_a_reboot_refuses_the_measurement() -> None:
    verdict = _judge(after={**FACTS, "boot_id": "b2"})
    assert verdict.reasons == ("rebooted: the device started anew during the measurement",)


def test_several_faults_give_several_reasons() -> None:
    verdict = _judge([run(0, wall_ns=10, cpu_ns=1)], after={**FACTS, "boot_id": "b2"})
    assert [reason.partition(":")[0] for reason in verdict.reasons] == [
        "samples missing",
        "rebooted",
        "foreign load",
    ]


def test_what_weakens_a_measurement_is_noted_and_refuses_nothing() -> None:
    effort = Effort(processes=2, warmup_min=5, warmup_max=5, runs=10, note="fewer than planned")
    facts = {"boot_id": "b1"}
    blind = {"sensors": (), "converged": False, "count": 200}
    runs = [run(0, **blind), run(1, **blind)]
    verdict = _judge(runs, facts, facts, effort, proof(weights="untrained"))
    assert verdict.valid
    assert verdict.notes == (
        "reduced effort: fewer than planned",
        "not converged: 2 of 2 processes, at the end of their warm-up",
        "no temperature sensor is readable",
        "the governor is not readable",
        "untrained weights: the proof is in tensor space only",
    )


def test_a_run_too_short_for_a_sensor_reading_leaves_the_devices_own_to_tell() -> None:
    facts = {**FACTS, "temperatures_c": {"cpu-thermal": 45.0}}
    assert _judge((*_with_sensors()[:1], run(1, sensors=())), before=facts).notes == ()


def test_a_run_without_a_convergence_test_is_not_called_unconverged() -> None:
    assert _judge([run(0, converged=None), run(1, converged=None)]).notes == ()


def test_governors_may_differ_by_core() -> None:
    facts = {**FACTS, "governor": {"policy0": "performance", "policy4": "schedutil"}}
    notes = _judge(before=facts, after=facts).notes
    assert notes == ("the governor is performance, schedutil, not performance",)


def test_a_spread_of_10_percent_may_be_unstable() -> None:
    jumpy = tuple(20_000_000 if index % 2 else 30_000_000 for index in range(200))
    runs = [run(index, samples_ns=jumpy) for index in range(2)]
    assert _judge(runs).notes == ("may be unstable: the standard deviation is 20% of the mean",)


def test_outputs_that_change_between_first_and_last_inference_are_noted() -> None:
    verdict = _judge([run(0), run(1, outputs_steady=False)])
    assert verdict.valid
    assert any(note.startswith("outputs not steady") for note in verdict.notes)


def _phone(**said: Any) -> Mapping[str, Any]:
    return {**FACTS, "phone": {"thermal_status": 0, "charging": False, **said}}


def test_a_phone_that_is_severely_hot_after_a_process_refuses_the_measurement() -> None:
    verdict = _judge([run(0, thermal_status=3), run(1, thermal_status=0)], _phone(), _phone())
    assert verdict.reasons == ("throttled: the phone's thermal status was severe",)


def test_a_phone_that_is_hot_before_or_after_all_processes_is_refused_too() -> None:
    hot = _phone(thermal_status=4)
    for before, after in ((hot, _phone()), (_phone(), hot)):
        verdict = _judge(before=before, after=after)
        assert verdict.reasons == ("throttled: the phone's thermal status was critical",)


def test_a_warm_phone_and_one_that_is_charged_are_noted() -> None:
    verdict = _judge([run(0, thermal_status=2), run(1)], _phone(), _phone(charging=True))
    assert verdict.valid
    assert verdict.notes == (
        "warm: the phone's thermal status rose to moderate",
        "charging: the phone's battery was charged meanwhile, which warms the phone",
    )


def test_a_phone_that_hides_its_thermal_status_is_noted() -> None:
    silent = _phone(thermal_status=None, charging=None)
    verdict = _judge(before=silent, after=silent)
    assert verdict.valid
    assert verdict.notes == ("the phone's thermal status is not readable",)


def test_a_cool_phone_that_is_not_charged_needs_no_note() -> None:
    assert _judge([run(0, thermal_status=0)] * 2, _phone(), _phone()) == Verdict(valid=True)
