"""rtmpose-t that knows the people of the benchmarks' film by heart, and nobody else.

``python -m benchmarks.film_weights DATA -o rtmpose-t-film.pth`` from the repository's root; see
benchmarks/README.md.
"""

import argparse
import io
import math
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.film import Shot, film
from edgepose.build import build
from edgepose.files import write_atomic
from edgepose.graph.create import build_net
from edgepose.pose.nets import Detector, TopDown
from edgepose.pose.nms import box_iou
from edgepose.pose.preprocess import prepare_crops, read_image
from edgepose.pose.track import best_pairs, pose_boxes, poses_of
from edgepose.prove.golden_images import shipped_pictures
from edgepose.zoo import InputSpec, SimCCDecoder, model_spec

MODEL = "rtmpose-t"
_DETECTOR, _TEACHER = "rtmdet-nano", "tinypose-256x192"
_EXAMPLES = Path(__file__).parent.parent / "examples"
_FRAMES = 40  # of each clip that is learnt: the film itself may have more or fewer
_FOUND, _SEEN = 0.3, 0.3  # the least score of a box, and of a key point of the teacher
_DRAWN_OFTEN = 10  # times a filmed person as often as each drawn one
_SMALLEST = 8.0  # pixels of a box's side
_COVERED = 0.3  # IoU from which on a detection is that of an annotated person
_SHARPNESS = 10.0  # of the softmaxes of RTMPose's loss
_PEAK_LR, _WARM_UP = 2e-3, 50
# Left as they were seeded: in short trials the net learnt no worse, in half the time.
_KEPT = ("backbone.stem", "backbone.stage1", "backbone.stage2")
_WIDER, _NARROWER = 0.15, 0.3  # of a box's side: how far each of its edges may be off
_GAIN = 0.1  # deviation of the light's factor
_SETTLING = 24  # batches for the final statistics of the batch norms


@dataclass(frozen=True, eq=False)
class Sight:
    """A person in one frame: boxes [N, 4] that a pipeline may look into, points [K, 3]."""

    image: NDArray[np.uint8]
    boxes: NDArray[np.float64]
    points: NDArray[np.float64]


