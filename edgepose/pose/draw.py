"""Skeletons on a picture: limbs in the colour of their side, as opaque as their points are sure.

Each person is drawn into a layer of colour and a layer of opacity, which together go onto the
picture: so where limbs cross nothing shows through, and a dark rim sets them off any background.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgepose.pose.draw_layer import Color, Image, Layer, blend
from edgepose.pose.draw_text import pill
from edgepose.pose.keypoint_sets import KeypointSet, Side
from edgepose.pose.people import Person

COLORS: dict[Side, Color] = {
    "left": (255, 190, 56),  # sky
    "right": (82, 122, 255),  # coral
    "centre": (205, 240, 250),  # ivory
}
_LIGHT_COLORS: dict[Side, Color] = {  # of a joint on its limb
    "left": (255, 232, 185),
    "right": (194, 208, 255),
    "centre": (237, 250, 253),
}
_RIM: Color = (40, 28, 24)
_RIM_OPACITY = 0.55
_LEAST_OPACITY = 0.4  # of a point that is just sure enough to be drawn
_SURE = 0.4  # this much above the threshold a point is drawn fully
_FAR = 1e6
_DETAILS = 0.3  # how wide fingers and lips are beside limbs


@dataclass(frozen=True)
class DrawStyle:
    """Points with a score of at least ``threshold`` are drawn."""

    threshold: float = 0.3
    ids: bool = True
    boxes: bool = False


@dataclass(frozen=True, eq=False)
class _Look:
    """What all people of a picture have in common: ``links`` [L, 2] and colours, by limb and point.

    ``scales`` [K] say how wide what ends at a point may be, beside a limb.
    """

    links: NDArray[np.intp]
    limb_colors: list[Color]
    point_colors: list[Color]
    scales: NDArray[np.float64]

    @classmethod
    def of(cls, points: KeypointSet) -> "_Look":
        return cls(
            np.array([(limb.start, limb.end) for limb in points.limbs], np.intp).reshape(-1, 2),
            [COLORS[limb.side] for limb in points.limbs],
            [_LIGHT_COLORS[side] for side in points.sides],
            np.where(np.arange(len(points.names)) < points.details_from, 1.0, _DETAILS),
        )


def draw(
    image: Image,
    people: Sequence[Person],
    points: KeypointSet,
    style: DrawStyle = DrawStyle(),
    note: str = "",
) -> Image:
    """A new picture: ``people`` drawn on uint8 BGR ``image`` [H, W, 3], and ``note`` in a corner.

    People with larger boxes are taken as nearer, and drawn later.
    """
    drawn = image.copy()
    nearer_last = sorted(people, key=lambda person: _area(person.box))
    look = _Look.of(points)
    for person in nearer_last:
        _draw_person(drawn, person, look, style)
    if style.ids:
        for person in nearer_last:
            _label(drawn, person, style)
    if note:
        _note(drawn, note)
    return drawn


def _area(box: NDArray[np.float64]) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _seen(person: Person, style: DrawStyle) -> NDArray[np.bool_]:
    """Which points [K] are drawn: sure enough, and not so far off that OpenCV's integers end."""
    near = (np.abs(person.points) < _FAR).all(axis=1)  # not so for NaN
    return (person.scores >= style.threshold) & (person.scores > 0) & near


def _limb_width(person: Person, seen: NDArray[np.bool_]) -> float:
    """Pixels, from the person's size as box and points tell it."""
    spread = np.ptp(person.points[seen], axis=0)
    extent = max(float(np.hypot(*spread)), 0.7 * _area(person.box) ** 0.5)
    return float(np.clip(0.017 * extent, 1.6, 12.0))


