"""Draws the golden images: shaded mannequins in front of plain rooms, our own work to the pixel.

A body is a set of ellipsoids swept along bones, drawn with a depth buffer and lit by one lamp.
Lengths are fractions of the body's height; x points right in the image, y down, z to the viewer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, radians, sin

import cv2
import numpy as np
from numpy.typing import NDArray

Color = tuple[float, float, float]  # blue, green, red, 0..255
Point = NDArray[np.float64]

WIDTH, HEIGHT = 640, 480
_SUPERSAMPLING = 2
_LAMP = np.array([-0.45, -0.65, 0.62]) / np.linalg.norm([-0.45, -0.65, 0.62])

# COCO's order of the key points
JOINTS = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear"),
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    *("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
)


@dataclass(frozen=True)
class Person:
    """A mannequin that faces us: its feet stand at ``foot``, it is ``height`` pixels tall.

    Angles in degrees, (sideways, forwards): 0 hangs down, sideways 90 points away from the body
    and 180 up; forwards 90 points at the viewer. Each limb is (upper part, lower part).
    """

    foot: tuple[float, float]
    height: float
    left_arm: tuple[tuple[float, float], tuple[float, float]] = ((12, 0), (6, 10))
    right_arm: tuple[tuple[float, float], tuple[float, float]] = ((12, 0), (6, 10))
    left_leg: tuple[tuple[float, float], tuple[float, float]] = ((5, 0), (2, 0))
    right_leg: tuple[tuple[float, float], tuple[float, float]] = ((5, 0), (2, 0))
    lean: float = 0.0
    skin: Color = (140, 172, 224)
    hair: Color = (26, 36, 52)
    shirt: Color = (60, 60, 190)
    trousers: Color = (110, 70, 45)
    shoes: Color = (45, 45, 50)
    bare_arms: bool = True


@dataclass(frozen=True)
class Scene:
    """One golden image: who stands before which wall on which floor."""

    name: str
    persons: tuple[Person, ...]
    wall: Color
    floor: Color
    horizon: float
    seed: int


@dataclass(frozen=True, eq=False)
class Picture:
    """``image`` uint8 BGR [480, 640, 3]; in pixels ``boxes`` [N, 4] xyxy, ``joints`` [N, 17, 2]."""

    image: NDArray[np.uint8]
    boxes: NDArray[np.float64]
    joints: NDArray[np.float64]


@dataclass(frozen=True)
class _Sweep:
    """An ellipsoid that moves from ``start`` to ``end`` while its radii change; all in pixels."""

    start: Point
    end: Point
    radii: Point
    end_radii: Point
    color: Color


@dataclass
class _Canvas:
    """Colour and depth at the supersampled size; ``mask`` marks the current person."""

    color: NDArray[np.float32]
    depth: NDArray[np.float32]
    mask: NDArray[np.bool_]
    bumps: NDArray[np.float32]


SCENES = (
    Scene(
        name="greeting",
        persons=(
            Person(
                foot=(330, 448),
                height=410,
                right_arm=((62, 5), (150, 12)),
                left_arm=((24, 0), (10, 15)),
                left_leg=((9, 0), (3, 0)),
                right_leg=((7, 0), (3, 0)),
            ),
        ),
        wall=(150, 172, 186),
        floor=(92, 120, 148),
        horizon=0.69,
        seed=1,
    ),
    Scene(
        name="lunge",
        persons=(
            Person(
                foot=(322, 440),
                height=415,
                lean=6,
                right_arm=((88, 0), (94, 0)),
                left_arm=((86, 0), (170, 5)),
                left_leg=((42, 10), (-4, -5)),
                right_leg=((30, 0), (26, 0)),
                shirt=(150, 110, 40),
                trousers=(50, 50, 55),
                skin=(80, 112, 160),
                hair=(16, 18, 22),
                shoes=(200, 205, 210),
            ),
        ),
        wall=(168, 186, 160),
        floor=(110, 118, 120),
        horizon=0.66,
        seed=2,
    ),
    Scene(
        name="pair",
        persons=(
            Person(
                foot=(205, 440),
                height=385,
                left_arm=((38, 0), (-62, 18)),
                right_arm=((38, 0), (-62, 18)),
                shirt=(70, 140, 70),
                trousers=(130, 110, 90),
                hair=(70, 120, 165),
                skin=(165, 195, 235),
            ),
            Person(
                foot=(440, 458),
                height=365,
                left_arm=((150, 0), (168, 0)),
                right_arm=((20, 0), (8, 25)),
                left_leg=((10, 0), (4, 0)),
                right_leg=((10, 0), (4, 0)),
                shirt=(205, 205, 200),
                trousers=(95, 60, 35),
                skin=(95, 130, 185),
                bare_arms=False,
            ),
        ),
        wall=(205, 190, 178),
        floor=(80, 96, 110),
        horizon=0.7,
        seed=3,
    ),
)


def render(scene: Scene) -> Picture:
    """Draw the scene; the same scene gives the same picture."""
    size = (HEIGHT * _SUPERSAMPLING, WIDTH * _SUPERSAMPLING)
    random = np.random.default_rng(scene.seed)
    canvas = _Canvas(
        color=_room(scene, size, random),
        depth=np.full(size, -np.inf, np.float32),
        mask=np.zeros(size, np.bool_),
        bumps=_clouds(random, size, cells=48),
    )
    joints, boxes = [], []
    for person in scene.persons:
        _shadow(canvas, person)
    for person in scene.persons:
        canvas.mask[:] = False
        joints.append(_draw_person(canvas, person) / _SUPERSAMPLING)
        y, x = np.nonzero(canvas.mask)
        boxes.append(np.array([x.min(), y.min(), x.max() + 1, y.max() + 1]) / _SUPERSAMPLING)
    image = cv2.resize(canvas.color, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return Picture(
        np.clip(image, 0, 255).round().astype(np.uint8), np.array(boxes), np.array(joints)
    )


def _clouds(random: np.random.Generator, size: tuple[int, int], cells: int) -> NDArray[np.float32]:
    """Smooth noise about 0 of deviation 1; ``cells`` is the number of blobs across."""
    rows = max(cells * size[0] // size[1], 2)
    grid = random.standard_normal((rows, cells)).astype(np.float32)
    noise: NDArray[np.float32] = cv2.resize(grid, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    return noise


def _room(scene: Scene, size: tuple[int, int], random: np.random.Generator) -> NDArray[np.float32]:
    """Wall with a picture and a skirting board, floor with planks, light from the left."""
    height, width = size
    rows, columns = np.indices(size, np.float32)
    u, v = columns / width, rows / height
    light = 1.06 - 0.3 * u - 0.16 * v + 0.02 * _clouds(random, size, cells=14)
    image: NDArray[np.float32] = np.array(scene.wall, np.float32) * light[..., None]
    floor = v > scene.horizon
    depth = (v - scene.horizon) / (1 - scene.horizon)
    across = (u - 0.5) / (0.35 + np.clip(depth, 0, 1))
    plank = np.floor(across * 9)
    tone = 0.9 + 0.05 * np.sin(plank * 12.9) + 0.25 * np.clip(depth, 0, 1)
    joint = np.abs(across * 9 - plank - 0.5) > 0.47
    tone = np.where(joint, tone * 0.8, tone) * light
    image = np.where(floor[..., None], np.array(scene.floor, np.float32) * tone[..., None], image)
    board = (v > scene.horizon - 0.03) & ~floor
    image[board] = np.array([225, 228, 230], np.float32) * light[board, None] * 0.9
    left, top = (0.06, 0.12) if scene.seed % 2 else (0.76, 0.1)
    frame = (np.abs(u - left - 0.08) < 0.085) & (np.abs(v - top - 0.14) < 0.15)
    inner = (np.abs(u - left - 0.08) < 0.075) & (np.abs(v - top - 0.14) < 0.135)
    image[frame] = np.array([40, 60, 80], np.float32)
    sky = np.array([190, 160, 120], np.float32) * (1.1 - v[inner, None])
    hill = v[inner] > top + 0.17 + 0.03 * np.sin(u[inner] * 60)
    image[inner] = np.where(hill[:, None], np.array([70, 110, 80], np.float32), sky)
    return image.astype(np.float32)


def _shadow(canvas: _Canvas, person: Person) -> None:
    """A soft dark ellipse on the floor, to the right of the feet."""
    height, width = canvas.depth.shape
    scale = _SUPERSAMPLING
    x, y = person.foot[0] + 0.09 * person.height, person.foot[1] - 0.005 * person.height
    rows, columns = np.indices((height, width), np.float32)
    u = (columns / scale - x) / (0.26 * person.height)
    v = (rows / scale - y) / (0.04 * person.height)
    canvas.color *= (1 - 0.5 * np.exp(-(u**2) - v**2))[..., None]


def _draw_person(canvas: _Canvas, person: Person) -> NDArray[np.float64]:
    """Draw one mannequin; its joints [17, 2] in supersampled pixels."""
    joints = _skeleton(person)
    for sweep in _body(person, joints):
        _draw(canvas, sweep)
    return np.array([joints[name][:2] for name in JOINTS])


def _direction(angles: tuple[float, float], side: int) -> Point:
    sideways, forwards = radians(angles[0]), radians(angles[1])
    return np.array(
        [side * sin(sideways) * cos(forwards), cos(sideways) * cos(forwards), sin(forwards)]
    )


def _skeleton(person: Person) -> dict[str, Point]:
    """Every joint's position x, y, z in supersampled pixels."""
    unit = person.height * _SUPERSAMPLING
    pelvis = np.array([0.0, -0.52, 0.0])
    up = np.array([sin(radians(person.lean)), -cos(radians(person.lean)), 0.0])
    right = np.array([-up[1], up[0], 0.0])
    neck, head = pelvis + 0.32 * up, pelvis + 0.405 * up
    face = np.array([0.0, 0.0, 1.0])
    joints = {
        "pelvis": pelvis,
        "neck": neck,
        "head": head,
        "nose": head + 0.066 * face - 0.012 * up,
    }
    for side, name in ((1, "left"), (-1, "right")):
        joints[f"{name}_eye"] = head + 0.056 * face + 0.012 * up + side * 0.021 * right
        joints[f"{name}_ear"] = head - 0.002 * up + side * 0.053 * right
        joints[f"{name}_shoulder"] = neck - 0.02 * up + side * 0.103 * right
        joints[f"{name}_hip"] = pelvis + side * 0.056 * right
        limbs = (("arm", "shoulder", "elbow", "wrist"), ("leg", "hip", "knee", "ankle"))
        for (limb, root, middle, end), lengths in zip(
            limbs, ((0.172, 0.148), (0.24, 0.235)), strict=True
        ):
            upper, lower = getattr(person, f"{name}_{limb}")
            start = joints[f"{name}_{root}"]
            joints[f"{name}_{middle}"] = start + lengths[0] * _direction(upper, side)
            joints[f"{name}_{end}"] = joints[f"{name}_{middle}"] + lengths[1] * _direction(
                lower, side
            )
    lowest = max(joints["left_ankle"][1], joints["right_ankle"][1]) + 0.04
    origin = np.array([person.foot[0] * _SUPERSAMPLING, person.foot[1] * _SUPERSAMPLING, 0.0])
    return {
        name: origin + unit * (point - np.array([0.0, lowest, 0.0]))
        for name, point in joints.items()
    }


