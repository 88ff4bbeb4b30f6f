"""The boards that measure for a tuning: held, found fit, equipped, offered to TVM's tracker."""

import contextlib
import json
import logging
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from edgepose.bench.place import Station, at_station, choose_cores, soon
from edgepose.bench.preflight import check_board, cool_down
from edgepose.deadline import Deadline
from edgepose.devices.cache import ensure_cached
from edgepose.devices.device import Device
from edgepose.devices.shell import script, succeeded
from edgepose.devices.transport import Transport
from edgepose.errors import DeviceError, EdgePoseError, LeaseError, UsageError
from edgepose.files import sha256_file
from edgepose.targets import Target
from edgepose.tuning.agent import Agent, BoardStatus

_DEPLOY_S = 900.0
_LEASE_S = 900.0  # longer than an agent tries to reach its board again
_RENEW_S = 120.0
_RENEWAL_S = 15.0
_OFFER_S = 30.0
_log = logging.getLogger(__name__)

# First what an earlier tuning left that was killed here: the lease is ours, so nobody uses it.
# The arguments stand so that the pattern does not match this script's own command line.
_MAKE_FOLDER = """
pkill -9 -f -- "$2/tune-[0-9a-f]*$"
rm -rf "$2"/tune-*
mkdir -p "$1"
"""


@dataclass(frozen=True)
class ServerFiles:
    """The measuring server for one architecture, and the libraries that it loads, by name."""

    program: Path
    libraries: dict[str, Path]


@dataclass(frozen=True)
class Board:
    """A device that is held and can measure. ``command`` starts the server there."""

    station: Station
    command: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.station.device.name


class Fleet:
    """Boards of one target, made by ``holding``; leases are renewed while it lasts."""

    def __init__(self, held_boards: Sequence[Board]) -> None:
        self.held = tuple(held_boards)
        self._agents: dict[str, Agent] = {}
        self._lost: dict[str, LeaseError] = {}
        self._ending = threading.Event()
        self._keeper = threading.Thread(target=self._keep_leases, name="leases", daemon=True)
        self._keeper.start()

    @property
    def boards(self) -> tuple[BoardStatus, ...]:
        """How each one does now, in the order in which they were named."""
        agents = dict(self._agents)
        return tuple(
            agents[board.name].status if board.name in agents else BoardStatus(board.name)
            for board in self.held
        )

    def offer(self, tracker_port: int, key: str) -> None:
        """Register every board under ``key`` with the tracker on this host's ``tracker_port``.

        An earlier offer is withdrawn. Raises DeviceError, which names the device, where a session
        cannot start there, and LeaseError where the board is no longer ours.
        """
        self.withdraw()
        for board in self.held:
            if board.name in self._lost:
                raise self._lost[board.name]
            self._agents[board.name] = Agent(
                board.name, board.station.transport, board.command, tracker_port, key
            )
        for agent in self._agents.values():
            status = agent.wait_until_offered(Deadline.after(_OFFER_S))
            if status.gone or status.state == "connecting":
                raise DeviceError(
                    f"device {status.name!r} cannot measure: {status.detail or 'no answer'}",
                    hint=f"See `edgepose device doctor {status.name}`.",
                )

    def withdraw(self) -> None:
        """End all sessions, here and there; the boards stay held."""
        for agent in self._agents.values():
            agent.stop()
        self._agents = {}

    def close(self) -> None:
        """Withdraw, and renew no lease any more: ``holding`` gives the boards back."""
        self.withdraw()
        self._ending.set()
        self._keeper.join()

    def _keep_leases(self) -> None:
        while not self._ending.wait(_RENEW_S):
            for board in self.held:
                if board.name in self._lost:
                    continue
                try:
                    board.station.lease.renew(Deadline.after(_RENEWAL_S))
                except LeaseError as error:
                    self._lose(board.name, error)
                except DeviceError as error:  # the agent sees to it that it is reached again
                    _log.info("%s: the lease was not renewed: %s", board.name, error)

    def _lose(self, name: str, error: LeaseError) -> None:
        _log.warning("%s: %s", name, error)
        self._lost[name] = error
        if agent := self._agents.get(name):
            agent.stop(str(error))


@contextmanager
def measuring(
    devices: Sequence[Device],
    target: Target,
    tracker_port: int,
    key: str,
    *,
    threads: int | None = None,
    purpose: str = "tune",
    files: ServerFiles | None = None,
) -> Iterator[Fleet]:
    """Offer ``devices`` to the tracker for the block; everything is undone at its end.

    As ``holding`` and ``Fleet.offer``, for a tracker that runs already.
    """
    with holding(devices, target, threads=threads, purpose=purpose, files=files) as fleet:
        fleet.offer(tracker_port, key)
        yield fleet


