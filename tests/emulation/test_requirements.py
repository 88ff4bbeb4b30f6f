"""What is said where a board cannot run."""

from pathlib import Path

import pytest

from tests.emulation import requirements, root


def test_a_missing_command_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    found = requirements.find_tool
    absent = {"bwrap", "sshd"}
    monkeypatch.setattr(
        requirements, "find_tool", lambda name: None if name in absent else found(name)
    )
    assert requirements.missing_requirements() == [
        f"bwrap is not installed (package bubblewrap): {requirements.INSTALL}",
        f"sshd is not installed (package openssh-server): {requirements.INSTALL}",
    ]


def test_a_kernel_without_arm64_is_named_with_the_way_to_teach_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(requirements, "BINFMT_FOLDER", tmp_path)
    monkeypatch.setattr(requirements, "enable_binfmt", lambda: None)
    (problem,) = requirements.missing_requirements()
    assert "update-binfmts --enable qemu-aarch64" in problem


def test_a_failed_build_of_the_root_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDGEPOSE_EMULATION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EDGEPOSE_EMULATION_SOURCES", str(tmp_path / "sources.list"))
    (tmp_path / "sources.list").write_text("deb file:///no/such/mirror bookworm main\n")
    with pytest.raises(requirements.EmulationError, match="mmdebstrap failed"):
        root.prepare_root()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["lock"]
