"""Tables of records as text, Markdown, CSV and JSON. Pure.

Two things hold in every format: a time taken under emulation never shows, and neither does a
refused measurement without the word REFUSED beside it.
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec
from tabulate import tabulate

from edgepose.bench.record import Record, RunSamples
from edgepose.evaluate.record import Evaluation
from edgepose.prove.proof import Proof
from edgepose.recipes import fallback

Format = Literal["text", "md", "csv", "json"]

NOT_AVAILABLE = "n/a"
EMULATED = "emulated"

_LATENCIES = ("median_ms", "half_width_ms", "min_ms", "p90_ms", "p95_ms", "p99_ms")
_HEADINGS: tuple[str, ...] = (
    *("model", "recipe", "threads", "device", "median ± 95 % (ms)"),
    *("min", "p90", "p95", "p99", "n", "proof", "verdict"),
)
_ACCURACY = "accuracy"  # a column only where there is one: most records have none
_BOXES = {"truth": "annotated boxes", "detections": "detections", "detector": "detector"}
# Beside the recipe: a net that was not tuned on the board says nothing of what TVM can do there.
_TUNED = {"no": " (untuned)", "proxy": " (tuned on a proxy)", "board": ""}
_MAX_DECIMALS = 4  # 0.1 µs, the cost of reading the clock twice


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One record in a table. Latencies are in ms, all None where ``emulated``.

    A percentile is None where there are too few samples for it; ``n`` reads processes × runs.
    ``precision`` is the recipe's, ``computed_in`` the device's where its runtime says it.
    ``tuned`` is ``no``, ``proxy`` or ``board``, None for an engine that does not tune. ``accuracy``
    quotes the bundle's latest evaluation on each whole data set, or else on a part of it; None
    where there is none.
    """

    record_id: str
    model: str
    recipe: str
    precision: str
    computed_in: str | None
    tuned: str | None
    threads: int
    device: str
    emulated: bool
    median_ms: float | None
    half_width_ms: float | None
    min_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    n: str
    proof: str
    verdict: str
    accuracy: str | None = None


def rows(records: Iterable[Record], evaluations: Iterable[Evaluation] = ()) -> list[Row]:
    """One row per record, in their order. ``evaluations`` of the same bundles come oldest first."""
    quoted: dict[str, dict[str, Evaluation]] = {}
    for each in evaluations:
        of_bundle = quoted.setdefault(each.bundle_id, {})
        before = of_bundle.get(each.dataset)
        # A quick look at a few images does not displace the figure of all of them.
        if before is None or before.partial or not each.partial:
            of_bundle[each.dataset] = each
    return [_row(record, quoted.get(record.bundle_id, {})) for record in records]


def render(rows: Sequence[Row], format: Format) -> str:
    """The table, without a final newline. CSV and JSON carry full figures and the record's id."""
    if format == "json":
        return json.dumps(msgspec.to_builtins(list(rows)), ensure_ascii=False, indent=2)
    if format == "csv":
        return _csv(rows)
    cells, headings = [_cells(row) for row in rows], _HEADINGS
    if any(row.accuracy for row in rows):
        cells = [(*line, row.accuracy or "") for line, row in zip(cells, rows, strict=True)]
        headings = (*_HEADINGS, _ACCURACY)
    if format == "md":
        cells = [tuple(cell.replace("|", "\\|") for cell in line) for line in cells]
    style = "github" if format == "md" else "simple"
    return tabulate(cells, headers=headings, tablefmt=style, disable_numparse=True)


def _row(record: Record, evaluations: Mapping[str, Evaluation]) -> Row:
    shown = None if record.emulated else record.summary
    return Row(
        record_id=record.record_id,
        model=record.model,
        recipe=record.recipe,
        precision=record.precision,
        computed_in=record.computed_in,
        tuned=record.tuning.tuned if record.tuning else None,
        threads=record.threads,
        device=record.device,
        emulated=record.emulated,
        median_ms=shown.median_ms if shown else None,
        half_width_ms=shown.half_width_ms if shown else None,
        min_ms=shown.min_ms if shown else None,
        p90_ms=shown.p90_ms if shown else None,
        p95_ms=shown.p95_ms if shown else None,
        p99_ms=shown.p99_ms if shown else None,
        n=_count(record.runs),
        proof=proof_text(record.proof),
        verdict=verdict_text(record),
        accuracy="; ".join(map(accuracy_text, evaluations.values())) or None,
    )