def _body(person: Person, joints: dict[str, Point]) -> Iterator[_Sweep]:
    """All parts of the mannequin."""
    unit = person.height * _SUPERSAMPLING

    def sweep(
        start: Point, end: Point, radii: float | Color, end_radii: float | Color, color: Color
    ) -> _Sweep:
        first, last = (np.broadcast_to(np.array(r) * unit, (3,)) for r in (radii, end_radii))
        return _Sweep(start, end, first, last, color)

    pelvis, neck, head = joints["pelvis"], joints["neck"], joints["head"]
    up = (neck - pelvis) / np.linalg.norm(neck - pelvis) * unit
    front = np.array([0.0, 0.0, unit])
    waist, chest = pelvis + 0.12 * up, pelvis + 0.255 * up
    seat, hem, collar = pelvis - 0.015 * up, pelvis + 0.055 * up, neck - 0.02 * up
    yield sweep(seat, waist, (0.088, 0.06, 0.06), (0.077, 0.05, 0.055), person.trousers)
    yield sweep(hem, waist, (0.088, 0.045, 0.064), (0.079, 0.05, 0.058), person.shirt)
    yield sweep(waist, chest, (0.079, 0.05, 0.058), (0.098, 0.05, 0.066), person.shirt)
    yield sweep(chest, collar, (0.098, 0.05, 0.066), (0.062, 0.026, 0.045), person.shirt)
    yield sweep(collar, head - 0.04 * up, 0.032, 0.029, person.skin)
    yield from _head(person, head, up, front, unit)
    sleeve = person.skin if person.bare_arms else person.shirt
    for side in ("left", "right"):
        shoulder, elbow, wrist = (joints[f"{side}_{j}"] for j in ("shoulder", "elbow", "wrist"))
        hip, knee, ankle = (joints[f"{side}_{j}"] for j in ("hip", "knee", "ankle"))
        middle = shoulder + 0.55 * (elbow - shoulder)
        yield sweep(neck - 0.03 * up, shoulder, 0.034, 0.036, person.shirt)
        yield sweep(shoulder, middle, 0.038, 0.035, person.shirt)
        yield sweep(middle, elbow, 0.029, 0.025, sleeve)
        yield sweep(elbow, wrist, 0.026, 0.018, sleeve)
        hand = wrist + (wrist - elbow) / np.linalg.norm(wrist - elbow) * 0.055 * unit
        yield sweep(wrist, hand, (0.018, 0.018, 0.014), (0.021, 0.021, 0.012), person.skin)
        yield sweep(hip, knee, 0.058, 0.039, person.trousers)
        yield sweep(knee, ankle, 0.038, 0.026, person.trousers)
        outwards = 0.012 if side == "left" else -0.012
        toe = ankle + unit * np.array([outwards, 0.022, 0.09])
        heel = ankle + unit * np.array([0.0, 0.018, -0.01])
        yield sweep(heel, toe, (0.027, 0.023, 0.03), (0.03, 0.017, 0.03), person.shoes)


