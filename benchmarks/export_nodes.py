"""Nodes of every zoo model's ONNX graph, as traced and as simplified, at each opset.

``python -m benchmarks.export_nodes`` from the repository's root; see benchmarks/README.md.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.results_file import circumstances, write_results
from edgepose.zoo import list_models, model_spec

OPSETS = (17,)  # what all recipes read; the tests walk over older ones
_LIMIT_S = 15.0  # for an export of a net with up to _LIMIT_PARAMETERS
_LIMIT_PARAMETERS = 5.5e6


@dataclass(frozen=True, kw_only=True)
class Export:
    """Operators of one graph before and after its simplification, and the seconds of both."""

    model: str
    opset: int
    traced: dict[str, int]
    simplified: dict[str, int]
    seconds: float

    @property
    def nodes(self) -> str:
        return f"{sum(self.traced.values())} → {sum(self.simplified.values())}"


def main() -> int:
    """Returns 0 where every export of a small net was quick enough."""
    arguments = _arguments()
    found = circumstances()
    # One thread a process: with more, each waits for the others' cores.
    with ProcessPoolExecutor(arguments.processes, initializer=_one_thread) as pool:
        per_model = list(pool.map(exports, arguments.models))
    all_exports = [each for exported in per_model for each in exported]
    slow = [
        f"{each.model} at opset {each.opset}: {each.seconds:.1f} s"
        for each in all_exports
        if each.seconds > _LIMIT_S and (model_spec(each.model).parameters or 0) < _LIMIT_PARAMETERS
    ]
    kinds = sorted({kind for each in all_exports for kind in each.simplified})
    notes = [
        "As the exporter of torch leaves the graph → as edgepose gives it to the compilers.",
        f"Operators in the simplified graphs: {', '.join(kinds)}.",
        f"Nets of up to {_LIMIT_PARAMETERS / 1e6:g} M parameters take less than {_LIMIT_S:g} s "
        f"each: {'BROKEN by ' + ', '.join(slow) if slow else 'holds'}.",
        f"{arguments.processes} processes at once; seconds are those of opset {OPSETS[-1]}.",
    ]
    data = {"exports": [asdict(each) for each in all_exports]}
    write_results("export_nodes", found, data, _HEADERS, [_row(each) for each in per_model], notes)
    return int(bool(slow))


def exports(model: str) -> list[Export]:
    from edgepose.graph.create import create_model

    net = create_model(model)
    return [_export(net, model, opset) for opset in OPSETS]


def _export(net: Any, model: str, opset: int) -> Export:
    import onnx

    from edgepose.graph.export import trace
    from edgepose.graph.simplify import simplify

    with tempfile.TemporaryDirectory() as scratch:
        before, after = (Path(scratch) / name for name in ("traced.onnx", "simplified.onnx"))
        start = time.perf_counter()
        trace(net, model_spec(model), opset, before)
        simplify(before, after)
        seconds = time.perf_counter() - start
        traced, simplified = (_operators(onnx.load(path).graph.node) for path in (before, after))
    return Export(model=model, opset=opset, traced=traced, simplified=simplified, seconds=seconds)


def _operators(nodes: Iterable[Any]) -> dict[str, int]:
    return dict(Counter(node.op_type for node in nodes).most_common())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=list_models(), help="zoo names; default: all")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    return parser.parse_args()


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


_HEADERS = ("model", "parameters", *(f"opset {opset}" for opset in OPSETS), "export")


def _row(per_opset: list[Export]) -> list[str]:
    model = per_opset[0].model
    parameters = f"{(model_spec(model).parameters or 0) / 1e6:.2f} M"
    return [
        model,
        parameters,
        *(each.nodes for each in per_opset),
        f"{per_opset[-1].seconds:.1f} s",
    ]


if __name__ == "__main__":
    sys.exit(main())
