"""A board without CUDA, asked for its GPU's compiler."""

import pytest

from edgepose.devices.setup_cuda import setup_cuda
from edgepose.errors import RuntimeMissingError
from tests.emulation.board import Board
from tests.emulation.conftest import entry


def test_a_board_without_nvcc_is_told_where_it_comes_from(board: Board) -> None:
    with pytest.raises(RuntimeMissingError, match="'emu' has no nvcc") as caught:
        setup_cuda(entry(board, target="jetson-nano"))
    assert "JetPack" in caught.value.hint
    assert list((board.home / ".edgepose" / "cuda").iterdir()) == []