def _draw_person(image: Image, person: Person, look: _Look, style: DrawStyle) -> None:
    seen = _seen(person, style)
    if not seen.any():
        return
    width = _limb_width(person, seen)
    margin = int(2 * width) + 4
    corners = person.points[seen]
    if style.boxes:
        corners = np.concatenate([corners, person.box.reshape(2, 2)])
    height, whole_width = image.shape[:2]
    x0, y0 = (max(int(value), 0) for value in np.floor(corners.min(axis=0)) - margin)
    x1, y1 = np.ceil(corners.max(axis=0)).astype(int) + margin
    area = image[y0 : min(y1, height), x0 : min(x1, whole_width)]
    if area.size == 0:
        return
    layer = Layer(area.shape, _RIM, (x0, y0))
    sure = np.clip((person.scores - style.threshold) / _SURE, 0, 1)
    opacity = _LEAST_OPACITY + (1 - _LEAST_OPACITY) * sure
    if style.boxes:
        layer.box(person.box, max(1.0, 0.4 * width), COLORS["centre"])
    _strokes(layer, person.points, look, seen, opacity, width)
    layer.onto(area)


def _strokes(
    layer: Layer,
    places: NDArray[np.float64],
    look: _Look,
    seen: NDArray[np.bool_],
    opacity: NDArray[np.float64],
    width: float,
) -> None:
    """All rims first, so that the limbs of one body join; then limbs, then joints."""
    (limbs,) = np.nonzero(seen[look.links].all(axis=1))
    (joints,) = np.nonzero(seen)
    links, scales = look.links[limbs], look.scales * width
    most = scales[links].min(axis=1)
    start, end = places[links[:, 0]], places[links[:, 1]]
    # Short limbs, such as those of a face, would be blots at full width.
    lengths = np.hypot(*(end - start).T)
    thick = np.maximum(1.0, np.clip(0.22 * lengths, 0.4 * most, most))
    widest = np.zeros(len(places))
    np.maximum.at(widest, links.ravel(), np.repeat(thick, 2))
    radii = np.where(widest > 0, np.minimum(0.55 * scales, 0.62 * widest), 0.55 * scales)
    radii, rims = np.maximum(0.6, radii[joints]), np.maximum(0.8, 0.25 * scales)
    limb_opacity = opacity[links].min(axis=1)

    layer.bars(start, end, thick + 2 * rims[links].min(axis=1), _RIM_OPACITY * limb_opacity)
    layer.dots(places[joints], radii + rims[joints], _RIM_OPACITY * opacity[joints])
    layer.bars(start, end, thick, limb_opacity, [look.limb_colors[index] for index in limbs])
    layer.dots(
        places[joints], radii, opacity[joints], [look.point_colors[index] for index in joints]
    )


def _label(image: Image, person: Person, style: DrawStyle) -> None:
    """The person's id on a small pill above the head."""
    seen = _seen(person, style)
    if person.id is None or not seen.any():
        return
    top = person.points[seen][person.points[seen][:, 1].argmin()]
    width = _limb_width(person, seen)
    height = round(float(np.clip(5.5 * width, 15, 40)))
    color, opacity = pill(str(person.id), height)
    x = round(float(top[0])) - opacity.shape[1] // 2
    y = round(float(min(top[1], person.box[1] + height / 2)) - 1.3 * height - 2 * width)
    _stamp(image, color, opacity, x, y)


def _note(image: Image, text: str) -> None:
    """A pill in the upper left corner."""
    size = min(image.shape[:2])
    color, opacity = pill(text, round(float(np.clip(0.045 * size, 18, 60))))
    margin = round(0.02 * size) + 2
    _stamp(image, color, opacity, margin, margin)


def _stamp(image: Image, color: Image, opacity: Image, x: int, y: int) -> None:
    """Blend at ``x``, ``y``, moved to lie within the image; not at all where it does not fit."""
    height, width = opacity.shape
    if height > image.shape[0] or width > image.shape[1]:
        return
    x = min(max(x, 0), image.shape[1] - width)
    y = min(max(y, 0), image.shape[0] - height)
    blend(image[y : y + height, x : x + width], color, opacity)
