"""Whole measurements on this machine: real bundles, real runners, nothing replaced."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from edgepose import bench, compare
from edgepose.bench.plan import PAPER, TRUST, Effort
from edgepose.bench.record import Record
from edgepose.bench.statistics import summarise
from edgepose.bench.store import RecordStore
from edgepose.bundle import Bundle, load_bundle, seal
from edgepose.errors import LeaseError, RunError, UsageError
from edgepose.recipes import load_recipe
from edgepose.report.tables import rows
from edgepose.runners.pack import PYTHON_RUNNER
from tests.bench.under_way import pending, runner_of, runs, wait_for
from tests.tiny_bundles import build_tiny, with_false_golden_outputs

pytestmark = pytest.mark.usefixtures("workplace")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def only_foreign_load(record: Record) -> bool:
    """Whether nothing but other work on this machine speaks against ``record``."""
    return all(reason.startswith("foreign load:") for reason in record.verdict.reasons)


@pytest.mark.parametrize(
    ("recipe", "engine"),
    [("onnxruntime-fp32", "onnxruntime"), ("openvino-fp32", "openvino"), ("ncnn-fp32", "ncnn")],
)
def test_a_record_of_the_paper_profile_is_whole_and_stored(
    tmp_path: Path, recipe: str, engine: str
) -> None:
    bundle = build_tiny(tmp_path / "model", recipe=recipe)
    record = bench(bundle, profile="paper")
    (run,) = record.runs
    assert record.effort == Effort(processes=1, warmup_min=50, warmup_max=50, runs=200)
    assert (len(run.warmup_ns), len(run.samples_ns)) == (50, 200)
    assert min(*run.warmup_ns, *run.samples_ns) > 0
    assert run.wall_ns >= sum(run.samples_ns)
    assert run.converged is None
    assert run.peak_rss_mib and run.peak_rss_mib > 1
    assert record.summary == summarise([run.samples_ns])
    assert (record.model, record.target, record.device) == ("tiny", "host", "local")
    assert (record.recipe, record.engine, record.precision) == (recipe, engine, "fp32")
    assert record.computed_in == ("fp32" if engine == "openvino" else None)
    assert record.bundle_id == bundle.manifest.bundle_id
    around = {"numpy", "python"} if bundle.manifest.runner == PYTHON_RUNNER else set()
    assert record.runtime_versions.keys() == {engine, *around}
    assert record.proof.passed and record.proof.where == "local"
    assert record.facts_before["boot_id"] == BOOT_ID.read_text().strip()
    assert record.facts_after["clock_s"] >= record.facts_before["clock_s"]
    assert record.threads == 1
    assert record.cpus == (max(os.sched_getaffinity(0)),)
    assert not record.emulated
    assert record.verdict.valid or only_foreign_load(record)
    assert RecordStore().get(record.record_id) == record


def test_a_runtime_that_falls_back_to_another_precision_is_refused_and_says_which(
    tmp_path: Path,
) -> None:
    record = bench(told_to_be_bf16(tmp_path), profile="paper")
    assert (record.precision, record.computed_in) == ("bf16", "fp32")
    assert record.proof.passed and record.summary
    assert not record.verdict.valid
    assert record.verdict.reasons[0] == (
        "fallback: the runtime was told to compute in bf16 and computed in fp32"
    )
    assert rows([record])[0].verdict.startswith("REFUSED: fallback")


def test_a_fallback_takes_no_part_in_a_comparison(tmp_path: Path) -> None:
    bundle = told_to_be_bf16(tmp_path)
    with pytest.raises(RunError, match=r"fallback: on local .* in bf16 and computed in fp32"):
        compare(bundle, bundle, budget_s=6.0)


def told_to_be_bf16(folder: Path) -> Bundle:
    """What a CPU without bf16 makes of such a bundle: it computes in FP32 and says so."""
    bundle = build_tiny(folder / "model", recipe="openvino-fp32")
    seal(
        bundle.folder, msgspec.structs.replace(bundle.manifest, recipe=load_recipe("openvino-bf16"))
    )
    return load_bundle(bundle.folder)


def test_nothing_of_a_measurement_stays_on_the_device_but_the_cache(tiny: Bundle) -> None:
    bench(tiny, profile="paper")
    assert not list(runs().iterdir())
    assert not pending()
    cached = {path.name for path in (runs().parent / "cache").iterdir()}
    assert cached == set(tiny.manifest.files.values())


def test_a_small_budget_buys_less_of_the_trust_profile_and_says_so(tiny: Bundle) -> None:
    record = bench(tiny, profile="trust", budget_s=2)
    effort = record.effort
    assert effort.processes < TRUST.processes
    assert len(record.runs) == effort.processes
    assert {len(run.samples_ns) for run in record.runs} == {effort.runs}
    assert len({run.run_id for run in record.runs}) == effort.processes
    (note,) = (note for note in record.verdict.notes if note.startswith("reduced effort:"))
    assert "the budget of 2 s allows" in note
    assert only_foreign_load(record)


def test_a_proof_that_fails_on_the_device_refuses_the_record_and_nothing_is_timed(
    tiny: Bundle, tmp_path: Path
) -> None:
    record = bench(with_false_golden_outputs(tiny, tmp_path / "false"), profile="paper")
    assert not record.verdict.valid
    (reason,) = record.verdict.reasons
    assert reason.startswith("proof failed: output 'heatmaps': max relative error")
    assert record.runs == ()
    assert record.summary is None
    assert RecordStore().latest(device="local") == [record]
    assert not list(runs().iterdir())


def test_while_one_measures_a_second_learns_who_and_the_first_is_not_disturbed(
    slow: Bundle,
) -> None:
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(bench, slow, profile="paper")
        wait_for(lambda: runner_of("p0"))
        with pytest.raises(LeaseError, match=rf"process {os.getpid()}\) for 'bench slow for host"):
            bench(slow, profile="paper")
        record = first.result()
    assert [len(run.samples_ns) for run in record.runs] == [PAPER.runs]
    assert only_foreign_load(record)
    assert len(RecordStore().latest()) == 1


def test_a_bundle_for_another_target_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    bundle = build_tiny(tmp_path / "model", target="rpi4")
    with pytest.raises(UsageError, match="not built for device 'local', which is a host") as caught:
        bench(bundle)
    assert "edgepose build tiny --target host" in caught.value.hint
    assert not runs().parent.exists()


def test_an_unknown_profile_brings_the_nearest(tiny: Bundle) -> None:
    with pytest.raises(UsageError, match="papr") as caught:
        bench(tiny, profile="papr")
    assert "paper" in f"{caught.value} {caught.value.hint}"


def test_more_threads_than_cores_are_not_pinned(tiny: Bundle) -> None:
    threads = len(os.sched_getaffinity(0)) + 1
    record = bench(tiny, threads=threads, budget_s=1)
    assert (record.threads, record.cpus) == (threads, ())
