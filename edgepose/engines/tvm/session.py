"""A compiled net in this process: TVM's virtual machine on this host's CPU."""

import os
import platform
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgepose.engines.base import Artifact, Tensors
from edgepose.errors import RunError

_MACHINES = {62: "x86_64", 183: "aarch64"}  # ELF's numbers


class TvmSession:
    """``threads`` hold for the whole process: TVM has one pool of them."""

    def __init__(self, artifact: Artifact, threads: int) -> None:
        library = artifact.folder / artifact.files[0]
        _refuse_foreign(library)
        # Or else TVM would pin this thread to one core, and whatever it starts later with it.
        os.environ.setdefault("TVM_BIND_THREADS", "0")
        import tvm
        from tvm.relax import VirtualMachine

        try:
            module = tvm.runtime.load_module(str(library))
            self._machine = VirtualMachine(module, tvm.cpu())
        except Exception as error:  # noqa: BLE001 - TVM turns C++ errors into many types
            raise RunError(f"TVM refuses {library}: {_first_line(error)}") from None
        tvm.get_global_func("runtime.config_threadpool")(1, threads)
        self._tvm, self._inputs, self._outputs = tvm, artifact.inputs, artifact.outputs

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """One inference. Raises RunError where it fails, or names or shapes are not the model's."""
        wanted = {tensor.name: tensor.shape for tensor in self._inputs}
        given = {name: array.shape for name, array in inputs.items()}
        if given != wanted:
            raise RunError(f"the model's inputs are {wanted}, not {given}")
        arrays = [np.ascontiguousarray(inputs[name], np.float32) for name in wanted]
        try:
            found = self._machine["main"](*map(self._tvm.runtime.tensor, arrays))
        except Exception as error:  # noqa: BLE001 - TVM turns C++ errors into many types
            raise RunError(f"TVM failed: {_first_line(error)}") from None
        tensors = [found] if len(self._outputs) == 1 else found
        return {
            spec.name: tensor.numpy() for spec, tensor in zip(self._outputs, tensors, strict=True)
        }


def _refuse_foreign(library: Path) -> None:
    """Raises RunError for a file that is no shared library of this host's CPU."""
    header = library.read_bytes()[:20]
    if len(header) < 20 or header[:4] != b"\x7fELF":
        raise RunError(f"TVM refuses {library}: it is not a shared library")
    (number,) = struct.unpack_from("<H", header, 18)
    arch = _MACHINES.get(number, f"machine {number}")
    if arch != platform.machine():
        raise RunError(
            f"{library} is for {arch}, this host is {platform.machine()}",
            hint="Run it on its device: `edgepose bench … --device NAME`.",
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:300]
