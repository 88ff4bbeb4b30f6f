"""Golden data: fixed inputs with the FP32 outputs of the original model for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgepose.runners.plan import GoldenPaths

Arrays = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Golden:
    """One case: float32 arrays by tensor name."""

    name: str
    inputs: Arrays
    outputs: Arrays


def save_golden(cases: Sequence[Golden], root: Path, folder: str) -> tuple[GoldenPaths, ...]:
    """Write every tensor to ``root/folder/<case>.<tensor>.npy``; paths are relative to ``root``."""
    (root / folder).mkdir(parents=True, exist_ok=True)

    def write(case: Golden, arrays: Arrays) -> dict[str, str]:
        paths = {}
        for tensor, array in arrays.items():
            paths[tensor] = f"{folder}/{case.name}.{tensor.replace('/', '_')}.npy"
            np.save(root / paths[tensor], np.ascontiguousarray(array, dtype=np.float32))
        return paths

    return tuple(
        GoldenPaths(case.name, write(case, case.inputs), write(case, case.outputs))
        for case in cases
    )


def load_golden(entries: Sequence[GoldenPaths], root: Path) -> list[Golden]:
    """Read what ``save_golden`` wrote under ``root``."""

    def read(paths: Mapping[str, str]) -> dict[str, NDArray[np.float32]]:
        return {tensor: np.load(root / path) for tensor, path in paths.items()}

    return [Golden(entry.name, read(entry.inputs), read(entry.outputs)) for entry in entries]