def _head(person: Person, head: Point, up: Point, front: Point, unit: float) -> Iterator[_Sweep]:
    """Skull, hair, ears, eyes, brows, nose and mouth."""
    right = np.array([-up[1], up[0], 0.0])
    red = (person.skin[0] * 0.62, person.skin[1] * 0.6, person.skin[2] * 0.82)

    def blob(x: float, y: float, z: float, radii: Color, color: Color) -> _Sweep:
        place = head + x * right + y * up + z * front
        return _Sweep(place, place, np.array(radii) * unit, np.array(radii) * unit, color)

    yield blob(0, 0.008, 0, (0.052, 0.062, 0.06), person.skin)
    yield blob(0, -0.025, 0.006, (0.041, 0.045, 0.05), person.skin)
    yield blob(0, 0.03, -0.014, (0.056, 0.054, 0.06), person.hair)
    for side in (-1, 1):
        yield blob(side * 0.053, -0.002, 0, (0.009, 0.017, 0.012), person.skin)
        yield blob(side * 0.021, 0.012, 0.05, (0.0105, 0.0055, 0.01), (235, 235, 235))
        yield blob(side * 0.021, 0.012, 0.056, (0.0055, 0.0055, 0.008), (30, 35, 45))
        yield blob(side * 0.021, 0.025, 0.05, (0.013, 0.003, 0.01), person.hair)
    yield blob(0, -0.002, 0.056, (0.007, 0.014, 0.012), person.skin)
    yield blob(0, -0.013, 0.058, (0.0105, 0.007, 0.014), person.skin)
    yield blob(0, -0.036, 0.045, (0.017, 0.0045, 0.014), red)


