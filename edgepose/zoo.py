"""The zoo: every model's name, shape, decoder, counts and published figures, as data.

The data is read from ``models_src/**/variants.toml``, one table per family. Nothing here imports
torch.
"""

from functools import cache
from typing import Annotated, Any, Literal

import msgspec

from edgepose.config import load_toml, pick
from edgepose.errors import ConfigError
from edgepose.places import models_source

Positive = Annotated[int, msgspec.Meta(gt=0)]
Task = Literal["top-down", "bottom-up", "detection", "classification", "unknown"]


class _Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of everything that is read from a file: immutable, strict about its keys."""


class InputSpec(_Data, frozen=True, kw_only=True):
    """How an image becomes the net's input tensor, float32 [1, 3, height, width].

    ``mean`` and ``std`` are in 0..255 units and in the order of ``color``.
    ``fit``: ``crop`` = affine crop around a person's box, ``crop-udp`` = one from pixel centre to
    pixel centre (UDP); ``letterbox`` = keep the ratio, pad right and bottom; ``center`` = keep the
    ratio, pad around; ``short`` = keep the ratio, short side to short side, pad or cut the other;
    ``stretch`` = resize to fit.
    """

    height: Positive
    width: Positive
    color: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (255.0, 255.0, 255.0)
    fit: Literal["crop", "crop-udp", "letterbox", "center", "short", "stretch"] = "stretch"
    pad: float = 0.0


class SimCCDecoder(_Data, frozen=True, kw_only=True, tag_field="kind", tag="simcc"):
    """Two outputs [1, K, width·split] and [1, K, height·split] of per-axis bins."""

    split: float = 2.0


class HeatmapDecoder(_Data, frozen=True, kw_only=True, tag_field="kind", tag="heatmap"):
    """One output [1, K, height/stride, width/stride]; cell i lies at input pixel i·stride.

    With ``refine = "udp"`` the first cell lies at the first pixel and the last at the last one.
    ``blur_kernel`` is in cells, and odd.
    """

    refine: Literal["none", "quarter", "dark", "udp"] = "quarter"
    blur_kernel: Positive = 11

    def __post_init__(self) -> None:
        if self.blur_kernel % 2 == 0:
            raise ValueError(f"blur_kernel must be odd, not {self.blur_kernel}")


class RTMDetDecoder(_Data, frozen=True, kw_only=True, tag_field="kind", tag="rtmdet"):
    """Per level classification logits and l, t, r, b distances in input pixels.

    ``layout``: ``split`` = cls [1, C, h, w] per level, then reg [1, 4, h, w] per level;
    ``fused`` = one output [1, h, w, C + 4] per level.
    """

    strides: tuple[Positive, ...] = (8, 16, 32)
    score_threshold: float = 0.05
    nms_iou: float = 0.6
    layout: Literal["split", "fused"] = "split"


class AssociativeDecoder(_Data, frozen=True, kw_only=True, tag_field="kind", tag="associative"):
    """Heatmaps and tag maps of a bottom-up net: out0 [1, 2K, h/4, w/4], out1 [1, K, h/2, w/2]."""

    detection_threshold: float = 0.1
    tag_threshold: float = 1.0
    max_people: Positive = 30

    def __post_init__(self) -> None:
        if not self.detection_threshold >= 0:
            raise ValueError(
                f"detection_threshold must be 0 or more, not {self.detection_threshold:g}"
            )


Decoder = SimCCDecoder | HeatmapDecoder | RTMDetDecoder | AssociativeDecoder


class PublishedAP(_Data, frozen=True, kw_only=True):
    value: float
    dataset: str
    note: str = ""


class Published(_Data, frozen=True, kw_only=True):
    """What the paper prints; absent where it prints nothing."""

    parameters_m: float | None = None
    gmacs: float | None = None
    ap: PublishedAP | None = None
    notes: tuple[str, ...] = ()


class WeightsSource(_Data, frozen=True, kw_only=True):
    """A checkpoint of the original authors: a URL, or a cloud-drive id to fetch by hand."""

    name: str
    url: str | None = None
    drive_id: str | None = None
    sha256_prefix: str | None = None


class CountingRule(_Data, frozen=True, kw_only=True):
    """How the tool behind a paper's "FLOPs" counts: what it adds to, or leaves out of, true MACs.

    The multiply-accumulates of convolutions and linear layers always count; a transposed
    convolution multiplies once per ``input`` position, and some tools believe once per ``output``
    position. ``products`` counts products of two activations outside of PyTorch's attention
    modules, ``attention_modules`` everything within them. ``bias`` adds one operation per output
    element of a layer with a bias. Operations per element: ``norm`` of batch, layer, group and
    instance norms; ``activation`` of ReLU, ReLU6, PReLU, ELU and LeakyReLU (the only ones that
    these tools know); ``pooling`` of pooling layers, per input element; ``upsampling`` of
    ``nn.Upsample``.
    """

    tool: str
    deconvolution: Literal["input", "output"] = "input"
    bias: bool = False
    norm: int = 0
    activation: int = 0
    pooling: int = 0
    upsampling: int = 0
    products: bool = False
    attention_modules: bool = True


class CheckpointRules(_Data, frozen=True, kw_only=True):
    """How the keys of a published checkpoint become those of our net; regular expressions.

    ``ignore`` drops keys, ``rename`` pairs (pattern, replacement) are applied in order.
    """

    ignore: tuple[str, ...] = ()
    rename: tuple[tuple[str, str], ...] = ()


class ModelSpec(_Data, frozen=True, kw_only=True):
    """One model: a zoo entry, or a user's ONNX file (``family`` is then ``onnx``)."""

    name: str
    family: str
    task: Task
    input: InputSpec | None
    outputs: tuple[str, ...]
    decoder: Decoder | None = None
    title: str = ""
    dataset: str = ""
    keypoints: int = 0
    parameters: int | None = None
    macs: int | None = None
    paper_macs: int | None = None
    published: Published = Published()
    weights: tuple[WeightsSource, ...] = ()
    builder: str = ""
    arch: dict[str, Any] = msgspec.field(default_factory=dict)
    source: str = ""
    license: str = ""


