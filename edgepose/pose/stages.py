"""How long each stage of the pipeline takes."""

import time
from typing import Self

STAGES = ("preprocess", "detector", "network", "decode", "track")


class Stages:
    """Adds up milliseconds by stage.

    ``detector`` and ``network`` are the nets alone, of detector and pose; ``preprocess`` and
    ``decode`` are those of both together; ``track`` is all that follows over time.
    """

    def __init__(self) -> None:
        self.ms = dict.fromkeys(STAGES, 0.0)

    def __call__(self, stage: str) -> Self:
        """Book what runs inside ``with`` on ``stage``; stages do not nest."""
        self._stage = stage
        return self

    def __enter__(self) -> None:
        self._begun_ns = time.perf_counter_ns()

    def __exit__(self, *failure: object) -> None:
        self.ms[self._stage] += (time.perf_counter_ns() - self._begun_ns) / 1e6
