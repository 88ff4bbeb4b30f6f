"""Blocks of cells: what is known of each holds for all its cells."""

import cv2
import numpy as np
import pytest

from edgepose.pose.decode.blocks import (
    SIDE,
    Fold,
    first_cells,
    in_whole_blocks,
    over_blocks,
    steps_within,
)


@pytest.mark.parametrize(("fold", "plain"), [(cv2.min, np.min), (cv2.max, np.max)])
@pytest.mark.parametrize("tags", [1, 2, 3])
@pytest.mark.parametrize("shape", [(8, 8), (16, 40), (50, 33)])
def test_the_ends_of_a_block_are_those_of_its_cells(
    fold: Fold, plain: Fold, tags: int, shape: tuple[int, int]
) -> None:
    cells = np.random.default_rng(0).normal(size=(1, *shape, tags)).astype(np.float32)
    (whole,) = in_whole_blocks(cells)
    assert whole.shape[0] % SIDE == whole.shape[1] % SIDE == 0
    np.testing.assert_array_equal(whole[: shape[0], : shape[1]], cells[0])
    flat, width = whole.reshape(-1, tags), whole.shape[1]
    blocks = np.arange(whole.shape[0] * width // SIDE**2)
    found = over_blocks(whole, fold)
    for block, begin in zip(blocks, first_cells(blocks, width), strict=True):
        inside = flat[begin + steps_within(width).ravel()]
        np.testing.assert_array_equal(found[:, block], plain(inside, axis=0))


def test_all_blocks_together_have_every_cell_once() -> None:
    blocks = np.arange(15)
    cells = first_cells(blocks, 40)[:, None] + steps_within(40).ravel()
    np.testing.assert_array_equal(np.sort(cells.ravel()), np.arange(24 * 40))
    assert (np.diff(cells[:, :SIDE], axis=1) == 1).all()


def test_a_block_at_the_edge_adds_no_values() -> None:
    cells = np.random.default_rng(0).random((2, 13, 21), np.float32)
    whole = in_whole_blocks(cells)
    assert set(np.unique(whole)) == set(np.unique(cells))
    assert in_whole_blocks(whole) is whole
