"""Everything that a zoo model costs before any engine sees it: counts, operators, memory."""

import logging
import tempfile
from pathlib import Path

import msgspec
import torch

from edgepose.graph.create import create_model
from edgepose.graph.export import export
from edgepose.graph.inspect import Stage, count_by_rule, count_macs, count_parameters, stages
from edgepose.graph.memory import GraphCost, graph_cost
from edgepose.zoo import family_of, model_spec

OPSET = 17  # the highest that every recipe reads

_log = logging.getLogger(__name__)


class Costs(msgspec.Struct, frozen=True):
    """``paper_macs`` are the MACs as ``paper_rule``, the tool behind the paper, counts them."""

    model: str
    parameters: int
    macs: int
    paper_rule: str | None
    paper_macs: int | None
    published_gmacs: float | None
    opset: int
    graph: GraphCost
    stages: list[Stage]


def costs(name: str) -> Costs:
    """Build, count, export and simplify the zoo model ``name``. Raises UsageError, BuildError."""
    spec = model_spec(name)
    assert spec.input is not None, "every zoo model says its input"
    _log.info("%s: counting", name)
    net = create_model(spec)
    image = (torch.empty(1, 3, spec.input.height, spec.input.width, device="meta"),)
    rule = family_of(spec).counting
    _log.info("%s: exporting at opset %d", name, OPSET)
    with tempfile.TemporaryDirectory() as folder:
        graph = graph_cost(export(net, spec, OPSET, Path(folder) / "model.onnx").path)
    return Costs(
        model=name,
        parameters=count_parameters(net),
        macs=count_macs(net, image),
        paper_rule=rule.tool if rule else None,
        paper_macs=count_by_rule(net, image, rule) if rule else None,
        published_gmacs=spec.published.gmacs,
        opset=OPSET,
        graph=graph,
        stages=stages(net, image),
    )
