"""The register type of the feature kernel: `LANES` float32 values that numba treats as one value.

Numba does not reliably compile a loop over lanes to vector instructions. This type maps to one
LLVM vector, so that `a + b` on two registers is one instruction. In the kernel, a lane is a clip.
Values never move between lanes, except in `overlap.features.kernel.transposition` at the start and
the end.

Memory is addressed in registers: `load(buffer, i)` reads the floats i*LANES to (i+1)*LANES of a
contiguous array whose address is a multiple of 64 bytes (`aligned`).
"""

import operator
import platform
from typing import Any, ClassVar

import numpy as np
from llvmlite import binding, ir
from numba import config as numba_config
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_builtin
from numba.core.typing import signature
from numba.core.typing.templates import ConcreteTemplate, infer_global
from numba.extending import intrinsic, models, register_model
from numpy.typing import NDArray

from overlap.system.aligned_memory import aligned_empty


def _cpu_features() -> str:
    """Return the instruction sets that numba compiles for, in LLVM notation: `+avx2,+fma,…`."""
    if numba_config.CPU_FEATURES is not None:
        return str(numba_config.CPU_FEATURES)
    if numba_config.CPU_NAME == "generic":
        return ""
    return str(binding.get_host_cpu_features().flatten())


def _has_feature(name: str) -> bool:
    return f"+{name}" in _cpu_features().split(",")


def _lanes() -> int:
    if _has_feature("avx512f"):
        return 16
    return 8 if _has_feature("avx") else 4


LANES = _lanes()
"""Clips processed at once: the float32 values in this processor's widest register."""

NATIVE_FLOAT16 = (
    platform.machine() in ("aarch64", "arm64") or _has_feature("f16c") or _has_feature("avx512f")
)
"""Whether the processor has instructions that round float32 to float16."""

VECTOR = ir.VectorType(ir.FloatType(), LANES)
_INTEGERS = ir.VectorType(ir.IntType(32), LANES)


def target() -> str:
    """Return the name of the instruction set for which the kernel is compiled."""
    if _has_feature("avx512f"):
        return "AVX-512"
    if _has_feature("avx2"):
        return "AVX2"
    return f"generic, {LANES} lanes"


def aligned(shape: int | tuple[int, ...], dtype: Any = np.float32) -> NDArray[Any]:  # noqa: ANN401
    """Allocate an array of zeros that starts at a cache line."""
    array = aligned_empty(shape, dtype)
    array.fill(0)
    return array


class RegisterType(types.Type):
    """The Numba type of a register."""

    def __init__(self) -> None:
        super().__init__(name=f"Register({LANES})")


register = RegisterType()


@register_model(RegisterType)
class _RegisterModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, VECTOR)


# --- arithmetic ----------------------------------------------------------------------------------


def _binary(operation, instruction):
    @infer_global(operation)
    class _Typing(ConcreteTemplate):
        cases: ClassVar = [signature(register, register, register)]

    @lower_builtin(operation, register, register)
    def _lower(context, builder, sig, args):
        return getattr(builder, instruction)(*args)


for _operation, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
):
    _binary(_operation, _instruction)


def _fused(builder, a, b, c):
    """Emit a*b + c: one instruction if the processor has a fused one, else two."""
    kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
    name = f"llvm.fmuladd.v{LANES}f32"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [a, b, c])


@intrinsic
def fma(typing, a, b, c):
    """Return a*b + c, rounded once if the processor supports it."""

    def emit(context, builder, sig, args):
        return _fused(builder, *args)

    return register(register, register, register), emit


@intrinsic
def fms(typing, a, b, c):
    """Return a*b - c, rounded once if the processor supports it."""

    def emit(context, builder, sig, args):
        return _fused(builder, args[0], args[1], builder.fneg(args[2]))

    return register(register, register, register), emit


@intrinsic
def maximum(typing, a, b):
    """Return the larger of two values, lane by lane."""

    def emit(context, builder, sig, args):
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return register(register, register), emit


