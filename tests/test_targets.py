import os
import re
from pathlib import Path

import pytest

from edgepose.errors import ConfigError, UsageError
from edgepose.places import shipped
from edgepose.recipes import list_recipes, recipe_for
from edgepose.targets import Target, list_targets, load_target

SHIPPED = sorted(path.stem for path in shipped("targets").glob("*.toml"))
EXACT = re.compile(r"[a-z0-9-]+==[0-9][0-9a-z.]*")


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with a ``targets`` folder of the user's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "targets").mkdir()
    return tmp_path / "targets"


def test_the_boards_and_phones_of_the_papers_ship() -> None:
    assert SHIPPED == [
        "gtx1660ti",
        "host",
        "i7-11700",
        "jetson-nano",
        "jetson-orin-nano",
        "jetson-xavier-nx",
        "rpi4",
        "rpi5",
        "snapdragon-855",
        "snapdragon-865",
    ]
    assert set(SHIPPED) <= set(list_targets())


@pytest.fixture(params=SHIPPED)
def target(request: pytest.FixtureRequest) -> Target:
    return load_target(request.param)


def test_a_shipped_target_allows_only_recipes_that_exist(target: Target) -> None:
    assert target.recipes.default in target.recipes.allowed
    assert set(target.recipes.allowed) <= set(list_recipes())


def test_a_shipped_target_has_a_runtime_for_every_recipe_it_allows(target: Target) -> None:
    engines = {recipe_for(target, name).engine for name in target.recipes.allowed}
    assert engines <= set(target.runtimes)


def test_fast_cores_of_a_shipped_target_exist(target: Target) -> None:
    cores = target.cpu.fast_cores
    assert cores
    assert len(set(cores)) == len(cores) <= target.cpu.cores
    if target.kind != "host":
        assert max(cores) < target.cpu.cores


def test_packages_of_a_shipped_target_are_exact_and_numpy_is_among_them(target: Target) -> None:
    for runtime in target.runtimes.values():
        assert all(EXACT.fullmatch(package) for package in runtime.packages)
        if runtime.packages:
            assert any(package.startswith("numpy==") for package in runtime.packages)


def test_runtimes_of_a_shipped_target_agree_on_numpy_and_with_their_version(
    target: Target,
) -> None:
    packages = {name: runtime.packages for name, runtime in target.runtimes.items()}
    numpys = {one for some in packages.values() for one in some if one.startswith("numpy==")}
    assert len(numpys) <= 1
    for name, some in packages.items():
        if some:
            assert f"{name}=={target.runtimes[name].version}" in some


def test_every_shipped_target_says_where_its_figures_come_from(target: Target) -> None:
    assert "cpu" in target.sources
    if target.kind != "host":
        assert {"memory_mib", "system", "power"} <= set(target.sources)
    for name, runtime in target.runtimes.items():
        if runtime.max_opset:
            assert f"runtimes.{name}.max_opset" in target.sources


def test_ncnn_reads_no_opset_above_17_anywhere(target: Target) -> None:
    assert "ncnn" not in target.runtimes or target.max_opset("ncnn") == 17


def test_opset_limits_follow_the_runtime() -> None:
    nano = load_target("jetson-nano")
    assert nano.max_opset("onnxruntime") == 13
    assert nano.max_opset("tensorrt") == 13
    assert load_target("rpi4").max_opset("onnxruntime") is None
    assert nano.max_opset("no such engine") is None


def test_the_host_is_completed_from_this_machine() -> None:
    host = load_target("host")
    usable = sorted(os.sched_getaffinity(0))
    assert host.kind == "host"
    assert host.arch == {"aarch64": "aarch64", "arm64": "aarch64"}.get(os.uname().machine, "x86_64")
    assert (host.cpu.cores, host.cpu.fast_cores) == (len(usable), tuple(usable))
    assert host.cpu.name != "detected"
    assert host.memory_mib > 100
    assert host.system.os.startswith("Linux")
    assert host.system.python is not None


def test_an_unknown_target_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown target 'rpi44'\. Nearest: rpi4"):
        load_target("rpi44")


def test_an_own_target_is_found_beside_the_shipped_ones(own_folder: Path) -> None:
    text = (shipped("targets") / "rpi4.toml").read_text()
    (own_folder / "kitchen-pi.toml").write_text(text.replace("Raspberry Pi 4 Model B", "Kitchen"))
    assert load_target("kitchen-pi").title == "Kitchen"
    assert load_target("kitchen-pi").name == "kitchen-pi"
    assert "rpi4" in list_targets()


def test_an_own_target_overrides_a_shipped_one_with_a_notice(
    own_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = (shipped("targets") / "rpi4.toml").read_text()
    (own_folder / "rpi4.toml").write_text(text.replace("Raspberry Pi 4 Model B", "My own Pi"))
    assert load_target("rpi4").title == "My own Pi"
    assert "overrides the shipped target 'rpi4'" in caplog.text


def test_a_target_of_the_user_configuration_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEPOSE_CONFIG", str(tmp_path))
    (tmp_path / "targets").mkdir()
    text = (shipped("targets") / "rpi5.toml").read_text()
    (tmp_path / "targets" / "lab-pi.toml").write_text(text)
    assert "lab-pi" in list_targets()


def test_the_source_trees_own_folder_overrides_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(shipped("targets").parent)
    load_target("rpi4")
    assert caplog.text == ""


def test_an_unknown_key_in_a_target_names_the_valid_ones(own_folder: Path) -> None:
    text = (shipped("targets") / "rpi4.toml").read_text()
    (own_folder / "mine.toml").write_text(text.replace("fast_cores", "fast_core"))
    with pytest.raises(ConfigError, match=r"unknown key 'fast_core' in \[cpu\].*fast_cores") as e:
        load_target("mine")
    assert e.value.hint == "Did you mean 'fast_cores'?"


def test_a_shipped_target_that_allows_tvm_names_its_cpu_for_the_compiler(target: Target) -> None:
    allows = any(recipe_for(target, name).engine == "tvm" for name in target.recipes.allowed)
    named = target.cpu.llvm is not None and target.cpu.vector_bits is not None
    assert named == allows


def test_bf16_is_not_offered_where_the_cpu_is_known_to_lack_it() -> None:
    assert {"openvino-fp32", "openvino-bf16"} <= set(load_target("host").recipes.allowed)
    allowed = load_target("i7-11700").recipes.allowed
    assert "openvino-fp32" in allowed and "openvino-bf16" not in allowed


def test_phones_do_not_get_libraries_for_glibc(target: Target) -> None:
    if target.kind == "phone":
        assert all(recipe_for(target, name).engine != "tvm" for name in target.recipes.allowed)
