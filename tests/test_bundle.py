import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgepose.bundle import Bundle, Manifest, load_bundle, seal, verify
from edgepose.errors import BundleError
from edgepose.runners.plan import GoldenPaths
from tests.tiny_nets import relative_error

RECIPES = ["onnxruntime-fp32", "ncnn-fp32", "ncnn-fp16"]


@pytest.fixture
def bundle(tiny_bundle: Callable[[str], Bundle], tmp_path: Path) -> Bundle:
    """A copy to tamper with."""
    shutil.copytree(tiny_bundle("onnxruntime-fp32").folder, tmp_path / "bundle")
    return load_bundle(tmp_path / "bundle")


def refusal(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    assert caught.value.hint
    assert str(folder) in str(caught.value)
    return str(caught.value)


def rewrite(bundle: Bundle, **changes: Any) -> None:
    """Write keys of the manifest as anybody with an editor could."""
    path = bundle.folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def forge(bundle: Bundle, **changes: Any) -> None:
    """Change fields of the manifest and give it the id that fits, as only our code could."""
    seal(bundle.folder, msgspec.structs.replace(bundle.manifest, **changes))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_loaded_bundle_runs_and_gives_its_golden_outputs(
    tiny_bundle: Callable[[str], Bundle], recipe: str
) -> None:
    bundle = load_bundle(str(tiny_bundle(recipe).folder))
    session = bundle.session(threads=2)
    for case in bundle.golden():
        outputs = session.run(case.inputs)
        assert relative_error(case.outputs["heatmaps"], outputs["heatmaps"]) < 0.05
    assert bundle.name == f"tiny for host ({recipe})"


def test_a_bundle_runs_wherever_it_was_carried(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "far away").mkdir()
    moved = tmp_path / "far away" / "renamed"
    bundle.folder.rename(moved)
    assert load_bundle(moved).manifest.bundle_id == bundle.manifest.bundle_id
    assert verify(load_bundle(moved)).passed


def test_every_file_is_missed_by_its_name(bundle: Bundle) -> None:
    assert len(bundle.manifest.files) >= 4
    for name in bundle.manifest.files:
        path = bundle.folder / name
        content = path.read_bytes()
        path.unlink()
        assert f"the file {name} is missing" in refusal(bundle.folder)
        path.write_bytes(content)
    load_bundle(bundle.folder)


def test_every_truncated_file_is_named(bundle: Bundle) -> None:
    for name in bundle.manifest.files:
        path = bundle.folder / name
        content = path.read_bytes()
        os.truncate(path, len(content) - 1)
        sentence = refusal(bundle.folder)
        assert f"the file {name} is corrupt or truncated ({len(content) - 1} bytes" in sentence
        path.write_bytes(content)
    load_bundle(bundle.folder)


def test_a_file_with_one_altered_byte_is_named(bundle: Bundle) -> None:
    path = bundle.folder / "model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "the file model.onnx is corrupt" in refusal(bundle.folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"build_key": "0" * 24},
        {"target": "rpi4"},
        {"bundle_id": "0" * 16},
        {"files": {}},
        {"weights": {"source": "better.pth", "sha256": None, "trained": True}},
    ],
    ids=str,
)
def test_an_altered_manifest_is_refused(bundle: Bundle, changes: dict[str, Any]) -> None:
    rewrite(bundle, **changes)
    assert "was altered after it was written" in refusal(bundle.folder)


def test_a_proof_that_was_turned_into_a_pass_is_refused(bundle: Bundle) -> None:
    proof = msgspec.to_builtins(bundle.manifest.proof)
    rewrite(bundle, proof=proof | {"passed": not proof["passed"]})
    assert "was altered" in refusal(bundle.folder)


def test_the_time_of_the_build_is_no_part_of_a_bundle_s_identity(bundle: Bundle) -> None:
    forge(bundle, created_at="2001-01-01T00:00:00+00:00")
    assert load_bundle(bundle.folder).manifest.bundle_id == bundle.manifest.bundle_id


@pytest.mark.parametrize("version", [0, 2, None, "1"])
def test_an_unknown_schema_version_is_named(bundle: Bundle, version: Any) -> None:
    rewrite(bundle, schema_version=version)
    sentence = refusal(bundle.folder)
    assert f"schema version {version!r}" in sentence
    assert "reads 1" in sentence


