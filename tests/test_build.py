import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgepose
from edgepose.build import build
from edgepose.bundle import Bundle, load_bundle
from edgepose.errors import ToolchainError, UsageError
from edgepose.files import sha256_file
from edgepose.places import user_cache
from tests.own_cache import own_cache
from tests.tiny_nets import HEATMAP_TOML, relative_error, save_heatmap_net

ROOT = Path(edgepose.__file__).parent.parent
TinyBundle = Callable[[str], Bundle]
RECIPES = ["onnxruntime-fp32", "ncnn-fp32", "ncnn-fp16"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of a user, with net.onnx and net.toml and a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEPOSE_CACHE", own_cache(tmp_path / "cache"))
    save_heatmap_net(tmp_path / "net.onnx", seed=7)
    (tmp_path / "net.toml").write_text(HEATMAP_TOML)
    return tmp_path


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def built_in(cache: Path) -> list[str]:
    """What builds left in ``cache``; the toolchains that the tests share are links."""
    return [path.name for path in cache.iterdir() if not path.is_symlink()]


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_manifest_says_all_about_the_bundle(tiny_bundle: TinyBundle, recipe: str) -> None:
    bundle = tiny_bundle(recipe)
    manifest, folder = bundle.manifest, bundle.folder
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {*manifest.files, "manifest.json"}
    assert all(sha256_file(folder / name) == sha for name, sha in manifest.files.items())
    assert manifest.schema_version == 1
    assert len(manifest.bundle_id) == 16
    assert manifest.edgepose_version == edgepose.__version__
    assert manifest.target == "host"
    assert manifest.recipe.name == recipe
    assert manifest.weights.source == "tiny.onnx"
    assert manifest.weights.trained
    assert manifest.weights.sha256 == sha256_file(folder.parent / "tiny.onnx")
    assert {manifest.recipe.engine, "onnx", "onnxslim"} <= set(manifest.toolchain)
    assert manifest.opset <= manifest.recipe.max_opset
    assert [(tensor.name, tensor.shape) for tensor in manifest.inputs] == [
        ("input", (1, 3, 64, 48))
    ]
    assert manifest.model.outputs == ("heatmaps",)
    assert manifest.model.parameters == 3 * 8 * 9 + 8 * 8 * 9 + 3 * 8


def test_the_manifest_names_the_commit_of_the_source_tree(tiny_bundle: TinyBundle) -> None:
    found = tiny_bundle("onnxruntime-fp32").manifest.git_commit
    if not (ROOT / ".git").exists():
        assert found is None
        return
    words = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    head = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout
    assert found is not None
    assert len(found.removesuffix("-dirty")) == len(head.strip())


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_proof_covers_every_output_and_the_key_points(
    tiny_bundle: TinyBundle, recipe: str
) -> None:
    bundle = tiny_bundle(recipe)
    proof = bundle.manifest.proof
    assert proof.passed
    assert not proof.failures
    assert proof.weights == "trained"
    assert [tensor.output for tensor in proof.tensors] == ["heatmaps"]
    assert proof.keypoints is not None
    assert proof.keypoints.n_points > 0
    (case, *_) = bundle.golden()
    found = bundle.session().run(case.inputs)["heatmaps"]
    assert relative_error(case.outputs["heatmaps"], found) < 0.05


def test_golden_outputs_are_those_of_the_file_as_it_came(tiny_bundle: TinyBundle) -> None:
    import onnxruntime

    bundle = tiny_bundle("ncnn-fp32")
    session = onnxruntime.InferenceSession(str(bundle.folder.parent / "tiny.onnx"))
    for case in bundle.golden():
        (expected,) = session.run(None, dict(case.inputs))
        np.testing.assert_allclose(case.outputs["heatmaps"], expected, rtol=1e-4, atol=1e-5)


def test_an_unchanged_build_comes_from_the_cache_without_any_toolchain(project: Path) -> None:
    first = build("net.onnx", into="one")
    code = (
        "import sys, edgepose\n"
        "for place in ('one', 'two'):\n"
        "    print(edgepose.build('net.onnx', into=place).manifest.bundle_id)\n"
        "print([name for name in ('torch', 'onnx', 'onnxruntime', 'onnxslim') "
        "if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.split("\n")[:3] == [first.manifest.bundle_id] * 2 + ["[]"], done.stderr
    assert load_bundle("two").manifest == first.manifest


def test_force_builds_anew_and_gives_the_same_bundle(project: Path) -> None:
    first = build("net.onnx", into="one")
    inode = (project / "one" / "model.onnx").stat().st_ino
    again = build("net.onnx", into="one", force=True)
    assert again.manifest.bundle_id == first.manifest.bundle_id
    assert (project / "one" / "model.onnx").stat().st_ino != inode


def _other_toml(project: Path) -> dict[str, Any]:
    (project / "net.toml").write_text(HEATMAP_TOML.replace('"crop"', '"stretch"'))
    return {}


def _other_weights(project: Path) -> dict[str, Any]:
    save_heatmap_net(project / "net.onnx", seed=8)
    return {}


def _other_option(project: Path) -> dict[str, Any]:
    shipped = (ROOT / "recipes" / "onnxruntime-fp32.toml").read_text()
    assert 'graph_optimization = "all"' in shipped
    (project / "recipes").mkdir()
    changed = shipped.replace('graph_optimization = "all"', 'graph_optimization = "basic"')
    (project / "recipes" / "onnxruntime-fp32.toml").write_text(changed)
    return {}


def _untrained(project: Path) -> dict[str, Any]:
    return {"untrained": True}


def _other_recipe(project: Path) -> dict[str, Any]:
    return {"recipe": "ncnn-fp32"}


@pytest.mark.parametrize(
    "change", [_other_toml, _other_weights, _other_option, _untrained, _other_recipe]
)
def test_whatever_a_build_depends_on_makes_a_new_bundle(
    project: Path, change: Callable[[Path], dict[str, Any]]
) -> None:
    first = build("net.onnx", into="one").manifest
    second = build("net.onnx", into="one", **change(project)).manifest
    assert second.build_key != first.build_key
    assert second.bundle_id != first.bundle_id
    assert load_bundle("one").manifest == second


def test_a_comment_in_the_toml_changes_nothing(project: Path) -> None:
    first = build("net.onnx", into="one")
    (project / "net.toml").write_text("# mine\n" + HEATMAP_TOML)
    assert build("net.onnx", into="one").manifest == first.manifest


def test_the_caller_s_images_become_golden_cases(project: Path) -> None:
    shipped = {case.name for case in build("net.onnx", into="one").golden()}
    (project / "mine").mkdir()
    picture = ROOT / "edgepose" / "prove" / "golden" / "pair.png"
    shutil.copy(picture, project / "mine" / "my photo.png")
    bundle = build("net.onnx", into="one", golden="mine")
    added = [case for case in bundle.golden() if case.name not in shipped]
    assert [case.name for case in added] == ["own-1-my-photo"]
    assert added[0].inputs["input"].std() > 0
    assert {case.name for case in bundle.golden()} > shipped


def test_a_recipe_that_is_absent_does_not_stop_a_build_with_another(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shipped = (ROOT / "targets" / "host.toml").read_text()
    (project / "targets").mkdir()
    (project / "targets" / "host.toml").write_text(
        shipped.replace("allowed = [", 'allowed = ["withdrawn", ')
    )
    assert build("net.onnx").manifest.recipe.name == "onnxruntime-fp32"
    assert "target host allows recipe withdrawn" in caplog.text


def test_golden_that_is_no_folder_is_refused(project: Path) -> None:
    with pytest.raises(UsageError, match="absent"):
        build("net.onnx", golden="absent")


@pytest.mark.parametrize("recipe", ["onnxruntime-fp32", "ncnn-fp32"])
def test_outputs_named_like_paths_are_proven_too(project: Path, recipe: str) -> None:
    name = "/head/../../Conv_output_0"
    bundle = build(str(save_heatmap_net(project / "deep.onnx", output=name)), recipe=recipe)
    assert bundle.manifest.proof.passed
    assert [tensor.output for tensor in bundle.manifest.proof.tensors] == [name]
    assert bundle.folder == Path("build") / "deep" / f"host-{recipe}"


def test_a_foreign_folder_is_refused_and_untouched(project: Path) -> None:
    (project / "thesis").mkdir()
    (project / "thesis" / "chapter1.tex").write_text("precious")
    with pytest.raises(UsageError, match="thesis exists and is not a bundle") as caught:
        build("net.onnx", into="thesis")
    assert "-o" in caught.value.hint
    assert visible(project / "thesis") == ["chapter1.tex"]
    assert not built_in(project / "cache")


def test_a_file_in_the_way_is_refused_and_an_empty_folder_is_not(project: Path) -> None:
    (project / "file").write_text("precious")
    (project / "empty").mkdir()
    with pytest.raises(UsageError, match="not a bundle"):
        build("net.onnx", into="file")
    assert build("net.onnx", into="empty").manifest.proof.passed


@pytest.mark.parametrize("damage", ["truncated", "missing", "manifest"])
def test_a_damaged_bundle_is_built_again(
    project: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = build("net.onnx", into="one").manifest
    (cached,) = (user_cache() / "bundles").iterdir()
    for folder in (cached, project / "one"):
        if damage == "manifest":
            (folder / "manifest.json").write_text("{}")
        elif damage == "missing":
            (folder / "model.onnx").unlink()
        else:
            os.truncate(folder / "model.onnx", 10)
    assert build("net.onnx", into="one").manifest.bundle_id == first.bundle_id
    assert "building it again" in caplog.text
    assert load_bundle("one").manifest.files == load_bundle(cached).manifest.files == first.files


def test_an_engine_that_is_not_driven_yet_is_refused(project: Path) -> None:
    (project / "recipes").mkdir()
    shipped = (ROOT / "recipes" / "onnxruntime-fp32.toml").read_text()
    (project / "recipes" / "onnxruntime-fp32.toml").write_text(
        shipped.replace('engine = "onnxruntime"', 'engine = "tflite"')
    )
    with pytest.raises(ToolchainError, match="tflite"):
        build("net.onnx")
    assert visible(project) == ["cache", "net.onnx", "net.toml", "recipes"]
    assert not built_in(project / "cache")
