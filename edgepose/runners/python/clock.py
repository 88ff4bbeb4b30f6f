"""The monotonic clock in whole nanoseconds. Python 3.6-safe."""

import time

try:
    from time import perf_counter_ns
except ImportError:  # Python 3.6

    def perf_counter_ns() -> int:
        return int(time.perf_counter() * 1e9)


__all__ = ["perf_counter_ns"]
