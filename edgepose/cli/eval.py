"""``edgepose eval MODEL|BUNDLE --dataset D``: how right its key points are on annotated images."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgepose.cli.common import Commands, add_json, positive, print_fields, print_json, print_table
from edgepose.cli.find_bundle import (
    add_bundle_options,
    add_detector_options,
    bundle_for,
    detector_of,
    recipe_of,
    refuse_weights_without_detector,
    warn_of_seeded_weights,
)
from edgepose.cli.live_line import LiveLine

if TYPE_CHECKING:
    from edgepose.evaluate.progress import Progress
    from edgepose.evaluate.record import Evaluation

DATASETS = ("coco", "crowdpose", "mpii", "coco-wholebody", "ap10k")
_BOXES = {
    "truth": "annotated boxes",
    "detections": "boxes from a file of detections",
    "detector": "boxes from {detector}",
    "none": "no boxes needed",
}


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser("eval", help="score key points on an annotated data set")
    parser.add_argument(
        "what",
        metavar="MODEL|BUNDLE",
        help="a zoo name, an ONNX file or a bundle's folder; a missing bundle is built",
    )
    parser.add_argument("--dataset", required=True, choices=DATASETS)
    parser.add_argument(
        "--images", required=True, type=Path, metavar="DIR", help="folder of the images"
    )
    parser.add_argument(
        "--annotations", required=True, type=Path, metavar="FILE", help="the data set's JSON file"
    )
    parser.add_argument(
        "--detections",
        default="gt",
        metavar="FILE|gt",
        help="boxes for a top-down net: a JSON list of COCO detections, or gt, the annotated ones "
        "(default: gt)",
    )
    add_detector_options(parser, "find the boxes with this net")
    parser.add_argument(
        "--flip", action="store_true", help="average with the mirrored image, as most papers do"
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="the first N images only")
    parser.add_argument(
        "--device", metavar="NAME", help="run the net on this device (default: in this process)"
    )
    add_bundle_options(parser, has_device=True)
    parser.add_argument("--into", type=Path, metavar="FILE", help="write the result there as JSON")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    import msgspec

    from edgepose.devices.inventory import find_device
    from edgepose.evaluate.demand import Demand
    from edgepose.evaluate.session import evaluate, on_a_device, this_process
    from edgepose.evaluate.store import append_evaluation
    from edgepose.files import write_atomic

    refuse_weights_without_detector(arguments)
    target = find_device(arguments.device).target if arguments.device else "host"
    bundle = bundle_for(arguments.what, target, recipe_of(arguments, target), arguments.weights)
    detector = detector_of(arguments)
    warn_of_seeded_weights(bundle, detector)
    demand = Demand(
        bundle=bundle,
        dataset=arguments.dataset,
        images=arguments.images,
        annotations=arguments.annotations,
        detections=None if arguments.detections == "gt" else Path(arguments.detections),
        detector=detector,
        flip=arguments.flip,
        limit=arguments.limit,
        threads=arguments.threads,
    )
    site = on_a_device(demand, arguments.device) if arguments.device else this_process(demand)
    with LiveLine(quiet=arguments.quiet) as line:

        def show(progress: "Progress") -> None:
            first_or_last = progress.done in (progress.known, progress.total)
            share = progress.done / progress.total
            line.show(lambda: str(progress), share, always=first_or_last)

        found = evaluate(demand, site, show)
    if arguments.into:  # first: where it cannot be written, nothing is kept twice
        content = msgspec.json.format(msgspec.json.encode(found), indent=1)
        write_atomic(arguments.into, content + b"\n")
    append_evaluation(found)
    if arguments.json:
        print_json(found)
    else:
        _print(found)
    return 0


def _print(found: "Evaluation") -> None:
    boxes = _BOXES[found.boxes].format(detector=found.detector)
    flip = "with flip test" if found.flip else "without flip test"
    where = f"on {found.device}" if found.device else "in this process"
    part = ", a part of the data set" if found.partial else ""
    weights = "" if found.trained else " with random weights"
    print_fields(
        [
            ("model", f"{found.model}{weights} ({found.recipe}), bundle {found.bundle_id}"),
            ("where", where),
            ("data", f"{found.dataset}: {found.images} images, {found.people} people{part}"),
            ("how", f"{boxes}, {flip}"),
        ]
    )
    print()
    metrics = list(next(iter(found.scores.values())))
    rows = [
        [group, *(_percent(scores[metric]) for metric in metrics)]
        for group, scores in found.scores.items()
    ]
    print_table(["", *metrics], rows)


def _percent(value: float | None) -> str:
    """0.8401 as ``0.840``."""
    return "n/a" if value is None else f"{value:.3f}"
