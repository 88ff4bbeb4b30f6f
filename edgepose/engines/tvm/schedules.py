"""How a kernel runs that no tuning record tells about. Imports tvm.

A blocked kernel needs no search for what matters most: a vector holds the channels of a block, a
tile of blocks and pixels stays in the registers for the whole sum, and bias and activation follow
before it is stored. The tile is chosen by counting loads per multiplication; tuning measures them.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from math import prod
from typing import Any

import tvm
from tvm.s_tir import Schedule
from tvm.s_tir.schedule import ScheduleError
from tvm.tirx import IterVar

from edgepose.engines.tvm.hardware import TvmTarget
from edgepose.engines.tvm.tiles import Machine, Space, Tile, divisors, machine_of, tiles

_DONE = "tirx.is_scheduled"  # as TVM marks what a database scheduled
_BORDERS = ("border", "pad_temp")  # ours, and that of TVM's pools
_OVER_CHANNELS = ("conv2d", "conv2d_transpose")
_BLOCKED_AXES = 5
_MOST_UNROLLED = 8
_log = logging.getLogger(__name__)


def schedule_rest(module: tvm.IRModule, target: TvmTarget) -> tvm.IRModule:
    """``module`` with every kernel scheduled that is not yet, where we know how to."""
    scheduled = tvm.IRModule(module.functions, attrs=module.attrs)
    for name, kernel in module.functions.items():
        if isinstance(kernel, tvm.tirx.PrimFunc) and _DONE not in (kernel.attrs or {}):
            alone = tvm.IRModule({"main": kernel.with_attr("global_symbol", "main")})
            schedule = start_schedule(alone, machine_of(target))
            if schedule is not None:
                done = schedule.mod["main"].without_attr("global_symbol")
                scheduled.update_func(name, done.with_attr(_DONE, True))
    return scheduled


def start_schedule(kernel: tvm.IRModule, machine: Machine) -> Schedule | None:
    """``kernel`` scheduled by rule; None where it has two sums or results, or no vector in it."""
    return next(schedules(kernel, machine), None)


def schedules(kernel: tvm.IRModule, machine: Machine) -> Iterator[Schedule]:
    """All that we would schedule ``kernel`` like, the best guess first; maybe none."""
    for choice in count():
        try:
            schedule = _schedule(Schedule(kernel), machine, choice)
        except ScheduleError as error:
            # Unscheduled it is slow and right. A profile shows which kernel this is.
            _log.info("no rule for a kernel: %s", str(error).strip().split("\n")[-1])
            return
        if schedule is None:
            return
        yield schedule


def _schedule(schedule: Schedule, machine: Machine, choice: int) -> Schedule | None:
    """``schedule`` after its changes; None where there is no such ``choice``."""
    stages = _stages(schedule)
    if stages is None:
        return None
    if stages.sum is None:
        _inline(schedule, stages.before)
        _schedule_copy(schedule, stages.end, machine)
        return schedule if choice == 0 else None
    loops = _open(schedule, stages, machine)
    found = tiles(loops.space, machine) if loops else []
    if loops is None or choice >= len(found):
        return None
    return _schedule_sum(schedule, stages.sum, loops, found[choice], machine)


@dataclass(frozen=True)
class _Stages:
    """The blocks of a kernel: what comes ``before`` its one sum, and the ``after``, to its end."""

    before: Sequence[Any]
    sum: Any
    after: Sequence[Any]
    end: Any


@dataclass(frozen=True)
class _Loops:
    """Of the stage that stores the result, and the padded copy of the input, if there is one."""

    head: Sequence[Any]
    blocks: Any
    rows: Any
    columns: Any
    lane: Any
    border: Any
    space: Space


def _stages(schedule: Schedule) -> _Stages | None:
    blocks = list(schedule.get_child_blocks(schedule.get_sblock("root")))
    if sum(not schedule.get_consumers(block) for block in blocks) != 1:
        return None
    sums = [index for index, block in enumerate(blocks) if _reduced(schedule, block)]
    if len(sums) > 1:
        return None
    if not sums:
        return _Stages(blocks[:-1], None, (), blocks[-1])
    at = sums[0]
    return _Stages(blocks[:at], blocks[at], blocks[at + 1 :], blocks[-1])


def _open(schedule: Schedule, stages: _Stages, machine: Machine) -> _Loops | None:
    """Inline all but the sum, its padded input and the end, and name the end's loops."""
    border = stages.before[-1] if stages.before else None
    if border is not None and _name(schedule, border) not in _BORDERS:
        border = None
    _inline(schedule, stages.before if border is None else stages.before[:-1])
    _inline(schedule, stages.after[:-1])
    end, extents = stages.end, _spatial(schedule, stages.sum)
    if not stages.after or _extents(schedule, end) != extents:
        if stages.after:
            # It spreads each sum over many results: in its loops the sum would be done for each.
            _schedule_copy(schedule, end, machine)
        schedule.cache_write(stages.sum, 0, "local")
        (end,) = schedule.get_consumers(stages.sum)
    if len(extents) == _BLOCKED_AXES and extents[-1] == machine.lanes:
        head, (blocks, rows, columns, lane) = [], schedule.get_loops(end)[1:]
    elif 2 <= len(extents) < _BLOCKED_AXES and extents[-1] % machine.lanes == 0:
        # A matrix product: its columns are the lanes, its rows are like the pixels of a row.
        *head, columns, last = schedule.get_loops(end)
        blocks, lane = schedule.split(last, [None, machine.lanes])
        rows = schedule.add_unit_loop(blocks)
    else:
        return None
    space = Space(
        blocks=_extent(schedule, blocks),
        rows=_extent(schedule, rows),
        columns=_extent(schedule, columns),
        shares_data=_shares_data(schedule, stages.sum),
        border_row_bytes=4 * prod(_extents(schedule, border)[1:]) / _extent(schedule, rows)
        if border is not None
        else 0,
    )
    if border is not None and not space.shares_data:
        space = replace(space, border_row_bytes=space.border_row_bytes / space.blocks)
    return _Loops(head, blocks, rows, columns, lane, border, space)


