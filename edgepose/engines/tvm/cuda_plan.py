"""A net on a GPU as data: one arena of memory, and the kernels that are launched on it in order.

Shapes are static, so nothing is left to decide at run time: no TVM is needed on the device.
"""

import msgspec

SCHEMA_VERSION = 1
# The artifact's files; the device's nvcc makes the kernels of the source.
LAUNCHES, WEIGHTS, SOURCE = "model.launches.json", "model.weights", "model.cu"
KERNELS = "model.cubin"


class _Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the tables of a launch plan."""


class Launch(_Data, frozen=True, kw_only=True):
    """One kernel; its arguments are the addresses at ``offsets`` (bytes) in the arena.

    ``grid`` and ``block`` are x, y, z; ``shared_bytes`` is the shared memory that the kernel does
    not declare itself.
    """

    kernel: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared_bytes: int
    offsets: tuple[int, ...]


class LaunchPlan(_Data, frozen=True, kw_only=True):
    """``inputs`` and ``outputs`` are offsets (bytes) in the arena, by tensor.

    The weights' file fills the arena's first ``weights_bytes``. ``arch`` is nvcc's (``sm_53``).
    """

    schema_version: int = SCHEMA_VERSION
    arch: str
    arena_bytes: int
    weights_bytes: int
    inputs: dict[str, int]
    outputs: dict[str, int]
    launches: tuple[Launch, ...]


class CudaTarget(_Data, frozen=True, kw_only=True):
    """A GPU in TVM's words; ``max_threads`` bounds the threads of a block in schedules."""

    arch: str
    max_threads: int

    def to_config(self) -> dict[str, str | int]:
        """The argument of ``tvm.target.Target``."""
        return {
            "kind": "cuda",
            "arch": self.arch,
            "max_num_threads": self.max_threads,
            "max_threads_per_block": self.max_threads,
            "max_shared_memory_per_block": 49152,
            "registers_per_block": 32768 if self.arch == "sm_53" else 65536,
            "thread_warp_size": 32,
        }
