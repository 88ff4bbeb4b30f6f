"""``edgepose device add|list|show|remove|trust|doctor|setup``: the user's boards."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgepose.cli.common import (
    Commands,
    add_json,
    print_checks,
    print_fields,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from edgepose.devices.device import Device

_ADD_S = 60.0


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser("device", help="the inventory of boards")
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")

    add = actions.add_parser("add", help="add a board reached by SSH, or a phone reached by adb")
    add.add_argument("name", help="a-z, 0-9 and -")
    add.add_argument("--target", help="its kind, see `edgepose targets`; a phone's is found")
    way = add.add_mutually_exclusive_group(required=True)
    way.add_argument("--ssh", metavar="USER@HOST", help="or a ~/.ssh/config alias")
    way.add_argument(
        "--adb", nargs="?", const="", metavar="SERIAL", help="left out where only one is there"
    )
    add.add_argument("--port", type=int)
    add.add_argument("--identity", type=Path, metavar="FILE", help="private key, never a password")
    add.add_argument("--workdir", help="edgepose's folder there (default: ~/.edgepose; see docs)")
    add.add_argument("--python", default="python3", help="its interpreter (default: python3)")
    add.add_argument("--emulated", action="store_true", help="its timings are no latencies")
    add.add_argument("--user", action="store_true", help="for all projects, not only this folder")
    add.set_defaults(run=run_add)

    listing = actions.add_parser("list", help="all devices")
    add_json(listing)
    listing.set_defaults(run=run_list)

    for name, function, text in (
        ("show", run_show, "one device's entry"),
        ("doctor", run_doctor, "examine it and say how to mend what is missing"),
        ("setup", run_setup, "install the runtimes there, from wheels of this host"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("name")
        add_json(action)
        action.set_defaults(run=function)
        if name == "setup":
            text = (
                "and what else: tvm-cuda compiles kernels with the board's own nvcc; pipeline "
                "is what `profile --stages` runs there"
            )
            action.add_argument("--with", dest="extra", choices=["tvm-cuda", "pipeline"], help=text)
    remove = actions.add_parser("remove", help="forget a device")
    remove.add_argument("name")
    remove.set_defaults(run=run_remove)
    trust = actions.add_parser("trust", help="show the host key's fingerprint and pin it")
    trust.add_argument("name")
    trust.add_argument("--yes", action="store_true", help="pin it without asking")
    trust.set_defaults(run=run_trust)


def run_add(arguments: argparse.Namespace) -> int:
    from edgepose.devices.inventory import add_device

    device = _phone_entry(arguments) if arguments.ssh is None else _ssh_entry(arguments)
    path = add_device(device, user=arguments.user)
    following = "doctor" if device.transport == "adb" else "trust"
    print(f"added {device.name} to {path}; next: edgepose device {following} {device.name}")
    return 0


def _ssh_entry(arguments: argparse.Namespace) -> "Device":
    from edgepose.devices.device import Device
    from edgepose.devices.inventory import parse_ssh
    from edgepose.errors import UsageError
    from edgepose.targets import load_target

    if arguments.target is None:
        raise UsageError(
            "a board that is reached by SSH needs --target",
            hint="See which there are with `edgepose targets`.",
        )
    load_target(arguments.target)
    place = parse_ssh(arguments.ssh)
    return Device(
        name=arguments.name,
        target=arguments.target,
        transport="ssh",
        host=place.host,
        user=place.user,
        port=arguments.port or place.port,
        identity_file=str(arguments.identity.expanduser()) if arguments.identity else None,
        workdir=arguments.workdir,
        python=arguments.python,
        emulated=arguments.emulated,
    )


def _phone_entry(arguments: argparse.Namespace) -> "Device":
    """The phone is looked at now: it says which target it is."""
    from edgepose.deadline import Deadline
    from edgepose.devices.device import Device
    from edgepose.devices.phone import identify
    from edgepose.errors import UsageError

    if arguments.port or arguments.identity:
        raise UsageError("--port and --identity are for --ssh, not for --adb")
    asked = Device(
        name=arguments.name,
        target=arguments.target or "",
        transport="adb",
        serial=arguments.adb or None,
        workdir=arguments.workdir,
        python=arguments.python,
        emulated=arguments.emulated,
    )
    device, phone = identify(asked, Deadline.after(_ADD_S))
    print(f"{device.serial}: {phone}; target {device.target}")
    return device


def run_list(arguments: argparse.Namespace) -> int:
    from edgepose.devices.inventory import list_devices

    devices = list_devices()
    if arguments.json:
        print_json(devices)
        return 0
    rows = [
        [
            device.name,
            device.target + (" (emulated)" if device.emulated else ""),
            device.transport,
            f"{device.user or ''}{'@' if device.user else ''}{device.host or device.serial or '-'}",
            "pinned" if device.host_keys else "-",
        ]
        for device in devices
    ]
    print_table(["device", "target", "transport", "address", "host key"], rows)
    return 0


def run_show(arguments: argparse.Namespace) -> int:
    import msgspec

    from edgepose.devices.inventory import find_device

    device = find_device(arguments.name)
    if arguments.json:
        print_json(device)
    else:
        print_fields([(k, "-" if v is None else v) for k, v in msgspec.to_builtins(device).items()])
    return 0


def run_remove(arguments: argparse.Namespace) -> int:
    from edgepose.devices.inventory import remove_device

    print(f"removed {arguments.name} from {remove_device(arguments.name)}")
    return 0


def run_trust(arguments: argparse.Namespace) -> int:
    from edgepose.devices.inventory import find_device
    from edgepose.devices.trust import host_fingerprints, pin
    from edgepose.errors import UsageError

    device = find_device(arguments.name)
    keys = host_fingerprints(device)
    if not keys:
        raise UsageError(
            f"device {device.name!r} is not reached by SSH: there is no host key to trust",
            hint="See which devices are reached by SSH with `edgepose device list`.",
        )
    for key in keys:
        print(f"{device.host} offers {key.kind} {key.fingerprint}")
    if not arguments.yes:
        if not sys.stdin.isatty():
            raise UsageError("nobody can be asked here", hint="Compare it, then add --yes.")
        print("Compare it with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the board.")
        if input("Is it the board's? [y/N] ").strip().lower() not in ("y", "yes"):
            print("not pinned")
            return UsageError.exit_code
    pin(device, keys[0])
    print(f"pinned for {device.name}")
    return 0


def run_doctor(arguments: argparse.Namespace) -> int:
    from edgepose.devices.doctor import examine
    from edgepose.devices.inventory import find_device
    from edgepose.errors import DeviceError

    checks = examine(find_device(arguments.name))
    print_checks(checks, as_json=arguments.json)
    critical = any(check.verdict == "CRITICAL" for check in checks)
    return DeviceError.exit_code if critical else 0


def run_setup(arguments: argparse.Namespace) -> int:
    from edgepose.devices.inventory import find_device
    from edgepose.devices.setup import setup_device
    from edgepose.devices.setup_cuda import setup_cuda
    from edgepose.devices.setup_pipeline import pipeline_requirements

    def progress(text: str) -> None:
        print(text, file=sys.stderr)

    device = find_device(arguments.name)
    more = pipeline_requirements() if arguments.extra == "pipeline" else None
    versions = setup_device(device, progress=progress, more=more)
    if arguments.extra == "tvm-cuda":
        versions |= setup_cuda(device, progress)
    if arguments.json:
        print_json(versions)
    elif versions:
        print_table(["module", "version"], sorted(versions.items()))
    else:
        print("nothing to install: its runners are executables that bundles bring along")
    return 0
