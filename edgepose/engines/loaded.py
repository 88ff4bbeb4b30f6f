"""A Session around one of the Python runner's backends: host and device load the same way."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose.engines.base import Artifact, Tensors
from edgepose.errors import RunError
from edgepose.runners.python.failure import RunnerFailure


class BackendSession:
    """Runs a backend of ``edgepose.runners.python`` in this process."""

    def __init__(self, backend: Callable[..., Any], artifact: Artifact, threads: int) -> None:
        # A backend knows a free batch by a first dimension of None.
        free = (None,) if artifact.any_batch else ()
        inputs, outputs = (
            [{"name": each.name, "shape": (*free, *each.shape[len(free) :])} for each in tensors]
            for tensors in (artifact.inputs, artifact.outputs)
        )
        files = {name: str(artifact.folder / name) for name in artifact.files}
        try:
            self._backend = backend(files, dict(artifact.options), inputs, outputs, threads)
        except RunnerFailure as failure:
            raise RunError(str(failure)) from None
        self._shapes = {tensor["name"]: tensor["shape"] for tensor in inputs}

    @cached_property
    def computed_in(self) -> str | None:
        """The precision, as the runtime says; None where it does not."""
        return getattr(self._backend, "computed_in", None)

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """One inference. Raises RunError where it fails, or names or shapes are not the model's."""
        given = {name: array.shape for name, array in inputs.items()}
        if given.keys() != self._shapes.keys() or not all(
            _fits(shape, self._shapes[name]) for name, shape in given.items()
        ):
            raise RunError(f"the model's inputs are {self._shapes}, not {given}")
        self._backend.bind({name: np.asarray(a, np.float32) for name, a in inputs.items()})
        try:
            self._backend.infer()
            outputs: dict[str, NDArray[np.float32]] = self._backend.outputs()
        except RunnerFailure as failure:
            raise RunError(str(failure)) from None
        return outputs


def _fits(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(shape) == len(wanted) and all(
        want in (None, size) for size, want in zip(shape, wanted, strict=True)
    )
