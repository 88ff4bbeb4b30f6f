from pathlib import Path

import pytest

from edgepose.errors import ConfigError, UsageError
from edgepose.places import shipped
from edgepose.recipes import Recipe, fallback, list_recipes, load_recipe, recipe_for
from edgepose.targets import load_target

SHIPPED = sorted(path.stem for path in shipped("recipes").glob("*.toml"))


@pytest.fixture(params=SHIPPED)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return load_recipe(request.param)


def test_every_shipped_recipe_is_named_after_its_engine_and_precision(recipe: Recipe) -> None:
    if recipe.engine == "tvm":  # single precision alone: named after how its kernels are made
        assert recipe.name.startswith("tvm-")
        assert recipe.precision == "fp32"
    else:
        assert f"{recipe.name}-".startswith(f"{recipe.engine}-{recipe.precision}-")
    assert recipe.name in list_recipes()


def test_no_shipped_recipe_lets_another_model_pass(recipe: Recipe) -> None:
    gates = recipe.gates
    # Eight significant bits are eight times coarser than eleven; swapped channels still fail.
    is_coarse = recipe.precision == "bf16"
    assert gates.tensor.max_relative_error < (0.4 if is_coarse else 0.2)
    assert gates.tensor.mean_relative_error < 0.5
    assert gates.tensor.min_cosine >= (0.997 if is_coarse else 0.999)
    assert gates.keypoint.max_mean_drift_px <= gates.keypoint.max_drift_px
    assert 0.95 < gates.keypoint.min_oks <= 1


def test_single_precision_has_tighter_gates_than_half_precision() -> None:
    single, half = load_recipe("ncnn-fp32").gates, load_recipe("ncnn-fp16").gates
    assert single.tensor.max_relative_error < half.tensor.max_relative_error
    assert single.tensor.min_cosine > half.tensor.min_cosine
    assert single.keypoint.max_drift_px < half.keypoint.max_drift_px
    assert single.keypoint.min_oks > half.keypoint.min_oks


def test_a_fallback_is_told_only_where_the_runtime_says_so() -> None:
    assert fallback("bf16", "fp32").endswith("compute in bf16 and computed in fp32")
    assert fallback("bf16", "bf16") == fallback("fp16", None) == ""


def test_a_single_precision_recipe_of_ncnn_switches_every_half_off() -> None:
    single, half = load_recipe("ncnn-fp32").options, load_recipe("ncnn-fp16").options
    flags = ("fp16_packed", "fp16_storage", "fp16_arithmetic")
    assert [single[flag] for flag in flags] == [False] * 3
    assert [half[flag] for flag in flags] == [True] * 3


def test_onnxruntime_optimises_all_it_can_and_runs_in_sequence() -> None:
    options = load_recipe("onnxruntime-fp32").options
    assert options == {"graph_optimization": "all"}


def test_the_default_recipe_is_the_targets_own() -> None:
    assert recipe_for(load_target("rpi4"), None).name == "onnxruntime-fp32"
    assert recipe_for(load_target("snapdragon-865"), None).name == "ncnn-fp32"
    assert recipe_for(load_target("rpi4"), "ncnn-fp16").name == "ncnn-fp16"


def test_a_recipe_that_a_target_does_not_allow_is_an_error_that_lists_the_allowed() -> None:
    with pytest.raises(UsageError) as caught:
        recipe_for(load_target("snapdragon-865"), "onnxruntime-fp32")
    assert str(caught.value) == (
        "recipe 'onnxruntime-fp32' is not allowed on target 'snapdragon-865'; "
        "allowed: ncnn-fp32, ncnn-fp16, ncnn-fp16-storage"
    )


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown recipe 'ncnn-fp8'\. Nearest: ncnn-fp"):
        recipe_for(load_target("rpi4"), "ncnn-fp8")


def test_an_own_recipe_overrides_a_shipped_one_with_a_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    text = (shipped("recipes") / "ncnn-fp32.toml").read_text()
    (tmp_path / "recipes" / "ncnn-fp32.toml").write_text(
        text.replace("packing_layout = true", "packing_layout = false")
    )
    assert load_recipe("ncnn-fp32").options["packing_layout"] is False
    assert "overrides the shipped recipe 'ncnn-fp32'" in caplog.text


def test_an_unknown_key_in_a_recipe_names_the_valid_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    text = (shipped("recipes") / "ncnn-fp32.toml").read_text()
    (tmp_path / "recipes" / "mine.toml").write_text(text.replace("min_cosine", "cosine"))
    with pytest.raises(ConfigError, match=r"unknown key 'cosine' in \[gates\]\[tensor\].*min_cos"):
        load_recipe("mine")


def test_a_negative_gate_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    text = (shipped("recipes") / "ncnn-fp32.toml").read_text()
    (tmp_path / "recipes" / "mine.toml").write_text(text.replace("= 5e-4", "= -5e-4"))
    with pytest.raises(ConfigError, match="max_relative_error"):
        load_recipe("mine")
