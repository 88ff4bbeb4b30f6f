"""What only SSH can get wrong: keys, host keys, addresses, jumps and dying links."""

import base64
import hashlib
import hmac
import logging
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import paramiko
import pytest

from edgepose.deadline import Deadline
from edgepose.devices import host_keys, trust
from edgepose.devices.connect import connect, workdir_of
from edgepose.devices.device import Device
from edgepose.devices.inventory import add_device, find_device
from edgepose.devices.ssh import SshTransport
from edgepose.devices.ssh_config import resolve
from edgepose.errors import (
    AuthenticationError,
    ConfigError,
    DeviceError,
    HostKeyError,
    UnreachableError,
)
from tests.devices.ssh_server import SshServer, make_key
from tests.emulation.faulty_proxy import FaultyProxy


def fingerprint(public_key: Path) -> str:
    """As ssh-keygen says it."""
    answer = subprocess.run(
        ["ssh-keygen", "-lf", str(public_key)], capture_output=True, text=True, check=True
    )
    return answer.stdout.split()[1]


def public(path: Path) -> str:
    return " ".join(Path(f"{path}.pub").read_text().split()[:2])


def test_an_unknown_host_key_is_refused_with_the_command_to_trust_it(ssh_server, home, deadline):
    with pytest.raises(HostKeyError) as caught:
        connect(ssh_server.device(host_keys=()), deadline)
    assert fingerprint(ssh_server.host_key) in str(caught.value)
    assert "edgepose device trust loopback" in caught.value.hint


def test_a_changed_host_key_shows_both_fingerprints(ssh_server, home, tmp_path, deadline):
    other = make_key(tmp_path / "other")
    with pytest.raises(HostKeyError, match="has changed") as caught:
        connect(ssh_server.device(host_keys=(public(other),)), deadline)
    assert fingerprint(ssh_server.host_key) in str(caught.value)
    assert fingerprint(other) in str(caught.value)


@pytest.mark.parametrize("form", ["plain", "hashed", "pattern"])
def test_the_users_known_hosts_are_believed(ssh_server, home, deadline, form):
    name = f"[127.0.0.1]:{ssh_server.port}"
    if form == "hashed":
        salt = os.urandom(20)
        digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
        name = f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"
    elif form == "pattern":
        name = f"other,[127.0.0.*]:{ssh_server.port}"
    known = home / ".ssh" / "known_hosts"
    known.write_text(f"# ours\nbroken line\nhost ssh-ed25519 &&&\n{name} {ssh_server.pinned()} x\n")
    connect(ssh_server.device(host_keys=()), deadline).close()


def test_pinned_keys_are_stronger_than_known_hosts(ssh_server, home, tmp_path, deadline):
    known = home / ".ssh" / "known_hosts"
    known.write_text(f"[127.0.0.1]:{ssh_server.port} {ssh_server.pinned()}\n")
    other = make_key(tmp_path / "other")
    with pytest.raises(HostKeyError, match=r"devices\.toml"):
        connect(ssh_server.device(host_keys=(public(other),)), deadline)


def test_a_revoked_host_key_is_refused_even_if_pinned(ssh_server, home, deadline):
    known = home / ".ssh" / "known_hosts"
    known.write_text(f"@revoked * {ssh_server.pinned()}\n")
    with pytest.raises(HostKeyError, match="revoked"):
        connect(ssh_server.device(), deadline)


def test_trusting_a_device_pins_the_key_it_offers(
    ssh_server, home, tmp_path, monkeypatch, deadline
):
    monkeypatch.chdir(tmp_path)
    device = ssh_server.device(host_keys=())
    add_device(device)
    (key,) = trust.host_fingerprints(device, deadline)
    assert key.fingerprint == fingerprint(ssh_server.host_key)
    assert key.kind == "ssh-ed25519"
    trust.pin(device, key)
    pinned = find_device("loopback")
    assert pinned.host_keys == (ssh_server.pinned(),)
    connect(pinned, deadline).close()


def test_a_wrong_user_key_is_an_authentication_error(ssh_server, home, tmp_path, deadline):
    for kind in ("ed25519", "rsa", "ecdsa"):
        other = make_key(tmp_path / kind, kind)
        with pytest.raises(AuthenticationError) as caught:
            connect(ssh_server.device(identity_file=str(other)), deadline)
        assert str(other) in str(caught.value)
        assert "ssh-copy-id" in caught.value.hint


def test_an_identity_file_that_others_can_read_is_refused(ssh_server, home, tmp_path, deadline):
    other = make_key(tmp_path / "other")
    other.chmod(0o644)
    with pytest.raises(AuthenticationError, match="readable by others") as caught:
        connect(ssh_server.device(identity_file=str(other)), deadline)
    assert caught.value.hint == f"chmod 600 {other}"


