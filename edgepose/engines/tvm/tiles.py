"""Which outputs of a kernel are summed up in registers at a time: arithmetic, no tvm."""

from dataclasses import dataclass
from itertools import product

from edgepose.engines.tvm.hardware import TvmTarget

_MOST = 8  # in each direction: beyond, LLVM loses sight of what is in which register
_FMA_LATENCY = 8  # sums in flight that keep two units of four cycles busy
_CACHE_BYTES = (160 * 1024, 20 * 1024)  # for padded input, in the second and in the first level


@dataclass(frozen=True)
class Machine:
    """What a tile must fit: floats in a vector, accumulators at a time, and threads."""

    lanes: int
    accumulators: int
    cores: int


@dataclass(frozen=True)
class Tile:
    """Outputs that are in registers together, in blocks of channels, rows and columns.

    ``border_rows`` output rows share one padded copy of their input, where there is one.
    """

    blocks: int
    rows: int
    columns: int
    border_rows: int

    @property
    def pixels(self) -> int:
        return self.rows * self.columns


@dataclass(frozen=True)
class Space:
    """The outputs of a kernel, and what they read.

    ``shares_data``: all blocks of a pixel read the same inputs, as in a dense convolution.
    ``border_row_bytes``: padded input for one more output row; 0 where nothing is padded.
    """

    blocks: int
    rows: int
    columns: int
    shares_data: bool
    border_row_bytes: float = 0.0


def machine_of(target: TvmTarget) -> Machine:
    """A quarter of the registers is left for weights and data."""
    many = target.arch == "aarch64" or target.vector_bits >= 512
    return Machine(lanes=target.block, accumulators=24 if many else 12, cores=target.cores)


def tiles(space: Space, machine: Machine) -> list[Tile]:
    """Every tile that fits the registers, the most promising first."""
    columns = divisors(space.columns, _MOST)
    if columns == [1]:  # a prime number, as the 17 key points of a head's matrices
        columns.append(space.columns)
    sizes = product(divisors(space.blocks, _MOST), divisors(space.rows, _MOST), columns)
    fitting = [
        Tile(blocks, rows, columns, border_rows)
        for blocks, rows, columns in sizes
        if blocks * rows * columns <= machine.accumulators
        for border_rows in _border_rows(space, rows, machine)
    ]
    return sorted(fitting, key=lambda tile: _worth(tile, space), reverse=True)


def divisors(number: int, most: int) -> list[int]:
    """Of ``number``, up to ``most``, in ascending order."""
    return [each for each in range(1, min(number, most) + 1) if number % each == 0]


def _worth(tile: Tile, space: Space) -> tuple[float, ...]:
    """Multiplications per load; of equals, the one that reads along a row."""
    sums = tile.blocks * tile.pixels
    loads = tile.blocks + (tile.pixels if space.shares_data else sums)
    return (min(sums, _FMA_LATENCY) * sums / loads, -tile.rows, -tile.blocks)


def _border_rows(space: Space, tile_rows: int, machine: Machine) -> list[int]:
    """As many as a cache holds and as leave each core some: at a seam, rows are copied twice."""
    if not space.border_row_bytes:
        return [tile_rows]
    most = max(1, space.rows // machine.cores)
    whole = [rows for rows in divisors(space.rows, most) if rows % tile_rows == 0]
    choice = [
        max((rows for rows in whole if rows * space.border_row_bytes <= size), default=tile_rows)
        for size in _CACHE_BYTES
    ]
    return list(dict.fromkeys(choice))
