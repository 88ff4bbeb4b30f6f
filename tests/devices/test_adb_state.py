"""What adb's client says, read; and the errors that tell a user what to do."""

import pytest

from edgepose.devices.adb_state import is_network, not_ready, only_serial, parse_devices
from edgepose.errors import AuthenticationError, UnreachableError, UsageError

LISTING = """\
* daemon not running; starting now at tcp:5037
* daemon started successfully
List of devices attached
R58N12ABCDE\tdevice
127.0.0.1:6000\toffline
emulator-5554\tunauthorized
0123456789\tno permissions (user in plugdev group; are your udev rules wrong?); see [a page]

"""


def test_devices_are_read_with_their_states():
    assert parse_devices(LISTING) == {
        "R58N12ABCDE": "device",
        "127.0.0.1:6000": "offline",
        "emulator-5554": "unauthorized",
        "0123456789": "no permissions",
    }
    assert parse_devices("List of devices attached\n\n") == {}


@pytest.mark.parametrize(
    ("serial", "network"),
    [
        ("127.0.0.1:6000", True),
        ("phone.lan:5555", True),
        ("[fe80::1]:5555", True),
        ("R58N12ABCDE", False),
        ("emulator-5554", False),
        ("adb-R58N-x1y2z3._adb-tls-connect._tcp", False),
    ],
)
def test_an_address_is_told_from_a_serial(serial, network):
    assert is_network(serial) is network


@pytest.mark.parametrize(
    ("state", "kind", "hint"),
    [
        ("unauthorized", AuthenticationError, "accept"),
        ("offline", UnreachableError, "plug it in again"),
        ("no permissions", UnreachableError, "udev"),
        ("recovery", UnreachableError, "adb reboot"),
        ("sideload", UnreachableError, "adb reboot"),
        ("bootloader", UnreachableError, "fastboot reboot"),
        ("something-new", UnreachableError, "adb devices"),
    ],
)
def test_each_state_is_an_error_that_says_what_to_do(state, kind, hint):
    error = not_ready("R58N", {"R58N": state})
    assert type(error) is kind
    assert "R58N" in str(error)
    assert hint in error.hint


def test_an_unknown_serial_lists_what_is_there():
    error = not_ready("R58N", {"other": "device", "third": "offline"})
    assert "other (device), third (offline)" in str(error)
    assert "none" in str(not_ready("R58N", {}))


def test_a_serial_is_left_out_only_where_there_is_one_device():
    assert only_serial({"R58N": "offline"}) == "R58N"
    with pytest.raises(UsageError, match="one, two"):
        only_serial({"two": "device", "one": "device"})
    with pytest.raises(UnreachableError, match="no device"):
        only_serial({})