def accuracy_text(evaluation: Evaluation) -> str:
    """``AP 0.840 (coco, annotated boxes)``: what the figure is of, and how it was found.

    A flip test, a device, another precision than the recipe's and a part of the data set are named
    where there is one.
    """
    value = NOT_AVAILABLE if evaluation.value is None else f"{evaluation.value:.3f}"
    about = [evaluation.dataset]
    if evaluation.boxes in _BOXES:
        about.append(_BOXES[evaluation.boxes])
    if evaluation.flip:
        about.append("flip test")
    if evaluation.device:
        about.append(f"on {evaluation.device}")
    if evaluation.partial:
        about.append(f"{evaluation.images} images only")
    if fallback(evaluation.precision, evaluation.computed_in):
        about.append(f"computed in {evaluation.computed_in}")
    if not evaluation.trained:
        about.append("UNTRAINED")
    return f"{evaluation.metric} {value} ({', '.join(about)})"


def proof_text(proof: Proof) -> str:
    """``0.02 px, OKS 0.999`` where key points were compared, else ``tensor 3e-07`` (the worst)."""
    if not proof.passed:
        return "FAILED"
    if proof.keypoints:
        oks = math.floor(proof.keypoints.oks * 1000) / 1000  # 0.9996 is not 1
        return f"{proof.keypoints.mean_px:.2f} px, OKS {oks:.3f}"
    errors = [tensor.max_relative_error for tensor in proof.tensors]
    worst = max((error for error in errors if error is not None), default=None)
    return NOT_AVAILABLE if worst is None else f"tensor {worst:.0e}"


def recipe_text(row: Row) -> str:
    """The recipe, that the device computed in another precision, or its artifact was not tuned."""
    other = fallback(row.precision, row.computed_in)
    computed = f" (computed in {row.computed_in})" if other else ""
    return f"{row.recipe}{computed}{tuned_text(row.tuned)}"


def tuned_text(tuned: str | None) -> str:
    """To stand behind a recipe: that its artifact was not tuned on the board."""
    return _TUNED[tuned] if tuned else ""


def verdict_text(record: Record) -> str:
    """``valid``, or ``REFUSED:`` and the keyword of each reason, once."""
    if record.verdict.valid:
        return "valid"
    keywords = dict.fromkeys(reason.partition(":")[0] for reason in record.verdict.reasons)
    return f"REFUSED: {', '.join(keywords)}"


def decimals_for(half_width: float | None, value: float) -> int:
    """Decimals that show two significant digits of the half width, or three of a bare value."""
    scale, digits = (half_width, 2) if half_width else (value, 3)
    if not scale:
        return _MAX_DECIMALS
    return min(_MAX_DECIMALS, max(0, digits - 1 - math.floor(math.log10(abs(scale)))))


def _count(runs: Sequence[RunSamples]) -> str:
    """``5×200``, and where processes differ ``1×200 + 1×150``."""
    counts: dict[int, int] = {}
    for run in runs:
        counts[len(run.samples_ns)] = counts.get(len(run.samples_ns), 0) + 1
    return " + ".join(f"{processes}×{samples}" for samples, processes in counts.items()) or "0"


def _cells(row: Row) -> tuple[str, ...]:
    head = (row.model, recipe_text(row), str(row.threads), row.device)
    return (*head, *_latency_cells(row), row.n, row.proof, row.verdict)


def _latency_cells(row: Row) -> tuple[str, ...]:
    if row.emulated:
        return (EMULATED,) * 5
    if row.median_ms is None:
        return (NOT_AVAILABLE,) * 5
    decimals = decimals_for(row.half_width_ms, row.median_ms)

    def text(value: float | None) -> str:
        return NOT_AVAILABLE if value is None else f"{value:.{decimals}f}"

    headline = f"{text(row.median_ms)} ± {text(row.half_width_ms)}"
    return (headline, *map(text, (row.min_ms, row.p90_ms, row.p95_ms, row.p99_ms)))


def _csv(rows: Sequence[Row]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, Row.__struct_fields__, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = msgspec.structs.asdict(row)
        absent = EMULATED if row.emulated else NOT_AVAILABLE
        cells.update({key: absent for key in _LATENCIES if cells[key] is None})
        writer.writerow(cells)
    return file.getvalue().rstrip("\n")
