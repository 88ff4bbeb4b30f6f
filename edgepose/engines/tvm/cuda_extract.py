"""Read the launches and the memory plan out of lowered modules. Imports tvm (see cuda_lower).

What TVM's virtual machine would decide call by call is known beforehand: shapes are static.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from typing import Any

import numpy as np
import tvm
from tvm import relax, tirx

from edgepose.engines.tvm.cuda_plan import Launch
from edgepose.errors import BuildError

_ALIGNMENT = 256  # bytes; what cuMemAlloc itself gives
_DYNAMIC_SHARED = "tirx.use_dyn_shared_memory"
_REPORT = "Use a recipe for the CPU; please report the model."


@dataclass(frozen=True)
class _Call:
    """A launch whose arguments are still positions: of a parameter (from 0) or scratch (-1, …)."""

    kernel: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared_bytes: int
    arguments: tuple[int, ...]


@dataclass(frozen=True)
class HostFunction:
    """What one fused operator does: launches in order, with ``scratch`` (bytes) between them."""

    calls: tuple[_Call, ...]
    scratch: tuple[int, ...]


def read_host_function(function: tirx.PrimFunc) -> HostFunction:
    """The launches in ``function``, as it is after TVM split host from device."""
    position = {hash(parameter): index for index, parameter in enumerate(function.params)}
    scratch: list[int] = []
    calls: list[_Call] = []
    body = function.body
    for statement in body.seq if isinstance(body, tirx.SeqStmt) else [body]:
        if isinstance(statement, tirx.AllocBuffer):
            scratch.append(_bytes(statement.buffer.ty.shape, statement.buffer.ty.dtype))
            position[hash(statement.buffer)] = -len(scratch)
        elif isinstance(statement, tirx.DeclBuffer):  # another view of a parameter
            position[hash(statement.buffer)] = _position(position, statement.data)
        elif isinstance(statement, tirx.Evaluate):
            calls.append(_read_call(statement.value, position))
        else:
            raise _unforeseen(f"the statement {type(statement).__name__} between launches")
    return HostFunction(tuple(calls), tuple(scratch))


def _read_call(call: Any, position: Mapping[int, int]) -> _Call:
    if not isinstance(call, tvm.ir.Call) or call.op.name != "tirx.call_ffi_kernel":
        raise _unforeseen(f"the call {call}")
    names = [str(name) for name in call.attrs.launch_params]
    name, *arguments = call.args
    pointers = arguments[: len(arguments) - len(names)]
    extents = dict(zip(names, map(int, arguments[len(pointers) :]), strict=True))
    shared_bytes = extents.pop(_DYNAMIC_SHARED, 0)
    grid, block = _axes(extents, "blockIdx"), _axes(extents, "threadIdx")
    if extents:
        raise _unforeseen(f"the launch parameter {', '.join(extents)}")
    places = tuple(_position(position, pointer) for pointer in pointers)
    return _Call(str(name.value), grid, block, shared_bytes, places)


def _axes(extents: dict[str, int], kind: str) -> tuple[int, int, int]:
    x, y, z = (extents.pop(f"{kind}.{axis}", 1) for axis in "xyz")
    return x, y, z


def _position(position: Mapping[int, int], pointer: Any) -> int:
    """A pointer is ``buffer.data``: a call whose only argument is the buffer."""
    if isinstance(pointer, tvm.ir.Call) and len(pointer.args) == 1:
        found = position.get(hash(pointer.args[0]))
        if found is not None:
            return found
    raise _unforeseen(f"the kernel argument {pointer}")


class Arena:
    """One block of device memory, handed out once and for all; weights come first."""

    def __init__(self) -> None:
        self.weights = bytearray()
        self.size = 0
        self._known: dict[bytes, int] = {}

    def keep(self, array: Any) -> int:
        """Offset of a constant; equal ones are kept once."""
        data = np.ascontiguousarray(array).tobytes()
        digest = sha256(data).digest()
        if digest not in self._known:
            self._known[digest] = len(self.weights)
            self.weights += data + bytes(-len(data) % _ALIGNMENT)
            self.size = len(self.weights)
        return self._known[digest]

    def take(self, size: int) -> int:
        """Offset of ``size`` bytes. Constants can no longer be kept then."""
        offset = self.size
        self.size += size + -size % _ALIGNMENT
        return offset


class Planner:
    """Walks ``main`` once for its constants and once for everything else."""

    def __init__(self, functions: Mapping[str, HostFunction]) -> None:
        self.functions = functions
        self.arena = Arena()
        self.launches: list[Launch] = []
        self._offset: dict[int, int] = {}

    def plan(
        self, main: relax.Function, inputs: Sequence[str], outputs: Sequence[str]
    ) -> tuple[dict[str, int], dict[str, int]]:
        """Fill ``arena`` and ``launches``; offsets of the inputs and of the outputs, by name."""
        bindings = [binding for block in main.body.blocks for binding in block.bindings]
        for binding in bindings:
            for argument in getattr(binding.value, "args", ()):
                if isinstance(argument, tvm.ir.GenericConst) and hasattr(argument.value, "numpy"):
                    self._offset[hash(argument)] = self.arena.keep(argument.value.numpy())
        most = max(
            (sum(map(_aligned, each.scratch)) for each in self.functions.values()), default=0
        )
        scratch = self.arena.take(most)  # nothing in it outlives its function
        for parameter in main.params:
            self._offset[hash(parameter)] = self.arena.take(_tensor_bytes(parameter))
        tuples: dict[int, list[Any]] = {}
        for binding in bindings:
            if isinstance(binding.value, relax.Tuple):
                tuples[hash(binding.var)] = list(binding.value.fields)
            elif isinstance(binding.value, relax.TupleGetItem):
                field = tuples[hash(binding.value.tuple_value)][binding.value.index]
                self._offset[hash(binding.var)] = self._offset[hash(field)]
            else:
                self._bind(binding, scratch)
        result = main.body.body
        fields = tuples.get(hash(result), [result])
        return (
            dict(zip(inputs, self._offsets(main.params), strict=True)),
            dict(zip(outputs, self._offsets(fields), strict=True)),
        )

    def _offsets(self, variables: Sequence[Any]) -> list[int]:
        return [self._offset[hash(variable)] for variable in variables]

    def _bind(self, binding: Any, scratch: int) -> None:
        value = binding.value
        if not isinstance(value, tvm.ir.Call):  # another name for a tensor
            self._offset[hash(binding.var)] = self._offset[hash(value)]
            return
        if isinstance(value.op, tvm.ir.GlobalVar):
            self._launch(self.functions[value.op.name_hint], self._offsets(value.args), scratch)
            return
        match value.op.name:
            case "relax.memory.alloc_storage":
                offset = self.arena.take(int(value.args[0].values[0]))
            case "relax.memory.alloc_tensor":
                offset = self._offset[hash(value.args[0])] + int(value.args[1])
            case "relax.builtin.alloc_tensor":
                offset = self.arena.take(_tensor_bytes(binding.var))
            case "relax.reshape":
                offset = self._offset[hash(value.args[0])]
            case name:
                raise _unforeseen(f"the operation {name}")
        self._offset[hash(binding.var)] = offset

    def _launch(self, function: HostFunction, offsets: Sequence[int], scratch: int) -> None:
        places = dict(enumerate(offsets))
        for index, size in enumerate(function.scratch):
            places[-1 - index] = scratch
            scratch += _aligned(size)
        self.launches += [
            Launch(
                kernel=call.kernel,
                grid=call.grid,
                block=call.block,
                shared_bytes=call.shared_bytes,
                offsets=tuple(places[argument] for argument in call.arguments),
            )
            for call in function.calls
        ]


def _aligned(size: int) -> int:
    return size + -size % _ALIGNMENT


def _bytes(shape: Sequence[Any], dtype: Any) -> int:
    return prod(int(size) for size in shape) * np.dtype(str(dtype)).itemsize


def _tensor_bytes(variable: Any) -> int:
    return _bytes(variable.ty.shape.values, variable.ty.dtype)


def _unforeseen(what: str) -> BuildError:
    return BuildError(f"TVM's GPU code has {what}, which a launch plan cannot say", hint=_REPORT)
