import multiprocessing
import os
from pathlib import Path

import pytest

from edgepose.files import append_line, folder_atomic, sha256_bytes, sha256_file, write_atomic


class Interrupted(BaseException):
    pass


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_write_atomic_makes_folders_and_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomic(path, "first")
    write_atomic(path, b"second")
    assert path.read_bytes() == b"second"
    assert names(path.parent) == ["file"]


def test_write_atomic_gives_the_permissions_that_the_umask_leaves(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_atomic(tmp_path / "file", "text")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(old)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_write_atomic_leaves_the_old_file_and_nothing_else_when_it_fails(tmp_path: Path) -> None:
    write_atomic(tmp_path / "file", "old")
    with pytest.raises(TypeError):
        write_atomic(tmp_path / "file", 7)  # type: ignore[arg-type]
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_write_atomic_does_not_replace_a_folder(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_atomic(tmp_path / "taken", "text")
    assert names(tmp_path) == ["taken"]


def test_append_line_adds_behind_what_is_there(tmp_path: Path) -> None:
    for line in (b"first", b"second"):
        append_line(tmp_path / "a" / "lines", line)
    assert (tmp_path / "a" / "lines").read_bytes() == b"first\nsecond\n"


def test_append_line_leaves_a_killed_writers_half_line_on_a_line_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"whole\nha")
    append_line(tmp_path / "lines", b"next")
    assert (tmp_path / "lines").read_bytes() == b"whole\nha\nnext\n"


def append_many(path: Path, letter: bytes) -> None:
    for _ in range(50):
        append_line(path, letter * 20_000)


def test_several_processes_append_whole_lines(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    words = [(tmp_path / "lines", letter) for letter in (b"a", b"b")]
    writers = [context.Process(target=append_many, args=pair) for pair in words]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    lines = (tmp_path / "lines").read_bytes().splitlines()
    assert sorted(lines) == [b"a" * 20_000] * 50 + [b"b" * 20_000] * 50


def test_folder_atomic_makes_the_folder_at_the_end_of_its_block(tmp_path: Path) -> None:
    place = tmp_path / "parent" / "made"
    with folder_atomic(place) as folder:
        (folder / "file").write_text("new")
        assert not place.exists()
    assert (place / "file").read_text() == "new"
    assert names(place.parent) == ["made"]


def test_folder_atomic_works_through_a_link_to_the_parent(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for content in ("old", "new"):
        with folder_atomic(tmp_path / "link" / "made") as folder:
            (folder / "file").write_text(content)
    assert (tmp_path / "real" / "made" / "file").read_text() == "new"
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "real") == ["made"]


def test_folder_atomic_replaces_all_of_an_existing_folder(tmp_path: Path) -> None:
    place = tmp_path / "made"
    (place / "inner").mkdir(parents=True)
    (place / "inner" / "old").write_text("old")
    with folder_atomic(place) as folder:
        (folder / "new").write_text("new")
        assert (place / "inner" / "old").read_text() == "old"
    assert names(place) == ["new"]
    assert names(tmp_path) == ["made"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, Interrupted])
@pytest.mark.parametrize("existed", [True, False])
def test_folder_atomic_leaves_all_as_it_was_when_its_block_fails(
    tmp_path: Path, error: type[BaseException], existed: bool
) -> None:
    if existed:
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / "old").write_text("old")
    with pytest.raises(error), folder_atomic(tmp_path / "made") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "half").write_text("half")
        raise error
    assert names(tmp_path) == (["made"] if existed else [])
    assert not existed or names(tmp_path / "made") == ["old"]


def test_folder_atomic_does_not_replace_a_file(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("precious")
    with pytest.raises(OSError, match="taken"), folder_atomic(tmp_path / "taken") as folder:
        (folder / "file").write_text("new")
    assert (tmp_path / "taken").read_text() == "precious"
    assert names(tmp_path) == ["taken"]


def _replace_often(place: Path, text: str) -> None:
    for _ in range(200):
        with folder_atomic(place) as folder:
            for number in range(3):
                (folder / f"file{number}").write_text(text)


def test_processes_that_make_the_same_folder_do_not_disturb_each_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_replace_often, args=(tmp_path / "made", text)) for text in "ab"
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert names(tmp_path) == ["made"]
    texts = {path.read_text() for path in (tmp_path / "made").iterdir()}
    assert len(texts) == 1


def test_a_file_and_its_bytes_have_one_hash(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(tmp_path / "file") == sha256_bytes(b"abc") == known
