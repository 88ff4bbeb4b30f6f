"""How long each stage of the pipeline takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

STAGES = ("preprocess", "detector", "network", "decode", "track")


class Stages:
    """Adds up milliseconds by stage.

    ``detector`` and ``network`` are the nets alone, of detector and pose; ``preprocess`` and
    ``decode`` are those of both together; ``track`` is all that follows over time.
    """

    def __init__(self) -> None:
        self.ms = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Book what runs inside ``with`` on ``stage``; stages do not nest."""
        begun = time.perf_counter_ns()
        try:
            yield
        finally:
            self.ms[stage] += (time.perf_counter_ns() - begun) / 1e6