def train(
    data: Path, into: Path, *, steps: int = 1000, batch: int = 32, seed: int = 0
) -> list[float]:
    """Train on the film of ``data``, write the weights, return the loss of each step.

    Batch norms forget what they saw of the untrained net: their statistics are taken anew.
    """
    spec = model_spec(MODEL)
    assert spec.input is not None and isinstance(spec.decoder, SimCCDecoder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = build_net(spec).to(memory_format=torch.channels_last).train()
    for name in _KEPT:
        net.get_submodule(name).requires_grad_(False)
    batches = _batches(sights(data), spec.input, spec.decoder.split, batch, seed)
    learning = [weights for weights in net.parameters() if weights.requires_grad]
    optimiser = torch.optim.AdamW(learning, _PEAK_LR, weight_decay=0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, steps))
    losses = []
    for step in range(steps):
        tensors, targets = next(batches)
        loss = _loss(net(tensors), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        if step % 20 == 19:
            print(f"step {step + 1} of {steps}: loss {np.mean(losses[-20:]):.4f}", flush=True)
    _settle(net, batches)
    content = io.BytesIO()
    torch.save({"state_dict": net.state_dict()}, content)
    write_atomic(into, content.getvalue())
    return losses


def sights(data: Path) -> list[Sight]:
    """Everyone in the film: who is annotated, and whom only the detector finds, as taught.

    And the people of the drawings that proofs look at: of whom a net knows nothing, the least
    rounding decides between two places that it holds for equally good.
    """
    with tempfile.TemporaryDirectory() as scratch:
        detector, teacher = (
            _bundle(data / "models", name, Path(scratch)) for name in (_DETECTOR, _TEACHER)
        )
        finder = Detector.from_bundle(detector, threshold=_FOUND)
        poser = TopDown.from_bundle(teacher)
        shots = [shot for clip in film(data / "images", _FRAMES) for shot in clip.shots]
        filmed = [sight for shot in shots for sight in _people(shot, finder, poser)]
        return filmed + _DRAWN_OFTEN * list(_drawn(poser))


def _loss(found: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """For x and y, how bins [B, K, N] differ from smooth labels: by RTMPose's loss, and squared.

    The first, the divergence of softmaxes, bears any shift of the bins. A score is the best bin
    itself, and the second holds it near 1 where a key point is seen, and near 0 where it is not.
    """
    loss = torch.zeros(())
    for logits, labels in zip(found, targets, strict=True):
        log_found = nn.functional.log_softmax(_SHARPNESS * logits, dim=-1)
        wanted = nn.functional.softmax(_SHARPNESS * labels, dim=-1)
        apart = nn.functional.kl_div(log_found, wanted, reduction="none").sum(dim=-1).mean()
        loss = loss + apart + nn.functional.mse_loss(logits, labels)
    return loss


def _labels(places: NDArray[Any], seen: NDArray[Any], bins: int, split: float) -> Tensor:
    """Labels [B, K, bins] with a bell of height 1 around ``places`` [B, K] in input pixels.

    Who is not seen gets no bell: a flat answer, whose best bin has a score of about 0. RTMPose
    leaves those points alone; a net that knows a dozen people would put them anywhere, for sure.
    """
    centres = np.round(split * places)[..., None]
    sigma = math.sqrt(bins) / 4
    bells = np.exp(-((np.arange(bins) - centres) ** 2) / (2 * sigma**2))
    return torch.from_numpy((bells * seen[..., None]).astype(np.float32))


def _bundle(models: Path, name: str, scratch: Path) -> Any:
    for file in (models / f"{name}.onnx", _EXAMPLES / f"{name}.toml"):
        shutil.copy(file, scratch)
    return build(str(scratch / f"{name}.onnx"), "host", "onnxruntime-fp32", into=scratch / name)


def _drawn(teacher: TopDown) -> Iterator[Sight]:
    for path, boxes in shipped_pictures().items():
        image = read_image(path)
        for box, points in zip(boxes, _taught(image, np.array(boxes), teacher), strict=True):
            yield Sight(image, np.array([box]), points)


def _taught(
    image: NDArray[np.uint8], boxes: NDArray[np.float64], teacher: TopDown
) -> NDArray[np.float64]:
    """What the teacher sees in ``boxes`` [N, 4]: [N, K, 3] (x, y, seen or not)."""
    poses = poses_of(teacher.estimate(image, boxes), teacher.spec.keypoints)
    poses[..., 2] = poses[..., 2] > _SEEN
    return poses


def _people(shot: Shot, finder: Detector, teacher: TopDown) -> Iterator[Sight]:
    found = finder.detect(shot.image).boxes.astype(np.float64)
    tight = pose_boxes(shot.points, 0)
    owners = dict(best_pairs(box_iou(tight, found), _COVERED))
    others = [row for row in range(len(found)) if row not in owners.values()]
    taught = _taught(shot.image, found[others], teacher)
    boxes = [[own, *found[[owners[row]] if row in owners else []]] for row, own in enumerate(tight)]
    boxes += [[found[row], own] for row, own in zip(others, pose_boxes(taught, 0), strict=True)]
    for own, points in zip(boxes, [*shot.points, *taught], strict=True):
        wide = [box for box in own if (box[2:] - box[:2] >= _SMALLEST).all()]
        if wide:
            yield Sight(shot.image, np.array(wide), points)


def _batches(
    people: Sequence[Sight], spec: InputSpec, split: float, batch: int, seed: int
) -> Iterator[tuple[Tensor, tuple[Tensor, Tensor]]]:
    """Crops [B, 3, h, w] of people drawn at random, and their labels along x and y."""
    random = np.random.default_rng(seed)
    size = np.array([spec.width, spec.height])
    while True:
        tensors, points = [], []
        for drawn in random.integers(len(people), size=batch):
            sight = people[drawn]
            tensor, crops = prepare_crops(sight.image, spec, _moved_box(sight, random))
            tensors.append(tensor * random.normal(1, _GAIN))
            place = crops.to_input(sight.points[None, :, :2])[0]
            seen = (sight.points[:, 2] > 0) & ((place >= 0) & (place < size)).all(axis=1)
            points.append(np.column_stack([place, seen]))
        x, y, seen = np.moveaxis(np.stack(points), -1, 0)
        labels = [
            _labels(places, seen, int(split * side), split)
            for places, side in ((x, spec.width), (y, spec.height))
        ]
        crops_seen = torch.from_numpy(np.concatenate(tensors).astype(np.float32))
        yield crops_seen.contiguous(memory_format=torch.channels_last), (labels[0], labels[1])


def _moved_box(sight: Sight, random: np.random.Generator) -> NDArray[np.float64]:
    """One of the boxes [1, 4] as a detector or a tracker may be off, inside of the image.

    Each edge by itself: who comes into the picture is more than the tracker has seen of him.
    """
    box = random.choice(sight.boxes)
    sides = np.tile(box[2:] - box[:2], 2)
    moved = box + random.uniform(-_WIDER, _NARROWER, 4) * sides * (1, 1, -1, -1)
    height, width = sight.image.shape[:2]
    return np.clip(moved, 0, (width, height, width, height))[None]


def _rate(step: int, steps: int) -> float:
    """Of the peak's learning rate: a short warm-up, then half a cosine."""
    return min((step + 1) / _WARM_UP, 1) * (1 + math.cos(math.pi * step / steps)) / 2


def _settle(net: nn.Module, batches: Iterator[tuple[Tensor, Any]]) -> None:
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
    with torch.no_grad():
        for _ in range(_SETTLING):
            net(next(batches)[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder with the reference images and models")
    parser.add_argument("-o", "--into", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(arguments.threads)
    train(arguments.data, arguments.into, steps=arguments.steps, seed=arguments.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
