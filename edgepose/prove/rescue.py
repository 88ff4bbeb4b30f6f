"""Which layers must stay in single precision so that a half-precision artifact proves.

Pure: whoever calls it measures the layers (``LayerDrift``) and says whether a set of pins passes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

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
    harm = _harms(drifts)
    return tuple(sorted(pinnable, key=lambda name: -harm.get(name, 0.0)))


def likely_pins(drifts: Sequence[LayerDrift], ranking: Sequence[str]) -> int:
    """How many layers at the head of ``ranking`` must be pinned if errors add up as random ones do.

    1 where finite values are lost: a single pin may mend all layers that show it.
    """
    harm, left = _harms(drifts), 0.0
    if inf in harm.values():
        return 1
    for size in range(len(ranking), 1, -1):
        left += harm.get(ranking[size - 1], 0.0) ** 2
        if left > 1:  # the gate
            return size
    return 1


def _harms(drifts: Sequence[LayerDrift]) -> dict[str, float]:
    """The worst harm of each layer."""
    harm: dict[str, float] = {}
    for layer in drifts:
        harm[layer.name] = max(harm.get(layer.name, 0.0), layer.harm)
    return harm


def find_pins(
    ranking: Sequence[str],
    passes: Passes,
    limits: Limits = Limits(),
    first: int = 1,
    out_of_time: Callable[[], bool] = lambda: False,
) -> Search:
    """A smallest set of layers that passes, searched from the head of ``ranking``.

    The head starts with ``first`` layers and doubles until it passes; then parts are taken out,
    smaller and smaller ones, the least suspect first, until no single layer can go. Deterministic;
    no set is tried twice, and the empty one never: whoever asks knows that it fails.
    """
    trials = _Trials(passes, limits.trials, out_of_time)
    try:
        if not trials.passes(tuple(ranking)):
            reason = "it fails even with every layer in single precision"
            return Search((), trials.count, False, reason)
        head = _passing_head(ranking, trials, first, limits.layers)
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


def _passing_head(
    ranking: Sequence[str], trials: _Trials, first: int, largest: int
) -> tuple[str, ...]:
    size = min(first, largest)
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
        for start in reversed(range(0, len(pins), part)):
            rest = pins[:start] + pins[start + part :]
            if trials.passes(rest):
                pins, part = rest, min(part, len(rest) // 2) or 1
                break
        else:
            part //= 2
    return pins
