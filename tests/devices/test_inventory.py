"""The inventory: two files, one name space, no secrets."""

import tomllib

import msgspec
import pytest

from edgepose.devices.device import LOCAL, Device, validate
from edgepose.devices.inventory import (
    add_device,
    find_device,
    inventory_file,
    list_devices,
    parse_ssh,
    remove_device,
    replace_device,
)
from edgepose.errors import ConfigError, UsageError

PI = Device(name="pi4", target="rpi4", transport="ssh", host="pi.local", user="pi", port=2222)


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("EDGEPOSE_CONFIG", str(tmp_path / "user"))


def test_this_machine_is_a_device_without_any_file():
    assert list_devices() == [LOCAL]
    assert find_device("local").transport == "local"
    assert not inventory_file(user=False).exists()


def test_a_device_is_found_again_with_all_its_fields():
    device = msgspec.structs.replace(
        PI,
        identity_file='~/.ssh/my "pi" key',
        workdir="/data/grüße",
        python="/opt/py/bin/python3.11",
        emulated=True,
        host_keys=("ssh-ed25519 AAAA+/=", "ssh-rsa BBBB comment"),
    )
    path = add_device(device)
    assert find_device("pi4") == device
    assert set(tomllib.loads(path.read_text())) == {"pi4"}


def test_only_what_differs_from_the_default_is_written():
    path = add_device(Device(name="board", target="rpi5", transport="local"))
    assert tomllib.loads(path.read_text()) == {"board": {"target": "rpi5", "transport": "local"}}


def test_the_projects_device_hides_the_users():
    add_device(PI, user=True)
    add_device(msgspec.structs.replace(PI, host="other"))
    assert find_device("pi4").host == "other"
    assert [device.name for device in list_devices()] == ["local", "pi4"]
    remove_device("pi4")
    assert find_device("pi4").host == "pi.local"
    remove_device("pi4")
    with pytest.raises(UsageError):
        find_device("pi4")


def test_edits_keep_the_users_comments_and_order():
    path = inventory_file(user=False)
    path.write_text(
        '# the lab\n[b]\ntarget = "rpi4"  # old one\ntransport = "local"\n\n'
        '[a]\ntarget = "rpi5"\ntransport = "ssh"\nhost = "a"\nhost_keys = [\n'
        '  "ssh-ed25519 AAAA",\n]\n'
    )
    add_device(PI)
    replace_device(msgspec.structs.replace(find_device("a"), port=22))
    text = path.read_text()
    assert "# the lab" in text
    assert "# old one" in text
    assert list(tomllib.loads(text)) == ["b", "a", "pi4"]
    assert find_device("a").port == 22
    remove_device("b")
    assert list(tomllib.loads(path.read_text())) == ["a", "pi4"]


def test_an_unknown_name_brings_the_nearest():
    add_device(PI)
    with pytest.raises(UsageError, match="pi4"):
        find_device("pi5")
    with pytest.raises(UsageError, match="pi4"):
        remove_device("pi")


@pytest.mark.parametrize(
    "name", ["", "Pi", "a b", "a;b", "../a", "-a", "a-", "a\n", "ä", "a" * 64, "a.b", "a/b"]
)
def test_names_are_restricted(name):
    with pytest.raises(UsageError, match="not a device name"):
        add_device(msgspec.structs.replace(PI, name=name))
    assert not inventory_file(user=False).exists()


def test_a_name_in_a_file_is_checked_too():
    inventory_file(user=False).write_text('["a;b"]\ntarget = "rpi4"\ntransport = "local"\n')
    with pytest.raises(UsageError, match="a;b"):
        list_devices()


def test_a_password_is_an_unknown_key():
    inventory_file(user=False).write_text(
        '[a]\ntarget = "rpi4"\ntransport = "ssh"\nhost = "a"\npassword = "x"\n'
    )
    with pytest.raises(ConfigError, match=r"password.*identity_file"):
        list_devices()


def test_a_taken_and_a_built_in_name_are_refused():
    add_device(PI)
    with pytest.raises(UsageError, match="already"):
        add_device(PI)
    with pytest.raises(UsageError, match="built in"):
        add_device(msgspec.structs.replace(LOCAL))
    with pytest.raises(UsageError, match="built in"):
        remove_device("local")


@pytest.mark.parametrize(
    "changes",
    [
        {"host": None},
        {"host": "-oProxyCommand=x"},
        {"host": "a b"},
        {"user": "-l"},
        {"transport": "local"},
        {"workdir": "relative"},
        {"workdir": "/a\nb"},
        {"python": ""},
        {"python": "-c"},
        {"host_keys": ("nonsense",)},
    ],
)
def test_entries_that_make_no_sense_are_refused(changes):
    with pytest.raises(UsageError, match="pi4"):
        validate(msgspec.structs.replace(PI, **changes))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pi.local", (None, "pi.local", None)),
        ("my_alias", (None, "my_alias", None)),
        ("pi@10.0.0.2", ("pi", "10.0.0.2", None)),
        ("pi@host:2222", ("pi", "host", 2222)),
        ("ssh://pi@host:22", ("pi", "host", 22)),
        ("[fe80::1%eth0]:22", (None, "fe80::1%eth0", 22)),
    ],
)
def test_ssh_destinations_are_read(text, expected):
    assert parse_ssh(text) == expected


@pytest.mark.parametrize("text", ["", "a b", "@host", "pi@", "host:", "host:99999", "-o", "a;b"])
def test_nonsense_as_ssh_destination_is_refused(text):
    with pytest.raises(UsageError, match="SSH destination"):
        parse_ssh(text)
