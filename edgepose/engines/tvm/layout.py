"""Activations in blocks of channels (NCHWc) through a Relax module. Imports tvm.

In ``[n, c, h, w]`` a kernel can only vectorise over pixels, and feature maps are 12 or 6 of them
wide. Blocks of ``block`` channels, a vector register each, fit every width; onnxruntime and oneDNN
do the same. Weights are packed here, once, at compile time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import tvm
from tvm import relax
from tvm.ir import GenericConst

from edgepose.engines.tvm import blocked
from edgepose.engines.tvm.blocked import Pair, Window
from edgepose.engines.tvm.packing import (
    pack_activation,
    pack_dense,
    pack_depthwise,
    pack_transposed,
)

_FEW_CHANNELS = 4  # read as they are: an image would waste most of its block

_UNARY = frozenset(
    f"relax.{name}"
    for name in (
        *("abs", "ceil", "clip", "erf", "exp", "floor", "log", "negative", "round", "rsqrt"),
        *("sqrt", "square", "tanh", "nn.gelu", "nn.gelu_tanh", "nn.leakyrelu", "nn.relu"),
        *("nn.relu6", "nn.softplus"),
    )
)
_BINARY = frozenset(
    f"relax.{name}"
    for name in ("add", "divide", "maximum", "minimum", "multiply", "power", "subtract")
)
_POOLS = {
    "relax.nn.max_pool2d": relax.op.nn.max_pool2d,
    "relax.nn.avg_pool2d": relax.op.nn.avg_pool2d,
}
_REDUCTIONS = frozenset(f"relax.{name}" for name in ("max", "mean", "min", "sum"))


def to_blocked(module: tvm.IRModule, block: int) -> tvm.IRModule:
    """``main`` of ``module`` with its convolutions, and what lies between them, in blocks.

    Operators that have no blocked form stay as they are, between an unpack and a pack. A module
    with other functions or with control flow is returned as it is.
    """
    main = module["main"]
    if len(module.functions) != 1 or not isinstance(main.body, relax.SeqExpr):
        return module
    if len(main.body.blocks) != 1:
        return module
    return _Conversion(block).run(main)


@dataclass
class _Value:
    """A variable of the old function in the new one: in either form, or in both."""

    plain: Any = None
    blocked: Any = None


class _Conversion:
    """One walk over the bindings. Forms are converted when first asked for, and once."""

    def __init__(self, block: int) -> None:
        self.block = block
        self.builder = relax.BlockBuilder()
        self.values: dict[Any, _Value] = {}

    def run(self, main: Any) -> tvm.IRModule:
        with self.builder.function("main", params=list(main.params), attrs=dict(main.attrs or {})):
            with self.builder.dataflow():
                self.values = {param: _Value(plain=param) for param in main.params}
                for binding in main.body.blocks[0].bindings:
                    self.values[binding.var] = self._bind(binding.value)
                result = self.builder.emit_output(self._plain(main.body.body))
            self.builder.emit_func_output(result)
        return self.builder.get()

    def _bind(self, expr: Any) -> _Value:
        if isinstance(expr, relax.Var):
            return self.values[expr]
        if isinstance(expr, relax.Call):
            rule = _RULES.get(expr.op.name)
            found = rule(self, expr) if rule and _is_image(expr) else None
            if found is not None:
                return _Value(blocked=self.builder.emit(found))
            if expr.op.name == "relax.sigmoid":
                call = self._te(blocked.sigmoid, [self._plain(expr.args[0])])
                return _Value(plain=self.builder.emit(call))
        return _Value(plain=self.builder.emit(self._plain(expr)))

    def _plain(self, expr: Any) -> Any:
        """``expr`` with every variable in its plain form."""
        if isinstance(expr, relax.Var):
            value = self.values[expr]
            if value.plain is None:
                call = self._te(blocked.unpack, [value.blocked], _shape(expr)[1])
                value.plain = self.builder.emit(call)
            return value.plain
        if isinstance(expr, relax.Tuple):
            return relax.Tuple([self._plain(field) for field in expr.fields])
        if isinstance(expr, relax.TupleGetItem):
            return relax.TupleGetItem(self._plain(expr.tuple_value), expr.index)
        if isinstance(expr, relax.Call):
            args = [self._plain(arg) for arg in expr.args]
            return relax.Call(expr.op, args, expr.attrs, expr.ty_args)
        return expr

    def _blocked(self, expr: Any) -> Any:
        if isinstance(expr, GenericConst):
            return relax.const(pack_activation(expr.value.numpy(), self.block))
        value = self.values[expr]
        if value.blocked is None:
            value.blocked = self.builder.emit(self._te(blocked.pack, [value.plain], self.block))
        return value.blocked

    def _is_blocked(self, expr: Any) -> bool:
        return isinstance(expr, relax.Var) and self.values[expr].blocked is not None

    def _te(self, compute: Callable[..., Any], tensors: Sequence[Any], *settings: Any) -> Any:
        """The call of a kernel of its own: ``compute(*tensors, *settings)``."""
        return self.builder.call_te(
            lambda *inputs: compute(*inputs, *settings),
            *tensors,
            primfunc_name_hint=compute.__name__,
        )

    # The rules: each returns the blocked result, or None where the plain operator must do.

    def _conv(self, call: Any) -> Any:
        data, weight = call.args
        attrs, channels = call.attrs, _shape(data)[1]
        if not isinstance(weight, GenericConst) or attrs.data_layout != "NCHW":
            return None
        kernel = weight.value.numpy()
        window = Window(
            out=_pair(_shape(call)[2:]),
            strides=_pair(attrs.strides),
            pads=_pair(attrs.padding[:2]),
            dilation=_pair(attrs.dilation),
        )
        if attrs.groups == 1:
            as_is = channels <= _FEW_CHANNELS and not self._is_blocked(data)
            source = self._plain(data) if as_is else self._blocked(data)
            packed = relax.const(pack_dense(kernel, self.block))
            return self._te(blocked.conv2d, [source, packed], channels, window)
        if attrs.groups == channels == kernel.shape[0]:
            packed = relax.const(pack_depthwise(kernel, self.block))
            return self._te(blocked.depthwise_conv2d, [self._blocked(data), packed], window)
        return None

    def _conv_transposed(self, call: Any) -> Any:
        data, weight = call.args
        attrs = call.attrs
        if not isinstance(weight, GenericConst) or attrs.data_layout != "NCHW":
            return None
        if attrs.groups != 1 or _pair(attrs.dilation) != (1, 1):
            return None
        strides = _pair(attrs.strides)
        packed = relax.const(pack_transposed(weight.value.numpy(), self.block, strides))
        window = Window(_pair(_shape(call)[2:]), strides, _pair(attrs.padding[:2]))
        tensors = [self._blocked(data), packed]
        return self._te(blocked.conv2d_transpose, tensors, _shape(data)[1], window)

    def _unary(self, call: Any) -> Any:
        if not self._is_blocked(call.args[0]):
            return None
        return relax.Call(call.op, [self._blocked(call.args[0]), *call.args[1:]], call.attrs)

    def _sigmoid(self, call: Any) -> Any:
        if not self._is_blocked(call.args[0]):
            return None
        return self._te(blocked.sigmoid, [self._blocked(call.args[0])])

    def _binary(self, call: Any) -> Any:
        if not any(map(self._is_blocked, call.args)):
            return None
        images = [arg for arg in call.args if not _is_number(arg)]
        # A single channel is spread over all of them, which blocks cannot express.
        if not all(map(_is_image, images)) or len({_shape(image)[1] for image in images}) != 1:
            return None
        args = [
            relax.const(arg.value.numpy().reshape(())) if _is_number(arg) else self._blocked(arg)
            for arg in call.args
        ]
        return relax.Call(call.op, args)

    def _reduction(self, call: Any) -> Any:
        attrs = call.attrs
        over_image = attrs.axis is not None and sorted(int(axis) for axis in attrs.axis) == [2, 3]
        if not (over_image and attrs.keepdims and self._is_blocked(call.args[0])):
            return None
        return relax.Call(call.op, [self._blocked(call.args[0])], attrs)

    def _pool(self, call: Any) -> Any:
        attrs = call.attrs
        if not self._is_blocked(call.args[0]) or attrs.layout != "NCHW":
            return None
        return _POOLS[call.op.name](
            self._blocked(call.args[0]),
            *(attrs.pool_size, attrs.strides, attrs.padding, attrs.dilation),
            *(attrs.ceil_mode, attrs.count_include_pad),
            layout=f"NCHW{self.block}c",
            out_layout=f"NCHW{self.block}c",
        )

    def _concat(self, call: Any) -> Any:
        parts = list(call.args[0].fields) if isinstance(call.args[0], relax.Tuple) else []
        if not parts or call.attrs.axis != 1 or not all(map(self._is_blocked, parts)):
            return None
        channels = [_shape(part)[1] for part in parts]
        sources = [self._blocked(part) for part in parts]
        if all(count % self.block == 0 for count in channels[:-1]):
            return relax.op.concat(sources, axis=1)
        return self._te(blocked.concatenation(channels), sources)

    def _resize(self, call: Any) -> Any:
        before, after = _shape(call.args[0])[2:], _shape(call)[2:]
        factors = _pair(big // small for big, small in zip(after, before, strict=True))
        whole = _pair(n * factor for n, factor in zip(before, factors, strict=True)) == after
        if not (whole and self._is_blocked(call.args[0]) and _repeats(call.attrs, factors)):
            return None
        return self._te(blocked.repeat, [self._blocked(call.args[0])], factors)


_RULES: dict[str, Callable[[_Conversion, Any], Any]] = {
    **dict.fromkeys(_UNARY, _Conversion._unary),
    **dict.fromkeys(_BINARY, _Conversion._binary),
    **dict.fromkeys(_POOLS, _Conversion._pool),
    **dict.fromkeys(_REDUCTIONS, _Conversion._reduction),
    "relax.nn.conv2d": _Conversion._conv,
    "relax.nn.conv2d_transpose": _Conversion._conv_transposed,
    "relax.sigmoid": _Conversion._sigmoid,
    "relax.concat": _Conversion._concat,
    "relax.image.resize2d": _Conversion._resize,
}


def _repeats(attrs: Any, factors: Pair) -> bool:
    """Whether a resize by whole factors is nothing but repeated pixels."""
    if attrs.method != "nearest_neighbor" or attrs.layout != "NCHW":
        return False
    if attrs.coordinate_transformation_mode == "asymmetric":
        # Rounding down never reaches the next pixel; rounding 1/2 down does not either.
        halves = attrs.rounding_method == "round_prefer_floor" and max(factors) <= 2
        return attrs.rounding_method == "floor" or halves
    rounded = attrs.rounding_method in ("round", "round_prefer_floor", "round_prefer_ceil")
    return attrs.coordinate_transformation_mode == "half_pixel" and rounded


def _is_image(expr: Any) -> bool:
    """Whether ``expr`` is one feature map ``[1, c, h, w]`` of single precision."""
    shape = _shape(expr)
    return len(shape) == 4 and shape[0] == 1 and str(expr.ty.dtype) == "float32"


def _is_number(expr: Any) -> bool:
    return isinstance(expr, GenericConst) and prod(_shape(expr)) == 1


def _shape(expr: Any) -> tuple[int, ...]:
    """Static shape of a tensor; empty for a scalar and for anything else."""
    shape = getattr(expr.ty, "shape", None)
    try:
        return tuple(int(extent) for extent in shape) if shape is not None else ()
    except TypeError:  # a symbolic extent
        return ()


def _pair(values: Any) -> Pair:
    first, second = (int(value) for value in values)
    return first, second
