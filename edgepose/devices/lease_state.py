"""What is written about a lease on the device, and whether it still counts; pure functions."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from edgepose.errors import DeviceError

# An owner renews only before expiry, others break only this much later: a renewal that is under
# way at the moment of expiry and a break cannot meet.
_GRACE_S = 5
# Between mkdir and holder.json lie milliseconds; a folder without it for so long is a crash.
_CLAIMING_S = 30


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of ``holder.json``; ``expires_at_s`` is uptime of the boot ``boot_id``."""

    owner: str
    pid: int
    pid_space: str
    token: str
    purpose: str
    boot_id: str
    expires_at_s: int


@dataclass(frozen=True)
class State:
    """The newest hold on a device (number 0: there was none yet), and the device's clock."""

    boot_id: str
    uptime_s: int
    number: int
    age_s: int
    released: bool
    holder: Holder | None


def parse_state(text: str) -> State:
    """Read what the device printed. Raises DeviceError for anything unexpected."""
    lines = text.splitlines()
    try:
        boot_id, uptime, number, age, mark = (line.strip() for line in lines[:5])
        numbers = int(uptime), int(number), int(age)
    except ValueError:
        raise DeviceError(
            f"the device's answer about its lease makes no sense: {text[:200]!r}",
            hint="A lease needs /proc, date, stat and cut on the device.",
        ) from None
    try:
        holder = msgspec.json.decode("\n".join(lines[5:]), type=Holder)
    except msgspec.DecodeError:
        holder = None
    return State(boot_id, *numbers, mark == "released", holder)


def judge(state: State, is_dead: Callable[[Holder], bool]) -> str | None:
    """Why the device cannot be taken now, as text; None where it can.

    ``is_dead`` tells whether a holder is a process of this very host that has ended.
    """
    holder = state.holder
    if state.number == 0 or state.released:
        return None
    if holder is None:
        if 0 <= state.age_s <= _CLAIMING_S:
            return "somebody who is taking it right now"
        return None
    remaining_s = holder.expires_at_s + _GRACE_S - state.uptime_s
    if holder.boot_id != state.boot_id or remaining_s <= 0 or is_dead(holder):
        return None
    return (
        f"{holder.owner} (process {holder.pid}) for {holder.purpose!r}, "
        f"at most another {_span(remaining_s)}"
    )


def _span(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
