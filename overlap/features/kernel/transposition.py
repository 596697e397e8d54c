"""Transpose between the memory order of clips and the register order of the kernel.

Outside the kernel, each clip is contiguous; inside, each register holds one value of all clips. A
square of LANES x LANES values is loaded as LANES registers, transposed in registers, and stored.
Moving single values would be eight times slower.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from overlap.features.kernel.simd import LANES, VECTOR, address


@intrinsic
def gather_clips(typing, clips, sample, lanes, index):
    """Transpose LANES samples of LANES clips to LANES registers, starting at `index`.

    Args:
        clips: (clips >= LANES, samples) float32.
        sample: Index of the first sample.
        lanes: The registers.
        index: Register of the first sample.
    """

    def emit(context, builder, sig, args):
        clips, sample, lanes, index = args
        rows = _rows(context, builder, sig.args[0], clips, sample)
        packed = [builder.load(builder.bitcast(row, VECTOR.as_pointer()), align=4) for row in rows]
        first = address(context, builder, sig.args[2], lanes, index, VECTOR)
        for i, value in enumerate(_transpose(builder, packed)):
            where = builder.gep(first, [ir.IntType(64)(i)])
            builder.store(value, where, align=4 * LANES)
        return context.get_dummy_value()

    return types.void(clips, types.intp, lanes, types.intp), emit


@intrinsic
def scatter_clips(typing, lanes, index, out, position):
    """Transpose LANES registers, starting at `index`, to LANES values of LANES clips.

    Args:
        lanes: The registers, float32 or float16 codes as uint16.
        index: Register of the first value.
        out: (clips >= LANES, values) of the same dtype.
        position: Index of the first value.
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
        for row, value in zip(rows, _transpose(builder, packed), strict=True):
            builder.store(value, builder.bitcast(row, kind.as_pointer()), align=size)
        return context.get_dummy_value()

    return types.void(lanes, types.intp, out, types.intp), emit


def _rows(context, builder, array_type, array, column):
    """Emit pointers to one column of the first LANES rows of a C-contiguous array."""
    struct = context.make_array(array_type)(context, builder, array)
    width = builder.extract_value(struct.shape, 1)
    offsets = [builder.add(builder.mul(width, width.type(row)), column) for row in range(LANES)]
    return [builder.gep(struct.data, [offset]) for offset in offsets]


def _transpose(builder, rows):
    """Transpose LANES vectors of LANES elements.

    Off-diagonal blocks are exchanged: of half the size, then a quarter, and so on down to one.
    """
    rows, size = [*rows], LANES // 2
    while size:
        keep = [e if not e & size else e - size + LANES for e in range(LANES)]
        move = [e + size if not e & size else e + LANES for e in range(LANES)]
        for i in range(LANES):
            if not i & size:
                above, below = rows[i], rows[i + size]
                rows[i] = _shuffle(builder, above, below, keep)
                rows[i + size] = _shuffle(builder, above, below, move)
        size //= 2
    return rows


def _shuffle(builder, a, b, order):
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), LANES), order))