def test_a_newer_schema_is_named_before_its_unknown_keys(bundle: Bundle) -> None:
    rewrite(bundle, schema_version=2, invented="later")
    assert "schema version 2" in refusal(bundle.folder)


def test_an_unknown_key_is_refused_by_name(bundle: Bundle) -> None:
    rewrite(bundle, invented="later")
    assert "'invented'" in refusal(bundle.folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "\x00"])
def test_a_manifest_that_is_no_object_is_refused(bundle: Bundle, text: str) -> None:
    (bundle.folder / "manifest.json").write_text(text)
    assert "manifest.json" in refusal(bundle.folder)


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    assert "is not a bundle" in refusal(tmp_path)
    assert "is not a bundle" in refusal(tmp_path / "absent")


@pytest.mark.parametrize("where", ["../x", "/etc/hostname", "golden/../../x"])
def test_a_path_that_leads_out_of_the_bundle_is_named(bundle: Bundle, where: str) -> None:
    (bundle.folder.parent / "x").write_text("outside")
    rewritten = bundle.manifest.files | {where: "0" * 64}
    _forge_files(bundle, rewritten)
    assert f"the path {where!r} leads out of it" in refusal(bundle.folder)


def test_a_link_that_leads_out_of_the_bundle_is_named(bundle: Bundle, tmp_path: Path) -> None:
    path = bundle.folder / "model.onnx"
    path.rename(tmp_path / "elsewhere.onnx")
    path.symlink_to(tmp_path / "elsewhere.onnx")
    assert "the path 'model.onnx' leads out of it" in refusal(bundle.folder)


def _forge_files(bundle: Bundle, files: dict[str, str]) -> None:
    from edgepose.bundle import _identify

    forged = msgspec.structs.replace(bundle.manifest, files=files)
    forged = msgspec.structs.replace(forged, bundle_id=_identify(msgspec.json.encode(forged)))
    (bundle.folder / "manifest.json").write_bytes(msgspec.json.encode(forged))


@pytest.mark.parametrize("where", ["../x.npy", "runner.pyc"])
@pytest.mark.parametrize("role", ["artifact", "input", "output"])
def test_the_manifest_may_speak_of_its_own_files_only(
    bundle: Bundle, where: str, role: str
) -> None:
    manifest: Manifest = bundle.manifest
    artifact, (case, *cases) = manifest.artifact, manifest.golden
    if role == "artifact":
        artifact = msgspec.structs.replace(artifact, files=(where,))
    elif role == "input":
        case = GoldenPaths(case.name, {"input": where}, case.outputs)
    else:
        case = GoldenPaths(case.name, case.inputs, {"heatmaps": where})
    forge(bundle, artifact=artifact, golden=(case, *cases))
    assert f"names {where!r}, which is none of its files" in refusal(bundle.folder)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_bundle_proves_itself_again(tiny_bundle: Callable[[str], Bundle], recipe: str) -> None:
    bundle = tiny_bundle(recipe)
    assert verify(bundle) == bundle.manifest.proof


def test_forged_golden_outputs_are_not_proven(bundle: Bundle) -> None:
    path = bundle.folder / next(iter(bundle.manifest.golden[-1].outputs.values()))
    np.save(path, np.load(path) * 1.01)
    seal(bundle.folder, bundle.manifest)
    proof = verify(load_bundle(bundle.folder))
    assert not proof.passed
    assert "output 'heatmaps': max relative error" in proof.failures[0]


def test_golden_outputs_that_are_not_finite_are_not_proven(bundle: Bundle) -> None:
    path = bundle.folder / next(iter(bundle.manifest.golden[0].outputs.values()))
    np.save(path, np.full_like(np.load(path), np.nan))
    seal(bundle.folder, bundle.manifest)
    assert not verify(load_bundle(bundle.folder)).passed


def test_an_exchanged_artifact_is_not_proven(bundle: Bundle, tmp_path: Path) -> None:
    from tests.tiny_nets import save_heatmap_net

    save_heatmap_net(bundle.folder / "model.onnx", seed=99)
    seal(bundle.folder, bundle.manifest)
    proof = verify(load_bundle(bundle.folder))
    assert not proof.passed
    assert proof.keypoints is not None
    assert any("key points" in sentence for sentence in proof.failures)
