"""One board for TVM's tracker: a session there becomes a program on the board, byte by byte.

TVM expects a server that listens, with Python and TVM around it. Ours lives on this host: it
starts the small measuring server on the board over the transport and relays between the client's
socket and that program's input and output. So nothing listens on the board, and what runs there
ends with its channel. A session gets a program of its own, started before the board is offered.
"""

import contextlib
import logging
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from edgepose.deadline import Deadline
from edgepose.devices.transport import Channel, Transport
from edgepose.errors import AuthenticationError, DeviceError, HostKeyError
from edgepose.tuning.relay import Relay
from edgepose.tuning.tracker_protocol import Registration

_OPEN_S = 30.0
_SWEEP_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 30.0
_FINE_S = 10.0  # a board that was up so long was not in trouble
_RECONNECT_S = 600.0
_log = logging.getLogger(__name__)

State = Literal["connecting", "ready", "measuring", "lost", "stopped"]


@dataclass(frozen=True)
class BoardStatus:
    """``failures`` counts what was the board's fault: sessions that it broke off, lost links.

    ``detail`` is the last thing that went wrong. ``state`` is ``connecting`` also again, after a
    failure; ``lost`` and ``stopped`` are final.
    """

    name: str
    state: State = "connecting"
    sessions: int = 0
    failures: int = 0
    detail: str = ""

    @property
    def gone(self) -> bool:
        """Whether it takes no session any more."""
        return self.state in ("lost", "stopped")


class Agent:
    """Serves one session after the other in a thread of its own, until ``stop``.

    ``command`` starts the measuring server; its last argument, a folder, is no other process's on
    the board, which is how one that outlived its link is found. A board that cannot be used for
    ``reconnect_s`` is given up as lost; a tracker that is gone ends the agent.
    """

    def __init__(
        self,
        name: str,
        transport: Transport,
        command: Sequence[str],
        tracker_port: int,
        key: str,
        reconnect_s: float = _RECONNECT_S,
    ) -> None:
        self._transport, self._command = transport, list(command)
        self._tracker_port, self._key = tracker_port, key
        self._reconnect_s = reconnect_s
        self._status = BoardStatus(name)
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._channel: Channel | None = None
        self._up_since_s = math.inf
        self._thread = threading.Thread(target=self._live, name=f"agent-{name}", daemon=True)
        self._thread.start()

    @property
    def status(self) -> BoardStatus:
        return self._status

    def wait_until_offered(self, deadline: Deadline) -> BoardStatus:
        """Until the tracker knows the board, or it is gone; returns the status then."""
        with self._changed:
            self._changed.wait_for(lambda: self._status.state != "connecting", deadline.remaining_s)
        return self._status

    def stop(self, reason: str = "") -> None:
        """End the session under way and the thread; nothing of it is left, here or there."""
        if reason:
            self._note(detail=reason)
        self._stopping.set()
        if (channel := self._channel) is not None:
            channel.close()
        self._thread.join()

    def _live(self) -> None:
        try:
            self._serve()
        except OSError as error:
            self._note(state="stopped", detail=f"the tracker is gone: {error}")
        except DeviceError as error:
            self._note(state="lost", detail=str(error))
        else:
            self._note(state="stopped")
        finally:
            self._sweep()

    def _serve(self) -> None:
        """Raises OSError without a tracker, DeviceError where the board stays unusable."""
        pause_s, until = _FIRST_PAUSE_S, Deadline.after(self._reconnect_s)
        while not self._stopping.is_set():
            self._up_since_s = math.inf
            sessions = self._status.sessions
            try:
                self._offer_session()
            except DeviceError as error:
                if self._stopping.is_set():
                    return
                self._failed(error)
                was_fine = time.monotonic() - self._up_since_s > _FINE_S
                if was_fine or self._status.sessions > sessions:
                    pause_s, until = _FIRST_PAUSE_S, Deadline.after(self._reconnect_s)
                if until.expired or isinstance(error, AuthenticationError | HostKeyError):
                    raise
                self._stopping.wait(min(pause_s, until.remaining_s))
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                self._sweep()
            else:
                pause_s, until = _FIRST_PAUSE_S, Deadline.after(self._reconnect_s)

    def _offer_session(self) -> None:
        """Start the program, offer the board, serve whoever comes.

        Raises DeviceError where the board was at fault, OSError where the tracker is gone.
        """
        channel = self._transport.open(self._command, Deadline.after(_OPEN_S))
        self._channel = channel
        with Relay(channel) as relay:
            if self._stopping.is_set():
                return
            with contextlib.closing(Registration(self._tracker_port, self._key)) as registration:
                self._up_since_s = time.monotonic()
                self._note(state="ready")
                client = registration.wait(relay.board_ended)
                if client is None:
                    relay.raise_why()
                    return
                with contextlib.closing(client):
                    self._note(state="measuring", sessions=self._status.sessions + 1)
                    relay.run(client)

    def _failed(self, error: DeviceError) -> None:
        _log.info("%s: %s", self._status.name, error)
        failures = self._status.failures + 1
        self._note(state="connecting", failures=failures, detail=str(error))

    def _sweep(self) -> None:
        """Kill what a lost link left running over there, as far as it can be reached."""
        with contextlib.suppress(DeviceError):
            pattern = f"{self._command[-1]}$"
            self._transport.run(["pkill", "-9", "-f", "--", pattern], Deadline.after(_SWEEP_S))

    def _note(self, **changes: Any) -> None:
        with self._changed:
            self._status = replace(self._status, **changes)
            self._changed.notify_all()
