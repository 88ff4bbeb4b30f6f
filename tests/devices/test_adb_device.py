"""A phone as an entry of the inventory."""

import tomllib

import pytest

from edgepose.devices.device import Device, validate
from edgepose.devices.inventory import add_device, find_device
from edgepose.errors import UsageError

PHONE = Device(name="pixel", target="snapdragon-865", transport="adb", serial="R58N12ABCDE")


def test_a_phone_is_found_again_with_all_its_fields(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = add_device(PHONE)
    assert find_device("pixel") == PHONE
    assert tomllib.loads(path.read_text())["pixel"] == {
        "target": "snapdragon-865",
        "transport": "adb",
        "serial": "R58N12ABCDE",
    }


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"serial": None}, "needs a serial"),
        ({"serial": ""}, "needs a serial"),
        ({"serial": "-s"}, "serial"),
        ({"serial": "two words"}, "serial"),
        ({"serial": "line\nbreak"}, "serial"),
        ({"host": "pi.lan"}, "for transport ssh"),
        ({"host_keys": ("ssh-ed25519 AAAA",)}, "for transport ssh"),
        ({"workdir": "~/edgepose"}, "a phone has no home"),
        ({"transport": "local"}, "serial is for transport adb"),
        ({"transport": "ssh", "host": "pi.lan"}, "serial is for transport adb"),
    ],
)
def test_an_entry_that_makes_no_sense_is_refused(fields, said):
    entry = {"name": "x", "target": "host", "transport": "adb", "serial": "R58N"}
    with pytest.raises(UsageError, match=said):
        validate(Device(**{**entry, **fields}))


@pytest.mark.parametrize("serial", ["R58N12ABCDE", "127.0.0.1:5555", "[fe80::1%wlan0]:5555"])
def test_usual_serials_are_taken(serial):
    assert validate(Device(name="x", target="host", transport="adb", serial=serial))
