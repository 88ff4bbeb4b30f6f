"""Big and little cores: what a device tells of the speeds of its cores. Pure."""

from collections.abc import Mapping


def big_cores(capacities: Mapping[int, int], top_khz: Mapping[int, int]) -> tuple[int, ...]:
    """All cores but those of the slowest kind, the fastest last; none where all are alike.

    Judged by the kernel's capacities, or else by the clocks that the cores can reach. Empty also
    where neither is told.
    """
    speeds = capacities or top_khz
    slowest = min(speeds.values(), default=0)
    return tuple(
        sorted((core for core in speeds if speeds[core] > slowest), key=lambda c: (speeds[c], c))
    )
