"""Which layers take how long: measured by real runners on this machine, kept beside the records."""

import json
from pathlib import Path

import msgspec
import pytest

from edgepose.bench.profile import Layer, LayerProfile, by_type, profile, slowest
from edgepose.bench.store import RecordStore
from edgepose.bundle import Bundle
from edgepose.errors import UsageError
from tests.bench.under_way import runs
from tests.tiny_bundles import build_tiny

pytestmark = pytest.mark.usefixtures("workplace")


def made_of(*layers: tuple[str, str, tuple[int, ...]]) -> LayerProfile:
    return LayerProfile(
        created_at="2026-11-21T10:00:00Z",
        edgepose_version="0.1.0",
        model="litepose-xs",
        target="host",
        recipe="ncnn-fp32",
        engine="ncnn",
        bundle_id="abc",
        device="local",
        emulated=False,
        threads=1,
        cpus=(0,),
        runtime_versions={"ncnn": "1.0"},
        layers=tuple(Layer(name=name, type=kind, ns=ns) for name, kind, ns in layers),
    )


SEEN = made_of(
    ("conv_1", "Convolution", (3_000_000, 1_000_000, 2_000_000)),
    ("relu_1", "ReLU", (500_000, 500_000, 500_000)),
    ("conv_2", "Convolution", (4_000_000, 4_000_000, 9_000_000)),
)


def test_a_layer_s_figure_is_its_median() -> None:
    assert [layer.median_ms for layer in SEEN.layers] == [2.0, 0.5, 4.0]
    assert SEEN.total_ms == 6.5


def test_the_slowest_layers_come_first() -> None:
    assert [layer.name for layer in slowest(SEEN, 2)] == ["conv_2", "conv_1"]


def test_layers_of_a_type_add_up() -> None:
    assert by_type(SEEN) == [("Convolution", 2, 6.0), ("ReLU", 1, 0.5)]


@pytest.mark.parametrize("recipe", ["onnxruntime-fp32", "openvino-fp32", "ncnn-fp32"])
def test_a_profile_of_this_machine_is_whole_and_kept(tmp_path: Path, recipe: str) -> None:
    bundle = build_tiny(tmp_path / "model", recipe=recipe)
    found, path = profile(bundle, passes=5)
    assert path.parent == RecordStore().folder / "profiles"
    assert path.name.startswith(f"{bundle.manifest.bundle_id}-local-")
    assert msgspec.json.decode(path.read_bytes(), type=LayerProfile) == found
    assert json.loads(path.read_text())["schema_version"] == 1
    assert (found.model, found.device, found.recipe) == ("tiny", "local", recipe)
    assert sum("conv" in layer.type.lower() for layer in found.layers) == 3
    figures = 1 if recipe == "openvino-fp32" else 5  # OpenVINO tells means alone
    assert all(len(layer.ns) == figures for layer in found.layers)
    assert found.total_ms > 0
    assert not found.emulated


def test_nothing_of_a_profile_stays_on_the_device_but_the_cache(tiny: Bundle) -> None:
    profile(tiny, passes=2)
    assert not list(runs().iterdir())


def test_a_bundle_for_another_target_cannot_be_profiled_here(tmp_path: Path) -> None:
    bundle = build_tiny(tmp_path / "model", target="rpi4")
    with pytest.raises(UsageError, match="not built for device 'local'"):
        profile(bundle)
