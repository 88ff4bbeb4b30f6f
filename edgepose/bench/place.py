"""Bundles on a device, ready to run: connected, leased, found fit, deployed."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from edgepose.bench.preflight import cool_down, preflight
from edgepose.bench.remote_run import RemoteRun
from edgepose.bundle import Bundle, make_plan
from edgepose.deadline import Deadline
from edgepose.devices.cache import ensure_cached
from edgepose.devices.connect import connect, workdir_of
from edgepose.devices.device import Device
from edgepose.devices.facts import DeviceFacts, read_facts
from edgepose.devices.lease import Lease, held
from edgepose.devices.python import python_command
from edgepose.devices.setup_cuda import compile_kernels, known_compiler
from edgepose.devices.transport import Transport
from edgepose.engines.tvm.cuda_plan import KERNELS, SOURCE
from edgepose.errors import UsageError
from edgepose.runners.pack import PYTHON_RUNNER
from edgepose.runners.result import RunResult
from edgepose.targets import load_target

CALL_S = 60.0
_DEPLOY_S = 900.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Station:
    """A device that we reach and hold; ``facts`` were read at the beginning."""

    device: Device
    transport: Transport
    lease: Lease
    workdir: str
    python: list[str]
    facts: DeviceFacts

    def run(self, run_id: str) -> RemoteRun:
        return RemoteRun(self.transport, f"{self.workdir}/runs/{run_id}", run_id)

    def read_facts(self) -> DeviceFacts:
        return read_facts(self.transport, soon(), python=self.python, workdir=self.workdir)


@dataclass(frozen=True)
class Place(Station):
    """A bundle at its station; ``paths`` are those of its files there.

    ``cpus`` are the cores that runs are pinned to, empty for any.
    """

    bundle: Bundle
    paths: dict[str, str]
    threads: int
    cpus: tuple[int, ...]

    @property
    def is_native(self) -> bool:
        """Whether the bundle's runner is an executable, which starts in no time."""
        return self.bundle.manifest.runner != PYTHON_RUNNER

    def finish(
        self, run: RemoteRun, what: str, mode: str, limit_s: float, expected_s: float, **plan: Any
    ) -> RunResult:
        """Start ``run`` unless an earlier command did, and wait for its result."""
        self.lease.renew(soon())
        began_before = run.was_started()
        _log.info("%s: %s%s", self.device.name, what, ", begun before" if began_before else "")
        if not began_before:
            cool_down(self.transport)
            manifest, settings = self.bundle.manifest, {"threads": self.threads, **plan}
            cpus = self.cpus or None
            planned = make_plan(manifest, mode, run.run_id, self.paths, cpus=cpus, **settings)
            run.start(planned, self.command)
        try:
            return run.wait(expected_s, Deadline.after(limit_s))
        except KeyboardInterrupt:
            run.stop()
            raise

    @property
    def command(self) -> list[str]:
        """What starts the bundle's runner there; a run's folder is appended."""
        runner = self.paths[self.bundle.manifest.runner]
        return [runner] if self.is_native else [*self.python, runner]


@contextmanager
def on_device(
    bundle: Bundle, device: Device, threads: int | None, lease_s: float, purpose: str
) -> Iterator[Place]:
    """Hold ``device`` for the block, with ``bundle`` on it.

    Raises UsageError, DeviceError or LeaseError.
    """
    require_target(bundle, device)
    with at_station(device, lease_s, purpose) as station:
        yield settle(bundle, station, threads)


@contextmanager
def at_station(device: Device, lease_s: float, purpose: str) -> Iterator[Station]:
    """Hold ``device`` for the block. Raises DeviceError or LeaseError."""
    transport = connect(device, soon())
    try:
        workdir = workdir_of(device, transport, soon())
        with held(transport, workdir, lease_s, purpose, soon()) as lease:
            python = python_command(device, transport, soon())
            facts = read_facts(transport, soon(), python=python, workdir=workdir)
            yield Station(device, transport, lease, workdir, python, facts)
    finally:
        transport.close()


def settle(bundle: Bundle, station: Station, threads: int | None) -> Place:
    """Put ``bundle`` there. Raises DeviceError where it could not run."""
    preflight(station.device, bundle, station.facts)
    count, cpus = choose_cores(station.device, station.facts, threads)
    if bundle.manifest.recipe.on_gpu:
        paths = _deploy_for_gpu(bundle, station)
    else:
        paths = _deploy(bundle, station.transport, station.workdir)
    return Place(**vars(station), bundle=bundle, paths=paths, threads=count, cpus=cpus)


def require_target(bundle: Bundle, device: Device) -> None:
    """Raise UsageError where ``bundle`` is for other hardware."""
    manifest = bundle.manifest
    if manifest.target != device.target:
        raise UsageError(
            f"{bundle.name} was not built for device {device.name!r}, which is a {device.target}",
            hint=f"Build it: `edgepose build {manifest.model.name} --target {device.target}`.",
        )


def choose_cores(
    device: Device, facts: DeviceFacts, threads: int | None
) -> tuple[int, tuple[int, ...]]:
    """How many threads, and the cores they are pinned to (empty: any).

    The target's fast cores, or else those that the device itself tells to be big.
    """
    cpu = load_target(device.target).cpu
    fast = cpu.fast_cores or facts.big_cores
    count = threads or cpu.threads or len(fast) or 1
    # The last ones: on many systems the first core serves the interrupts, and on phones the last
    # one is the fastest.
    return count, fast[-count:] if count <= len(fast) else ()


def soon() -> Deadline:
    """For one call over the transport."""
    return Deadline.after(CALL_S)


def _deploy(bundle: Bundle, transport: Transport, workdir: str) -> dict[str, str]:
    """Send what the device lacks; file name → path there."""
    files = bundle.manifest.files
    local = {digest: bundle.folder / name for name, digest in files.items()}
    remote = ensure_cached(transport, workdir, local, Deadline.after(_DEPLOY_S))
    return {name: remote[digest] for name, digest in files.items()}


def _deploy_for_gpu(bundle: Bundle, station: Station) -> dict[str, str]:
    """As ``_deploy``, and the kernels that the device's nvcc makes of the bundle's source."""
    device, transport, workdir = station.device, station.transport, station.workdir
    compiler = known_compiler(device, transport, workdir, soon())
    paths = _deploy(bundle, transport, workdir)
    _log.info("%s: kernels are compiled there once, in minutes on a small board", device.name)
    station.lease.renew(soon())
    sha256 = bundle.manifest.files[SOURCE]
    kernels = compile_kernels(device, transport, workdir, compiler, paths[SOURCE], sha256)
    return {**paths, KERNELS: kernels}
