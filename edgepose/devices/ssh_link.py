"""One authenticated SSH connection, through any jump hosts."""

import contextlib
import logging
import socket
import threading
from collections.abc import Iterator

import paramiko

from edgepose.deadline import Deadline
from edgepose.devices import host_keys
from edgepose.devices.host_keys import HostKey
from edgepose.devices.ssh_config import SshAddress
from edgepose.devices.ssh_keys import log_in
from edgepose.errors import AuthenticationError, UnreachableError

# Without a handler, paramiko's background thread would write tracebacks to standard error.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

# A dead link is noticed by the kernel after this time also while no deadline is near.
_LINK_TIMEOUT_S = 15
_KEEP_ALIVE_S = 5
_GRACE_S = 0.25
_WINDOW = 8 << 20


class SshLink:
    """Opened with ``open_link``; a link that died stays dead."""

    def __init__(self, base: socket.socket, label: str) -> None:
        self.label = label
        self._base = base
        self._hops: list[paramiko.Transport] = []

    @property
    def alive(self) -> bool:
        return bool(self._hops) and all(hop.is_active() for hop in self._hops)

    def session(self, deadline: Deadline) -> paramiko.Channel:
        return self._hops[-1].open_session(timeout=_seconds(deadline))

    def handshake(
        self, address: SshAddress, known: tuple[HostKey, ...], until: Deadline
    ) -> HostKey:
        """Add a hop as far as its host key; the key exchange proves that the host owns it."""
        stream: socket.socket | paramiko.Channel = self._base
        if self._hops:
            destination = (address.host, address.port)
            stream = self._hops[-1].open_channel(
                "direct-tcpip", destination, ("127.0.0.1", 0), timeout=_seconds(until)
            )
        hop = paramiko.Transport(stream, default_window_size=_WINDOW)
        self._hops.append(hop)
        hop.banner_timeout = hop.handshake_timeout = hop.auth_timeout = _seconds(until)
        _prefer(hop, known)
        hop.start_client(timeout=_seconds(until))
        key = hop.get_remote_server_key()
        return HostKey(key.get_name(), key.get_base64())

    def log_in(self, address: SshAddress) -> None:
        """Authenticate on the newest hop."""
        log_in(self._hops[-1], address)
        self._hops[-1].set_keepalive(_KEEP_ALIVE_S)

    @contextlib.contextmanager
    def guarded(self, deadline: Deadline) -> Iterator[None]:
        """Cut the link shortly after the deadline, and name every failure UnreachableError.

        Some of paramiko's waits have no time-out of their own; cutting the socket ends them all.
        """
        timer = threading.Timer(deadline.remaining_s + _GRACE_S, self.sever)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise unreachable(self.label, error, deadline) from None
        finally:
            timer.cancel()

    def sever(self) -> None:
        with contextlib.suppress(OSError):
            self._base.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for hop in reversed(self._hops):
            hop.close()
        self._base.close()


def open_link(route: list[SshAddress], name: str, deadline: Deadline) -> SshLink:
    """Connect and log in along ``route``, the device ``name`` last.

    Raises UnreachableError, HostKeyError or AuthenticationError.
    """
    link = knock(route[0], deadline)
    try:
        with link.guarded(deadline):
            for address in route:
                link.label = address.label
                known = host_keys.known_keys(address)
                offered = link.handshake(address, known.accepted, deadline)
                host_keys.check(offered, known, address, name if address is route[-1] else "")
                link.log_in(address)
    except BaseException as error:
        link.close()
        if isinstance(error, AuthenticationError) and deadline.expired:
            raise unreachable(link.label, error, deadline) from None
        raise
    return link


def knock(address: SshAddress, deadline: Deadline) -> SshLink:
    """A TCP connection to the first hop. Raises UnreachableError with host, port and reason."""
    try:
        base = socket.create_connection((address.host, address.port), _seconds(deadline))
    except OSError as error:
        raise unreachable(address.label, error, deadline) from None
    base.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    base.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    base.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEP_ALIVE_S)
    base.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEP_ALIVE_S)
    base.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _LINK_TIMEOUT_S // _KEEP_ALIVE_S)
    base.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _LINK_TIMEOUT_S * 1000)
    return SshLink(base, address.label)


def unreachable(label: str, error: BaseException, deadline: Deadline) -> UnreachableError:
    """The error for a host that does not answer, or answers no more."""
    if deadline.expired:
        reason = "no answer before the deadline"
    elif isinstance(error, EOFError) or not str(error):
        reason = "the connection was closed"
    else:
        reason = getattr(error, "strerror", None) or str(error)
    return UnreachableError(
        f"cannot reach {label}: {reason}",
        hint="Check that the device is on and that `ssh` reaches it.",
    )


def _prefer(hop: paramiko.Transport, known: tuple[HostKey, ...]) -> None:
    """Ask for a host key of a kind that we know, so that a second key is no changed key."""
    options = hop.get_security_options()
    kinds = {key.kind for key in known}
    if "ssh-rsa" in kinds:
        kinds |= {"rsa-sha2-256", "rsa-sha2-512"}
    options.key_types = sorted(options.key_types, key=lambda kind: kind not in kinds)


def _seconds(deadline: Deadline) -> float:
    """Time-out in seconds; never 0, which would mean non-blocking."""
    return max(0.001, deadline.remaining_s)
