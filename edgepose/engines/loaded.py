"""A Session around one of the Python runner's backends: host and device load the same way."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose.engines.base import Artifact, Tensors
from edgepose.errors import RunError
from edgepose.runners.python.failure import RunnerFailure


class BackendSession:
    """Runs a backend of ``edgepose.runners.python`` in this process."""

    def __init__(self, backend: Callable[..., Any], artifact: Artifact, threads: int) -> None:
        inputs, outputs = (
            [{"name": tensor.name, "shape": tensor.shape} for tensor in tensors]
            for tensors in (artifact.inputs, artifact.outputs)
        )
        files = {name: str(artifact.folder / name) for name in artifact.files}
        try:
            self._backend = backend(files, dict(artifact.options), inputs, outputs, threads)
        except RunnerFailure as failure:
            raise RunError(str(failure)) from None
        self._shapes = {tensor.name: tensor.shape for tensor in artifact.inputs}

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """One inference. Raises RunError where it fails, or names or shapes are not the model's."""
        given = {name: array.shape for name, array in inputs.items()}
        if given != self._shapes:
            raise RunError(f"the model's inputs are {self._shapes}, not {given}")
        self._backend.bind({name: np.asarray(a, np.float32) for name, a in inputs.items()})
        try:
            self._backend.infer()
            outputs: dict[str, NDArray[np.float32]] = self._backend.outputs()
        except RunnerFailure as failure:
            raise RunError(str(failure)) from None
        return outputs