@contextmanager
def holding(
    devices: Sequence[Device],
    target: Target,
    *,
    threads: int | None = None,
    purpose: str = "tune",
    files: ServerFiles | None = None,
) -> Iterator[Fleet]:
    """Hold ``devices`` for the block, each with a measuring server that was seen to start.

    ``threads`` as in benching: the target's fast cores unless told. Raises UsageError where a
    device is of another target, and DeviceError or LeaseError naming the device and the cause;
    ToolchainError where the server cannot be built.
    """
    _check(devices, target)
    files = files or server_files(target.arch)
    with ExitStack() as stack:
        boards = []
        for device in devices:
            with _naming(device):
                boards.append(_ready(device, threads, purpose, files, stack))
        fleet = Fleet(boards)
        stack.callback(fleet.close)
        yield fleet


def server_files(arch: str) -> ServerFiles:
    """The server for ``arch``, built unless the cache has it. Raises ToolchainError."""
    from edgepose.runners.native_tvm import tvm_runtime, tvm_server

    return ServerFiles(tvm_server(arch), tvm_runtime(arch))


def _check(devices: Sequence[Device], target: Target) -> None:
    if not devices:
        raise UsageError("no device is named", hint="Name one: `--device NAME`.")
    names = [device.name for device in devices]
    for device in devices:
        if names.count(device.name) > 1:
            raise UsageError(f"device {device.name!r} is named twice")
        if device.target != target.name:
            raise UsageError(
                f"device {device.name!r} is a {device.target}, the tuning is for {target.name}",
                hint="Records of one kind of hardware are of no use to another.",
            )


def _ready(
    device: Device, threads: int | None, purpose: str, files: ServerFiles, stack: ExitStack
) -> Board:
    """Connect, take the lease, look, send what is missing, and try the server once."""
    station = stack.enter_context(at_station(device, _LEASE_S, purpose))
    check_board(device, station.facts)
    count, cpus = choose_cores(device, station.facts, threads)
    folder = f"{station.workdir}/runs/tune-{secrets.token_hex(8)}"
    command = script(_MAKE_FOLDER, folder, f"{station.workdir}/runs")
    made = station.transport.run(command, soon())
    succeeded(made, f"cannot make {folder}")
    stack.callback(_remove, station.transport, folder)
    program = _deploy(station, folder, files, count, cpus)
    station.lease.renew(soon())  # the upload may have taken long
    _try(station, [program, folder])
    cool_down(station.transport)
    _log.info("%s: ready to measure, threads: %d", device.name, count)
    return Board(station, (program, folder))


def _deploy(
    station: Station, folder: str, files: ServerFiles, threads: int, cpus: tuple[int, ...]
) -> str:
    """Send what the device lacks, and the server's settings; the program's path there."""
    digests = {path: sha256_file(path) for path in (files.program, *files.libraries.values())}
    local = {digest: path for path, digest in digests.items()}
    transport = station.transport
    remote = ensure_cached(transport, station.workdir, local, Deadline.after(_DEPLOY_S))
    libraries = {name: remote[digests[path]] for name, path in files.libraries.items()}
    settings = {"libraries": libraries, "threads": threads, "cpus": list(cpus) or None}
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "server.json"
        file.write_text(json.dumps(settings), encoding="utf-8")
        transport.put(file, f"{folder}/server.json", soon())
    return remote[digests[files.program]]


def _try(station: Station, command: Sequence[str]) -> None:
    """A session without a client: the server loads its libraries, reads the end and ends."""
    with contextlib.closing(station.transport.open(command, soon())) as channel:
        channel.end_input()
        status = channel.returncode(soon())
    if status != 0:
        said = channel.stderr_tail() or "it says nothing"
        raise DeviceError(
            f"the measuring server does not start on device {station.device.name!r}, exit status "
            f"{status}: {said}",
            hint="A library or a system that is too old? See docs/tvm.md.",
        )


def _remove(transport: Transport, folder: str) -> None:
    with contextlib.suppress(DeviceError):
        transport.run(["rm", "-rf", folder], Deadline.after(15))


@contextmanager
def _naming(device: Device) -> Iterator[None]:
    """See to it that an error says which of several devices it is about."""
    try:
        yield
    except EdgePoseError as error:
        if repr(device.name) not in str(error):
            error.args = (f"device {device.name!r}: {error}",)
        raise
