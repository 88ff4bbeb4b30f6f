"""The inputs of a proof: shipped pictures of mannequins, the caller's images, or seeded noise."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgepose.config import load_toml
from edgepose.errors import UsageError
from edgepose.pose.preprocess import CROPS, prepare, read_image
from edgepose.zoo import InputSpec

_SHIPPED = Path(__file__).parent / "golden"
ONE_PERSON, TWO_PERSONS = _SHIPPED / "greeting.png", _SHIPPED / "pair.png"
_SUFFIXES = (".jpg", ".jpeg", ".png")

_Box = tuple[float, float, float, float]


class _Picture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One shipped picture; ``boxes`` of its persons, xyxy in pixels."""

    boxes: Annotated[tuple[_Box, ...], msgspec.Meta(min_length=1)]


class _GoldenFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``golden.toml``: the shipped pictures by name."""

    pictures: dict[str, _Picture]


@dataclass(frozen=True, eq=False)
class GoldenCase:
    """One input of a proof: ``tensor`` float32, as the net takes it; ``name`` is a file stem."""

    name: str
    tensor: NDArray[np.float32]


def golden_cases(spec: InputSpec, extra_folder: Path | None = None) -> list[GoldenCase]:
    """The shipped pictures, then the images of ``extra_folder``, each as the net's input tensor.

    A net of single persons (a crop) gets the first person of a shipped picture, and the
    whole of a caller's image: crop it to one person before. Raises UsageError where
    ``extra_folder`` is not a folder, or holds neither JPEG nor PNG, or one that cannot be read.
    """
    shipped = [
        GoldenCase(path.stem, _tensor(path, spec, boxes[0]))
        for path, boxes in shipped_pictures().items()
    ]
    extra = [
        GoldenCase(f"own-{number}-{_plain(path.stem)}", _tensor(path, spec, None))
        for number, path in enumerate(_some_images_of(extra_folder) if extra_folder else [], 1)
    ]
    return shipped + extra


def seeded_case(shape: tuple[int, ...], seed: int = 0) -> GoldenCase:
    """Normal noise N(0, 1), the same in every build: for nets whose input means nothing to us."""
    noise = np.random.default_rng(seed).standard_normal(shape, np.float32)
    return GoldenCase("seeded", noise)


def shipped_pictures() -> dict[Path, tuple[_Box, ...]]:
    """The drawings that every proof looks at, with the boxes of their persons, xyxy in pixels."""
    known = load_toml(_SHIPPED / "golden.toml", _GoldenFile).pictures
    return {_SHIPPED / f"{name}.png": picture.boxes for name, picture in known.items()}


def images_of(folder: Path) -> list[Path]:
    """The JPEG and PNG files in ``folder``, sorted. Raises UsageError where it is no folder."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", hint="Give a folder of JPEG or PNG images.")
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)


def _some_images_of(folder: Path) -> list[Path]:
    images = images_of(folder)
    if not images:
        raise UsageError(
            f"{folder} holds no image ({', '.join(_SUFFIXES)})", hint="Put images into the folder."
        )
    return images


def _tensor(path: Path, spec: InputSpec, box: _Box | None) -> NDArray[np.float32]:
    return prepare(read_image(path), spec, box if spec.fit in CROPS else None)[0]


def _plain(stem: str) -> str:
    """The stem with nothing in it that a shell or a file system on a board could stumble over."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem)[:40]