def _schedule_sum(
    schedule: Schedule, anchor: Any, loops: _Loops, tile: Tile, machine: Machine
) -> Schedule:
    blocks, blocks_in = schedule.split(loops.blocks, [None, tile.blocks])
    far, rows, rows_in = schedule.split(
        loops.rows, [None, tile.border_rows // tile.rows, tile.rows]
    )
    columns, columns_in = schedule.split(loops.columns, [None, tile.columns])
    # Padded input that all blocks read is made once for all, what only one reads together with it.
    first, second = (far, blocks) if loops.space.shares_data else (blocks, far)
    tiled = (rows_in, blocks_in, columns_in)
    schedule.reorder(*loops.head, first, second, rows, columns, *tiled, loops.lane)
    border_at = far
    if machine.cores > 1:
        alone = loops.border is not None and loops.space.shares_data
        border_at = schedule.fuse(*loops.head, first, *([] if alone else [second]))
        schedule.parallel(border_at)
    _straighten(schedule, [*tiled, loops.lane])
    schedule.compute_at(anchor, columns, preserve_unit_loops=True)
    if loops.border is not None:
        schedule.compute_at(loops.border, border_at, preserve_unit_loops=True)
        last = schedule.get_loops(loops.border)[-1]
        if _extent(schedule, last) == machine.lanes:
            schedule.vectorize(last)
    _accumulate(schedule, anchor, machine)
    return schedule


def _accumulate(schedule: Schedule, anchor: Any, machine: Machine) -> None:
    """The sum over a tile, whose results stay in registers."""
    schedule.set_scope(anchor, 0, "local")
    over_channels = _shares_data(schedule, anchor)
    space, terms_count = len(_spatial(schedule, anchor)), _reduced(schedule, anchor)
    loops = schedule.get_loops(anchor)
    inner, terms = loops[-space - terms_count : -terms_count], list(loops[-terms_count:])
    if space == _BLOCKED_AXES:
        head, blocks, rows, columns, lane = inner
        tile = [head, rows, blocks, columns]
    else:
        *head, columns, last = inner
        blocks, lane = schedule.split(last, [None, machine.lanes])
        tile = [*head, blocks, columns]
    size, most = _extent(schedule, terms[-1]), 4 if over_channels else _MOST_UNROLLED
    if size > most:
        terms[-1:] = schedule.split(terms[-1], [None, max(divisors(size, most))])
    schedule.reorder(*terms, *tile, lane)
    schedule.unroll(terms[-1])
    _straighten(schedule, [*tile, lane])
    start = schedule.decompose_reduction(anchor, terms[0])
    _straighten(schedule, schedule.get_loops(start)[-len(tile) - 1 :])


def _straighten(schedule: Schedule, loops: Sequence[Any]) -> None:
    """The innermost ``loops`` as straight code on vectors: else results leave the registers."""
    for loop in loops[:-1]:
        schedule.unroll(loop)
    schedule.vectorize(loops[-1])


def _schedule_copy(schedule: Schedule, block: Any, machine: Machine) -> None:
    """Elementwise work and moves: rows first, so that a row of all channels stays in the cache."""
    loops = list(schedule.get_loops(block))
    if len(loops) >= 4:
        loops[1], loops[2] = loops[2], loops[1]
        schedule.reorder(*loops[:3])
    if loops and _extent(schedule, loops[-1]) % machine.lanes == 0:
        loops[-1:] = schedule.split(loops[-1], [None, machine.lanes])
        schedule.vectorize(loops[-1])
    if machine.cores > 1 and len(loops) >= 4:
        schedule.parallel(schedule.fuse(*loops[:2]))


def _inline(schedule: Schedule, blocks: Sequence[Any]) -> None:
    for block in blocks:
        schedule.compute_inline(block)


def _shares_data(schedule: Schedule, anchor: Any) -> bool:
    """Whether all channels of a result come from the same inputs."""
    axes = len(_spatial(schedule, anchor))
    return axes < _BLOCKED_AXES or _name(schedule, anchor) in _OVER_CHANNELS


def _reduced(schedule: Schedule, block: Any) -> int:
    """How many axes ``block`` sums over."""
    return sum(axis.iter_type == IterVar.CommReduce for axis in schedule.get(block).iter_vars)


def _spatial(schedule: Schedule, block: Any) -> list[int]:
    """Extents of the axes that ``block`` does not sum over."""
    axes = schedule.get(block).iter_vars
    return [int(axis.dom.extent) for axis in axes if axis.iter_type != IterVar.CommReduce]


def _extents(schedule: Schedule, block: Any) -> list[int]:
    return [_extent(schedule, loop) for loop in schedule.get_loops(block)]


def _extent(schedule: Schedule, loop: Any) -> int:
    return int(schedule.get(loop).extent)


def _name(schedule: Schedule, block: Any) -> str:
    return str(schedule.get(block).name_hint)