def test_a_missing_or_locked_identity_file_is_named(ssh_server, home, tmp_path, deadline):
    with pytest.raises(AuthenticationError, match="absent"):
        connect(ssh_server.device(identity_file=str(tmp_path / "absent")), deadline)
    locked = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-N", "secret", "-f", str(locked)], check=True)
    with pytest.raises(AuthenticationError, match="passphrase"):
        connect(ssh_server.device(identity_file=str(locked)), deadline)


def test_the_agent_opens_what_a_passphrase_locks(ssh_server, home, tmp_path, monkeypatch, deadline):
    socket_path = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket_path)], stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 10
        while not socket_path.exists() and time.monotonic() < end:
            time.sleep(0.05)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket_path))
        subprocess.run(["ssh-add", "-q", str(ssh_server.user_key)], check=True)
        connect(ssh_server.device(identity_file=None), deadline).close()
    finally:
        agent.terminate()
        agent.wait()


def test_nothing_listening_is_unreachable_with_address_and_reason(ssh_server, home, deadline):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(UnreachableError, match=rf"127\.0\.0\.1:{port}: Connection refused"):
            connect(ssh_server.device(port=port), deadline)


def test_a_name_that_does_not_resolve_is_unreachable(ssh_server, home, deadline):
    with pytest.raises(UnreachableError, match="no-such-host"):
        connect(ssh_server.device(host="no-such-host.invalid"), deadline)


def test_something_else_that_listens_is_unreachable_within_the_deadline(ssh_server, home):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        began = time.monotonic()
        with pytest.raises(UnreachableError):
            connect(ssh_server.device(port=mute.getsockname()[1]), Deadline.after(2))
        assert time.monotonic() - began < 4


def test_an_alias_of_the_ssh_configuration_is_enough(ssh_server, home, deadline):
    included = home / ".ssh" / "boards.conf"
    included.write_text(f"Host board\n  User {ssh_server.user}\n  Port {ssh_server.port}\n")
    (home / ".ssh" / "config").write_text(
        "Include boards.conf\n"
        f"Host board\n  HostName 127.0.0.1\n  IdentityFile {ssh_server.user_key}\n"
    )
    device = Device(
        name="b", target="host", transport="ssh", host="board", host_keys=(ssh_server.pinned(),)
    )
    transport = connect(device, deadline)
    assert transport.run(["echo", "hello"], deadline).text == "hello"
    transport.close()


def test_a_jump_host_is_passed_and_its_key_checked(ssh_server, home, deadline):
    config = home / ".ssh" / "config"
    config.write_text(
        f"Host jump\n  HostName 127.0.0.1\n  Port {ssh_server.port}\n  User {ssh_server.user}\n"
        f"  IdentityFile {ssh_server.user_key}\n"
        "Host second\n  HostName localhost\n  HostKeyAlias second\n"
        f"  Port {ssh_server.port}\n  User {ssh_server.user}\n"
        f"  IdentityFile {ssh_server.user_key}\n"
        "Host inner\n  HostName 127.0.0.1\n  ProxyJump jump,second\n"
    )
    device = ssh_server.device(host="inner")
    assert [hop.alias for hop in resolve(device)] == ["jump", "second", "inner"]
    with pytest.raises(HostKeyError) as caught:
        connect(device, deadline)
    assert "ssh jump" in caught.value.hint
    (home / ".ssh" / "known_hosts").write_text(
        f"[127.0.0.1]:{ssh_server.port} {ssh_server.pinned()}\nsecond {ssh_server.pinned()}\n"
    )
    transport = connect(device, deadline)
    assert transport.run(["echo", "through"], deadline).text == "through"
    transport.close()


def test_a_jump_in_a_circle_and_a_proxy_command_are_refused(ssh_server, home):
    config = home / ".ssh" / "config"
    config.write_text("Host a\n  ProxyJump b\nHost b\n  ProxyJump a\nHost c\n  ProxyCommand nc\n")
    with pytest.raises(ConfigError, match="circle"):
        resolve(ssh_server.device(host="a"))
    with pytest.raises(ConfigError, match="ProxyCommand"):
        resolve(ssh_server.device(host="c"))


def test_a_link_that_dies_in_silence_is_noticed_within_the_deadline(ssh_server, home, tmp_path):
    (tmp_path / "source").write_bytes(os.urandom(30_000_000))
    calls = {
        "run": lambda t: t.run(["echo"], Deadline.after(3)),
        "put": lambda t: t.put(tmp_path / "source", str(tmp_path / "there"), Deadline.after(3)),
        "get": lambda t: t.get(str(tmp_path / "source"), tmp_path / "back", Deadline.after(3)),
    }
    for name, call in calls.items():
        with FaultyProxy("127.0.0.1", ssh_server.port) as proxy:
            transport = SshTransport(ssh_server.device(port=proxy.port))
            transport.run(["true"], Deadline.after(30))
            proxy.stall()
            began = time.monotonic()
            with pytest.raises(UnreachableError):
                call(transport)
            assert time.monotonic() - began < 5, name
            transport.close()


