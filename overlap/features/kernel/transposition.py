"""Between the two orders of the kernel: clip by clip outside, a register of clips inside.

A square of LANES x LANES values is read as LANES registers, transposed in the registers, and
written. Taking each value by itself is eight times slower.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from overlap.features.kernel.simd import LANES, VECTOR, address


@intrinsic
def gather_clips(typing, clips, sample, lanes, index):
    """Transpose LANES samples of LANES clips to LANES registers, from `index` on.

    Args:
        clips: (clips >= LANES, samples) float32.
        sample: The first of the samples.
        lanes: The registers.
        index: Register of the first sample.
    """

    def emit(context, builder, sig, args):
        clips, sample, lanes, index = args
        rows = _rows(context, builder, sig.args[0], clips, sample)
        packed = [builder.load(builder.bitcast(row, VECTOR.as_pointer()), align=4) for row in rows]
        first = address(context, builder, sig.args[2], lanes, index, VECTOR)
        for i, value in enumerate(_transposed(builder, packed)):
            where = builder.gep(first, [ir.IntType(64)(i)])
            builder.store(value, where, align=4 * LANES)
        return context.get_dummy_value()

    return types.void(clips, types.intp, lanes, types.intp), emit


@intrinsic
def scatter_clips(typing, lanes, index, out, position):
    """Transpose LANES registers, from `index` on, to LANES values of LANES clips.

    Args:
        lanes: The registers, float32 or float16 codes as uint16.
        index: Register of the first value.
        out: (clips >= LANES, values) of the same type.
        position: The first of the values.
    """

    def emit(context, builder, sig, args):
        lanes, index, out, position = args
        scalar = context.get_data_type(sig.args[0].dtype)
        kind, size = ir.VectorType(scalar, LANES), sig.args[0].dtype.bitwidth // 8
        first = address(context, builder, sig.args[0], lanes, index, kind)
        packed = [
            builder.load(builder.gep(first, [ir.IntType(64)(i)]), align=size * LANES)
            for i in range(LANES)
        ]
        rows = _rows(context, builder, sig.args[2], out, position)
        for row, value in zip(rows, _transposed(builder, packed), strict=True):
            builder.store(value, builder.bitcast(row, kind.as_pointer()), align=size)
        return context.get_dummy_value()

    return types.void(lanes, types.intp, out, types.intp), emit


def _rows(context, builder, array_type, array, column):
    """Pointers to one column of the first LANES rows of a C-contiguous array."""
    struct = context.make_array(array_type)(context, builder, array)
    width = builder.extract_value(struct.shape, 1)
    offsets = [builder.add(builder.mul(width, width.type(row)), column) for row in range(LANES)]
    return [builder.gep(struct.data, [offset]) for offset in offsets]


def _transposed(builder, rows):
    """LANES vectors of LANES elements, transposed.

    Blocks on either side of the diagonal are exchanged, of half the size, a quarter, … one.
    """
    rows, size = [*rows], LANES // 2
    while size:
        keep = [e if not e & size else e - size + LANES for e in range(LANES)]
        move = [e + size if not e & size else e + LANES for e in range(LANES)]
        for i in range(LANES):
            if not i & size:
                above, below = rows[i], rows[i + size]
                rows[i] = _shuffled(builder, above, below, keep)
                rows[i + size] = _shuffled(builder, above, below, move)
        size //= 2
    return rows


def _shuffled(builder, a, b, order):
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), LANES), order))
