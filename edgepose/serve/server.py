"""Bind, load the nets once, answer until Ctrl-C."""

import asyncio
import errno
import signal
import socket
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import edgepose
from edgepose.bundle import Bundle
from edgepose.errors import ToolchainError, UsageError
from edgepose.pose.draw import COLORS
from edgepose.pose.draw_layer import Color
from edgepose.pose.keypoint_sets import keypoint_set
from edgepose.pose.pipeline import Pipeline, PipelineSettings
from edgepose.serve.wire import About, net_info
from edgepose.serve.worker import Worker

LOOPBACK = ("127.0.0.1", "localhost", "::1")
DEFAULT_PORT = 8008
_MAX_BODY_BYTES = 1 << 20  # of requests that are not files
_SETTINGS = PipelineSettings()


def serve(
    pose: Bundle,
    detector: Bundle | None = None,
    *,
    threads: int = 1,
    settings: PipelineSettings = _SETTINGS,
    host: str = LOOPBACK[0],
    port: int = DEFAULT_PORT,
    announce: Callable[[str], None],
) -> None:
    """Serve the page until SIGINT or SIGTERM; ``announce`` gets its address.

    Port 0 picks a free one. Raises UsageError where the address cannot be had, ToolchainError
    where tornado is missing.
    """
    if find_spec("tornado") is None:
        raise ToolchainError(
            "`edgepose serve` needs the package tornado",
            hint="pip install 'edgepose[serve]'",
        )
    nets = Pipeline.from_bundles(pose, detector, threads=threads, settings=settings)

    still = replace(settings, track=False, smooth=False)

    def pipeline(film: bool) -> Pipeline:  # a client's own people, over the same nets
        return Pipeline(nets.pose, nets.detector, settings if film else still)

    about = _about(pose, detector, settings)
    asyncio.run(_serve(about, pipeline, host, port, announce))


def host_names(host: str) -> frozenset[str]:
    """The names by which a browser may call a server that listens on ``host``."""
    own = socket.gethostname().lower()
    beyond = () if host in LOOPBACK else (host.lower(), own, f"{own}.local")
    return frozenset((*LOOPBACK, *beyond))


async def _serve(
    about: About,
    pipeline: Callable[[bool], Pipeline],
    host: str,
    port: int,
    announce: Callable[[str], None],
) -> None:
    from tornado.httpserver import HTTPServer

    from edgepose.serve.app import Service, make_app

    stopped = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    worker = Worker()
    with tempfile.TemporaryDirectory(prefix="edgepose-serve-") as folder:
        service = Service(about, pipeline, worker, host_names(host), Path(folder))
        server = HTTPServer(make_app(service), max_body_size=_MAX_BODY_BYTES)
        sockets = _bind(host, port)
        server.add_sockets(sockets)
        announce(_address(sockets, host))
        await stopped.wait()
        server.stop()
        worker.close()


def _bind(host: str, port: int) -> Sequence[socket.socket]:
    from tornado.netutil import bind_sockets

    try:
        return bind_sockets(port, host)
    except OSError as error:
        reason = error.strerror or str(error)
        taken = error.errno == errno.EADDRINUSE
        raise UsageError(
            f"cannot listen on {host}, port {port}: {reason}",
            hint="Choose another --port, or 0 for a free one."
            if taken
            else "Check --host and --port.",
        ) from None


def _address(sockets: Sequence[socket.socket], host: str) -> str:
    port = sockets[0].getsockname()[1]
    name = {"0.0.0.0": LOOPBACK[0], "::": LOOPBACK[0]}.get(host, host)
    return f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"


def _about(pose: Bundle, detector: Bundle | None, settings: PipelineSettings) -> About:
    from edgepose.serve.app import MAX_FILE_BYTES

    keypoints = keypoint_set(pose.manifest.model)
    return About(
        version=edgepose.__version__,
        pose=net_info(pose),
        detector=net_info(detector) if detector else None,
        sides=keypoints.sides,
        limbs=tuple((limb.start, limb.end, limb.side) for limb in keypoints.limbs),
        details_from=keypoints.details_from,
        colours={side: _css(color) for side, color in COLORS.items()},
        threshold=settings.keypoint_threshold,
        max_file_bytes=MAX_FILE_BYTES,
    )


def _css(color: Color) -> str:
    blue, green, red = color
    return f"#{red:02x}{green:02x}{blue:02x}"