class Family(_Data, frozen=True, kw_only=True):
    """What the variants of one table share. ``counting`` is the rule behind the paper's MACs."""

    name: str
    title: str
    task: Task
    builder: str
    license: str
    source: str
    counting: CountingRule | None = None
    checkpoint: CheckpointRules = CheckpointRules()


class _Variant(_Data, frozen=True, kw_only=True):
    dataset: str
    keypoints: int
    arch: dict[str, Any]
    outputs: tuple[str, ...]
    parameters: Positive
    macs: Positive
    input: InputSpec
    decoder: Decoder | None = None
    paper_macs: Positive | None = None
    builder: str | None = None
    published: Published = Published()
    weights: tuple[WeightsSource, ...] = ()


class _VariantsFile(_Data, frozen=True):
    family: Family
    models: dict[str, _Variant]


@cache
def zoo() -> dict[str, ModelSpec]:
    """All models by name, in the order of their families' tables."""
    entries: dict[str, ModelSpec] = {}
    for file in _variants_files():
        for name, variant in file.models.items():
            if name in entries:
                raise ConfigError(f"the zoo holds two models called {name!r}")
            entries[name] = _entry(name, file.family, variant)
    return entries


def list_models() -> list[str]:
    """Names of all models in the zoo."""
    return list(zoo())


def model_spec(name: str) -> ModelSpec:
    """The zoo's entry ``name``. Raises UsageError with the nearest names."""
    return pick(name, zoo(), "model", "edgepose models")


def family_of(spec: ModelSpec) -> Family:
    """What ``spec``, a zoo entry, shares with the other variants of its table."""
    return next(file.family for file in _variants_files() if file.family.name == spec.family)


@cache
def _variants_files() -> tuple[_VariantsFile, ...]:
    files = []
    for path in sorted(models_source().rglob("variants.toml")):
        file = load_toml(path, _VariantsFile)
        if path.parent.name != file.family.name:
            raise ConfigError(
                f"{path}: the family is called {file.family.name!r}, its folder is not"
            )
        files.append(file)
    return tuple(files)


def _entry(name: str, family: Family, variant: _Variant) -> ModelSpec:
    fields = {field: getattr(variant, field) for field in variant.__struct_fields__}
    return ModelSpec(
        name=name,
        family=family.name,
        title=family.title,
        task=family.task,
        license=family.license,
        source=family.source,
        **{**fields, "builder": variant.builder or family.builder},
    )
