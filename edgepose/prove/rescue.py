"""Which layers must stay in single precision so that a half-precision artifact proves.

Pure: whoever calls it measures the layers (``LayerDrift``) and says whether a set of pins passes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

Passes = Callable[[tuple[str, ...]], bool]


class LayerDrift(msgspec.Struct, frozen=True, kw_only=True):
    """What a layer's own error in half precision does; its inputs were the exact ones.

    ``harm`` is the largest part of a gate that this error alone uses up at the outputs, infinite
    where the layer makes finite values infinite or NaN.
    """

    name: str
    harm: float


class PinCost(msgspec.Struct, frozen=True, kw_only=True):
    """Median latencies on this host, threads 1."""

    without_ms: float
    pinned_ms: float


class Rescue(msgspec.Struct, frozen=True, kw_only=True):
    """How a failed proof was mended, or what was tried in vain (``pinned`` is empty then).

    ``failures`` are those of the proof without pins. ``minimal`` tells that each single pin is
    needed. ``cost`` is None where ``note`` says why.
    """

    failures: tuple[str, ...]
    pinned: tuple[str, ...]
    tried: int
    minimal: bool
    note: str
    cost: PinCost | None = None


@dataclass(frozen=True)
class Limits:
    """A search ends after ``trials``, and never pins more than ``layers``."""

    trials: int = 32
    layers: int = 16


@dataclass(frozen=True)
class Search:
    """``pinned`` passes, unless it is empty: then ``reason`` says why the search ended.

    ``minimal``: without any single one of ``pinned`` the proof fails.
    """

    pinned: tuple[str, ...]
    tried: int
    minimal: bool
    reason: str = ""


def suspects(drifts: Sequence[LayerDrift], pinnable: Sequence[str]) -> tuple[str, ...]:
    """``pinnable`` (in the order of execution), the most suspect first.

    First come the layers that lose finite values, as they are executed; then the others by the harm
    that they do.
    """
    harm = dict.fromkeys(pinnable, 0.0)
    for layer in drifts:
        if layer.name in harm:
            harm[layer.name] = max(harm[layer.name], layer.harm)
    return tuple(sorted(pinnable, key=lambda name: -harm[name]))


def find_pins(
    ranking: Sequence[str],
    passes: Passes,
    limits: Limits = Limits(),
    out_of_time: Callable[[], bool] = lambda: False,
) -> Search:
    """A smallest set of layers that passes, searched from the head of ``ranking``.

    The head doubles until it passes; then parts are taken out, smaller and smaller ones, until no
    single layer can go. Deterministic; no set is tried twice, and the empty one never: whoever asks
    knows that it fails.
    """
    trials = _Trials(passes, limits.trials, out_of_time)
    try:
        if not trials.passes(tuple(ranking)):
            reason = "it fails even with every layer in single precision"
            return Search((), trials.count, False, reason)
        head = _passing_head(ranking, trials, limits.layers)
    except _OutOfTrials as limit:
        return Search((), trials.count, False, str(limit))
    if not head:
        reason = f"the {limits.layers} most suspect layers do not suffice"
        return Search((), trials.count, False, reason)
    try:
        pinned = _shrunk(head, trials)
    except _OutOfTrials as limit:
        return Search(trials.smallest(head), trials.count, False, str(limit))
    return Search(pinned, trials.count, True)


class _OutOfTrials(Exception):
    pass


class _Trials:
    """``passes`` with a memory and a limit."""

    def __init__(self, passes: Passes, limit: int, out_of_time: Callable[[], bool]) -> None:
        self._passes, self._limit, self._out_of_time = passes, limit, out_of_time
        self._known: dict[tuple[str, ...], bool] = {(): False}

    @property
    def count(self) -> int:
        return len(self._known) - 1

    def passes(self, pins: tuple[str, ...]) -> bool:
        if pins not in self._known:
            if self.count >= self._limit:
                raise _OutOfTrials(f"the limit of {self._limit} trials was reached")
            if self._out_of_time():
                raise _OutOfTrials(f"the time was up after {self.count} trials")
            self._known[pins] = self._passes(pins)
        return self._known[pins]

    def smallest(self, among: tuple[str, ...]) -> tuple[str, ...]:
        """The smallest passing set so far of layers of ``among``."""
        passed = [pins for pins, well in self._known.items() if well and set(pins) <= set(among)]
        return min(passed, key=len)


def _passing_head(ranking: Sequence[str], trials: _Trials, largest: int) -> tuple[str, ...]:
    size = 1
    while size < 2 * largest:
        head = tuple(ranking[: min(size, largest)])
        if trials.passes(head):
            return head
        if len(head) == len(ranking):
            break
        size *= 2
    return ()


def _shrunk(pins: tuple[str, ...], trials: _Trials) -> tuple[str, ...]:
    """A part of ``pins`` of which no single layer can be taken out."""
    part = len(pins) // 2
    while part:
        for start in range(0, len(pins), part):
            rest = pins[:start] + pins[start + part :]
            if trials.passes(rest):
                pins, part = rest, min(part, len(rest) // 2) or 1
                break
        else:
            part //= 2
    return pins