@intrinsic
def splat(typing, value):
    """Return a register with one number in all lanes."""

    def emit(context, builder, sig, args):
        return _splat(builder, args[0])

    return register(types.float32), emit


def _splat(builder, scalar):
    vector = ir.VectorType(scalar.type, LANES)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.IntType(32)(0))
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), everywhere)


@intrinsic
def exponent(typing, a):
    """Return the binary exponent of a positive normal value, as a float: 10.0 -> 3.0."""

    def emit(context, builder, sig, args):
        bits = builder.bitcast(args[0], _INTEGERS)
        shifted = builder.lshr(bits, _integers(23))
        return builder.sitofp(builder.sub(shifted, _integers(127)), VECTOR)

    return register(register), emit


@intrinsic
def mantissa(typing, a):
    """Return the significand of a positive normal value, in [1, 2): 10.0 -> 1.25."""

    def emit(context, builder, sig, args):
        bits = builder.bitcast(args[0], _INTEGERS)
        fraction = builder.and_(bits, _integers(0x007FFFFF))
        return builder.bitcast(builder.or_(fraction, _integers(0x3F800000)), VECTOR)

    return register(register), emit


def _integers(value):
    return ir.Constant(_INTEGERS, [value] * LANES)


# --- memory --------------------------------------------------------------------------------------


def address(context, builder, array_type, array, index, kind):
    """Emit a pointer to register `index` of an array."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(builder.bitcast(data, kind.as_pointer()), [index])


@intrinsic
def load(typing, buffer, index):
    """Load register `index` of a float32 array."""

    def emit(context, builder, sig, args):
        place = address(context, builder, sig.args[0], args[0], args[1], VECTOR)
        return builder.load(place, align=4 * LANES)

    return register(buffer, types.intp), emit


@intrinsic
def load_splat(typing, table, index):
    """Load number `index` of a float32 array into all lanes."""

    def emit(context, builder, sig, args):
        scalar = address(context, builder, sig.args[0], args[0], args[1], ir.FloatType())
        return _splat(builder, builder.load(scalar))

    return register(table, types.intp), emit


@intrinsic
def store(typing, buffer, index, value):
    """Store register `index` of an array: float32 unchanged, uint16 as float16 codes."""
    half = buffer.dtype == types.uint16

    def emit(context, builder, sig, args):
        value = _to_float16(builder, args[2]) if half else args[2]
        place = address(context, builder, sig.args[0], args[0], args[1], value.type)
        builder.store(value, place, align=(2 if half else 4) * LANES)
        return context.get_dummy_value()

    return types.void(buffer, types.intp, register), emit


def _to_float16(builder, value):
    """Round float32 to float16, to nearest, ties to even; for finite values below 65504.

    Without a processor instruction, integer arithmetic does the rounding. For a normal number it
    adds just less than half a unit of the last retained bit, plus that bit, and truncates. A number
    too small for a normal float16 is rounded by adding 0.5, whose last bits have the weight of
    those of subnormal float16 numbers.
    """
    if NATIVE_FLOAT16:
        return builder.fptrunc(value, ir.VectorType(ir.HalfType(), LANES))
    bits = builder.bitcast(value, _INTEGERS)
    sign = builder.and_(bits, _integers(0x80000000))
    size = builder.xor(bits, sign)
    last = builder.and_(builder.lshr(size, _integers(13)), _integers(1))
    rebased = builder.sub(builder.add(size, _integers(0xFFF)), _integers(112 << 23))
    normal = builder.lshr(builder.add(rebased, last), _integers(13))
    half = ir.Constant(VECTOR, [0.5] * LANES)
    raised = builder.bitcast(builder.fadd(builder.bitcast(size, VECTOR), half), _INTEGERS)
    small = builder.sub(raised, builder.bitcast(half, _INTEGERS))
    is_small = builder.icmp_unsigned("<", size, _integers(113 << 23))
    code = builder.or_(builder.select(is_small, small, normal), builder.lshr(sign, _integers(16)))
    return builder.trunc(code, ir.VectorType(ir.IntType(16), LANES))
