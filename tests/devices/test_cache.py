"""Files by content: sent once, checked there, visible only when whole."""

import shutil
from pathlib import Path

import pytest

from edgepose.devices.cache import ensure_cached, free_kib
from edgepose.devices.local import LocalTransport
from edgepose.errors import DeviceError, DeviceFullError, UsageError
from edgepose.files import sha256_file


class Counting(LocalTransport):
    """Counts uploads and commands."""

    def __init__(self):
        self.uploads: list[Path] = []
        self.commands = 0

    def put(self, source, destination, deadline):
        self.uploads.append(source)
        super().put(source, destination, deadline)

    def run(self, argv, deadline):
        self.commands += 1
        return super().run(argv, deadline)


class Corrupting(Counting):
    """A device whose storage changes a byte."""

    def put(self, source, destination, deadline):
        super().put(source, destination, deadline)
        path = Path(destination)
        path.write_bytes(b"!" + path.read_bytes()[1:])


@pytest.fixture
def files(tmp_path):
    found = {}
    for name in ("one", "two three"):
        path = tmp_path / name
        path.write_bytes(name.encode() * 1000)
        found[sha256_file(path)] = path
    return found


def test_files_arrive_under_their_hash(transport, files, tmp_path, deadline):
    workdir = str(tmp_path / "work dir")
    remote = ensure_cached(transport, workdir, files, deadline)
    for name, path in files.items():
        assert remote[name] == f"{workdir}/cache/{name}"
        assert Path(remote[name]).read_bytes() == path.read_bytes()
    assert len(list(Path(workdir, "cache").iterdir())) == 2


def test_nothing_is_sent_twice_and_one_command_finds_that_out(files, tmp_path, deadline):
    transport = Counting()
    ensure_cached(transport, str(tmp_path / "w"), files, deadline)
    assert len(transport.uploads) == 2
    transport.commands = 0
    ensure_cached(transport, str(tmp_path / "w"), files, deadline)
    assert len(transport.uploads) == 2
    assert transport.commands == 1


def test_a_file_that_a_power_cut_left_short_is_sent_again(files, tmp_path, deadline):
    transport = Counting()
    remote = ensure_cached(transport, str(tmp_path / "w"), files, deadline)
    name = next(iter(files))
    Path(remote[name]).write_bytes(b"")
    ensure_cached(transport, str(tmp_path / "w"), files, deadline)
    assert Path(remote[name]).read_bytes() == files[name].read_bytes()


def test_a_corrupted_upload_is_an_error_and_removed(files, tmp_path, deadline):
    with pytest.raises(DeviceError, match="instead of"):
        ensure_cached(Corrupting(), str(tmp_path / "w"), files, deadline)
    assert list((tmp_path / "w" / "cache").iterdir()) == []


def test_too_little_space_is_told_in_figures_before_anything_is_sent(
    tmp_path, small_disk, deadline
):
    path = tmp_path / "big"
    path.write_bytes(b"x" * 5 * 2**20)
    transport = Counting()
    with pytest.raises(DeviceFullError, match=r"5\.0 MiB needed, 2\.0 MiB free"):
        ensure_cached(transport, str(small_disk), {sha256_file(path): path}, deadline)
    assert transport.uploads == []


def test_a_name_that_is_no_hash_is_refused(tmp_path, deadline):
    with pytest.raises(UsageError):
        ensure_cached(LocalTransport(), str(tmp_path), {"../evil": tmp_path}, deadline)


def test_a_work_folder_that_cannot_be_made_is_named(files, tmp_path, deadline):
    (tmp_path / "file").touch()
    with pytest.raises(DeviceError, match="file"):
        ensure_cached(LocalTransport(), str(tmp_path / "file"), files, deadline)
    shutil.rmtree(tmp_path)


def test_free_space_is_read_from_df_or_not_at_all():
    assert free_kib("/dev/root  30000000 1000 28999000  5% /") == 28999000
    assert free_kib("/dev/my disk 300 100 200 34% /mnt/a b") == 200
    assert free_kib("df: no such file") is None
    assert free_kib("") is None
