"""Where a process runs. Python 3.6-safe."""

import os
from typing import Iterable, List, Optional


def pin_to(cpus: Optional[Iterable[int]]) -> Optional[List[int]]:
    """Stay on those of the cores ``cpus`` that exist; returns them, or None where none does."""
    usable = sorted(set(cpus or ()) & os.sched_getaffinity(0))
    if not usable:
        return None
    try:
        os.sched_setaffinity(0, usable)
    except OSError:
        return None
    return usable
