"""``edgepose device``: the inventory from the command line, and this machine under examination."""

import json
import tomllib
from pathlib import Path

from tests.cli.conftest import Edgepose

ADD = ("device", "add", "pi-kitchen", "--target", "rpi4", "--ssh", "pi@kitchen.lan:2222")


def test_a_device_is_added_listed_shown_and_removed(edgepose: Edgepose) -> None:
    added = edgepose(*ADD, "--identity", "/keys/pi", "--emulated")
    assert added.returncode == 0
    assert "edgepose device trust pi-kitchen" in added.stdout
    (entry,) = tomllib.loads(Path("devices.toml").read_text()).values()
    assert (entry["host"], entry["user"], entry["port"]) == ("kitchen.lan", "pi", 2222)

    listed = json.loads(edgepose("device", "list", "--json").stdout)
    assert [device["name"] for device in listed] == ["local", "pi-kitchen"]
    line = edgepose("device", "list").stdout.splitlines()[-1]
    assert "rpi4 (emulated)" in line and "pi@kitchen.lan" in line

    shown = json.loads(edgepose("device", "show", "pi-kitchen", "--json").stdout)
    assert shown == listed[1]
    assert shown["identity_file"] == "/keys/pi"
    assert "kitchen.lan" in edgepose("device", "show", "pi-kitchen").stdout

    assert edgepose("device", "remove", "pi-kitchen").returncode == 0
    assert json.loads(edgepose("device", "list", "--json").stdout) == listed[:1]
    assert edgepose("device", "show", "pi-kitchen").returncode == 2


def test_a_name_is_taken_once_and_local_never(edgepose: Edgepose) -> None:
    assert edgepose(*ADD).returncode == 0
    before = Path("devices.toml").read_text()
    again = edgepose(*ADD)
    assert again.returncode == 2
    assert "hint: Remove it first: `edgepose device remove pi-kitchen`." in again.stderr
    for action in ("add local --target host --ssh pi@x", "remove local"):
        assert edgepose("device", *action.split()).returncode == 2
    assert Path("devices.toml").read_text() == before


def test_a_device_of_an_unknown_target_or_address_is_not_added(edgepose: Edgepose) -> None:
    for words in (("--target", "rpi44", "--ssh", "pi"), ("--target", "rpi4", "--ssh", "pi@a b")):
        done = edgepose("device", "add", "pi", *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert "error: " in done.stderr and "hint: " in done.stderr
    assert not Path("devices.toml").exists()


def test_the_users_inventory_serves_all_folders(edgepose: Edgepose) -> None:
    assert edgepose(*ADD, "--user").returncode == 0
    try:
        assert not Path("devices.toml").exists()
        assert "pi-kitchen" in edgepose("device", "list").stdout
    finally:
        assert edgepose("device", "remove", "pi-kitchen").returncode == 0


def test_the_doctor_examines_this_machine(edgepose: Edgepose) -> None:
    done = edgepose("device", "doctor", "local", "--json")
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    for name in ("target", "reachable", "architecture", "runtime onnxruntime", "runner ncnn"):
        assert checks[name]["verdict"] == "PASS", checks[name]
    critical = any(check["verdict"] == "CRITICAL" for check in checks.values())
    assert done.returncode == (6 if critical else 0)
    assert "runner ncnn" in edgepose("device", "doctor", "local").stdout


def test_this_machine_needs_no_setup_and_tells_its_runtimes(edgepose: Edgepose) -> None:
    done = edgepose("device", "setup", "local", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout).keys() >= {"numpy", "onnxruntime", "ncnn"}