def _draw(canvas: _Canvas, sweep: _Sweep) -> None:
    """Stamp the ellipsoid along its way, about one stamp per supersampled pixel and a half."""
    stamps = int(np.linalg.norm(sweep.end - sweep.start) / 1.5) + 1
    for t in np.linspace(0, 1, stamps):
        center = sweep.start + t * (sweep.end - sweep.start)
        _stamp(canvas, center, sweep.radii + t * (sweep.end_radii - sweep.radii), sweep.color)


def _stamp(canvas: _Canvas, center: Point, radii: Point, color: Color) -> None:
    """Draw one ellipsoid where it is nearer than what is there, shaded by its normals."""
    height, width = canvas.depth.shape
    x0, y0 = (max(int(c - r), 0) for c, r in zip(center[:2], radii[:2], strict=True))
    x1 = min(int(center[0] + radii[0]) + 2, width)
    y1 = min(int(center[1] + radii[1]) + 2, height)
    if x0 >= x1 or y0 >= y1:
        return
    area = np.s_[y0:y1, x0:x1]
    u = (np.arange(x0, x1) - center[0])[None] / radii[0]
    v = (np.arange(y0, y1) - center[1])[:, None] / radii[1]
    w = np.sqrt(np.clip(1 - u**2 - v**2, 0, None))
    depth = center[2] + w * radii[2]
    nearer = (u**2 + v**2 < 1) & (depth > canvas.depth[area])
    normal = np.stack(np.broadcast_arrays(u / radii[0], v / radii[1], w / radii[2]), axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-9
    lit = np.clip(normal @ _LAMP + 0.05 * canvas.bumps[area], 0, 1)
    shade = 0.42 + 0.2 * normal[..., 2] + 0.55 * lit
    canvas.color[area][nearer] = (np.array(color) * shade[..., None])[nearer]
    canvas.depth[area][nearer] = depth[nearer]
    canvas.mask[area][nearer] = True