def test_a_link_that_is_reset_during_a_command_is_unreachable_at_once(ssh_server, home):
    with FaultyProxy("127.0.0.1", ssh_server.port) as proxy:
        transport = SshTransport(ssh_server.device(port=proxy.port))
        transport.run(["true"], Deadline.after(30))
        threading.Timer(1, proxy.reset).start()
        began = time.monotonic()
        with pytest.raises(UnreachableError):
            transport.run(["sleep", "5"], Deadline.after(60))
        assert time.monotonic() - began < 4
        # The next call finds its way again.
        assert transport.run(["echo", "back"], Deadline.after(30)).text == "back"
        transport.close()


def test_an_upload_cut_in_the_middle_leaves_nothing_and_no_old_file_is_harmed(
    ssh_server, home, tmp_path
):
    (tmp_path / "source").write_bytes(os.urandom(20_000_000))
    there = tmp_path / "remote" / "there"
    there.parent.mkdir()
    there.write_text("old")
    with FaultyProxy("127.0.0.1", ssh_server.port) as proxy:
        transport = SshTransport(ssh_server.device(port=proxy.port))
        transport.run(["true"], Deadline.after(30))
        proxy.reset_after(5_000_000)
        with pytest.raises(UnreachableError):
            transport.put(tmp_path / "source", str(there), Deadline.after(60))
        transport.close()
    end = time.monotonic() + 15
    while len(list(there.parent.iterdir())) > 1 and time.monotonic() < end:
        time.sleep(0.05)
    assert [path.name for path in there.parent.iterdir()] == ["there"]
    assert there.read_text() == "old"


def test_a_half_sent_upload_is_not_visible_under_its_name(ssh_server, home, tmp_path):
    (tmp_path / "source").write_bytes(os.urandom(6_000_000))
    remote = tmp_path / "remote"
    remote.mkdir()
    with FaultyProxy("127.0.0.1", ssh_server.port) as proxy:
        proxy.set_rate(4_000_000)
        transport = SshTransport(ssh_server.device(port=proxy.port))
        sending = threading.Thread(
            target=transport.put,
            args=(tmp_path / "source", str(remote / "there"), Deadline.after(60)),
        )
        sending.start()
        seen = set()
        while sending.is_alive():
            names = {path.name for path in remote.iterdir()}
            seen |= names
            if "there" in names:
                assert (remote / "there").stat().st_size == 6_000_000
            time.sleep(0.02)
        sending.join()
        assert any(name.startswith("there.part-") for name in seen)
        assert [path.name for path in remote.iterdir()] == ["there"]
        transport.close()


def test_a_download_that_does_not_fit_here_is_not_taken_for_a_dead_link(
    ssh_transport, tmp_path, small_disk, deadline
):
    (tmp_path / "big").write_bytes(b"x" * 8_000_000)
    with pytest.raises(DeviceError, match="No space left") as caught:
        ssh_transport.get(str(tmp_path / "big"), small_disk / "back", deadline)
    assert not isinstance(caught.value, UnreachableError)
    assert list(small_disk.iterdir()) == []


def test_the_default_work_folder_is_in_the_remote_home(ssh_server, ssh_transport, deadline):
    home = ssh_transport.run(["sh", "-c", 'echo "$HOME"'], deadline).text
    device = ssh_server.device()
    assert workdir_of(device, ssh_transport, deadline) == f"{home}/.edgepose"
    elsewhere = ssh_server.device(workdir="~/a b/")
    assert workdir_of(elsewhere, ssh_transport, deadline) == f"{home}/a b"


def test_paramiko_writes_nothing_to_standard_error():
    handlers = logging.getLogger("paramiko").handlers
    assert any(isinstance(handler, logging.NullHandler) for handler in handlers)


def test_a_host_key_fingerprint_is_that_of_openssh(tmp_path):
    path = make_key(tmp_path / "key", "rsa")
    assert host_keys.HostKey.parse(public(path)).fingerprint == fingerprint(path)


def test_many_calls_at_once_share_one_link(ssh_transport: SshTransport, deadline):
    answers: dict[int, str] = {}

    def ask(index: int) -> None:
        answers[index] = ssh_transport.run(["echo", str(index)], deadline).text

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {index: str(index) for index in range(6)}


def test_no_thread_of_a_closed_transport_stays(ssh_server: SshServer, home, deadline):
    def links() -> set[threading.Thread]:
        return {each for each in threading.enumerate() if isinstance(each, paramiko.Transport)}

    others = links()
    transport = connect(ssh_server.device(), deadline)
    assert links() - others
    transport.close()
    end = time.monotonic() + 10
    while links() - others and time.monotonic() < end:
        time.sleep(0.05)
    assert not links() - others
