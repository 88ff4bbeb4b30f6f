"""Which of two bundles is faster on a device, and how sure that is."""

from edgepose.bench.contest import Comparison
from edgepose.bench.interleaved import interleaved
from edgepose.bench.paired import paired_ratio
from edgepose.bench.plan import DEFAULT_BUDGET_S
from edgepose.bench.store import append_comparison
from edgepose.bundle import Bundle
from edgepose.devices.inventory import find_device
from edgepose.errors import EdgePoseError, UsageError
from edgepose.graph.spec import TensorSpec


def compare(
    bundle_a: Bundle,
    bundle_b: Bundle,
    device: str = "local",
    *,
    threads: int | None = None,
    budget_s: float = 2 * DEFAULT_BUDGET_S,
) -> Comparison:
    """Time both bundles on ``device`` in interleaved blocks; is the second faster or slower?

    Both are proven there first. The comparison is appended to comparisons.jsonl beside the records.
    Raises UsageError where the two do not do the same job, ProofError where one is not proven,
    DeviceError, LeaseError, RunError; one that does not count is refused with its reasons.
    """
    _require_same_job(bundle_a, bundle_b)

    def refuse(bundle: Bundle, error: EdgePoseError) -> None:
        raise error

    with interleaved(
        [bundle_a, bundle_b],
        find_device(device),
        purpose=f"compare {bundle_a.name} with {bundle_b.name}",
        threads=threads,
        budget_s=budget_s,
        misfit=refuse,
    ) as contest:
        first, second = contest.medians_ns()
        ratio = paired_ratio(first, second) if contest.verdict.valid else None
        found = Comparison(contest=contest, ratio=ratio, outcome=ratio.outcome if ratio else None)
        append_comparison(found)
    return found


def _require_same_job(bundle_a: Bundle, bundle_b: Bundle) -> None:
    """Raise UsageError unless the two take and give tensors of the same shapes."""
    a, b = bundle_a.manifest, bundle_b.manifest
    for what, first, second in (("inputs", a.inputs, b.inputs), ("outputs", a.outputs, b.outputs)):
        if _shapes(first) != _shapes(second):
            raise UsageError(
                f"{bundle_a.name} and {bundle_b.name} are different models: their {what} are "
                f"{_text(first)} and {_text(second)}",
                hint="`edgepose bench` gives each one's own latency.",
            )


def _shapes(tensors: tuple[TensorSpec, ...]) -> list[tuple[int, ...]]:
    return [tensor.shape for tensor in tensors]


def _text(tensors: tuple[TensorSpec, ...]) -> str:
    return ", ".join(f"{tensor.name} {list(tensor.shape)}" for tensor in tensors)
