"""Functions that generated modules carry along and that say to LLVM what Python cannot: as text, by name.

What they are for is in `symloss.rendering.primitives`, where plain Python stands in for them.
"""

from __future__ import annotations

from collections.abc import Mapping

from symloss.lowering.nodes import CHUNK, LENGTH

APART = 32
"""Numbers between two blocks: with entries of each at the same place of a page, they push each other out of a cache."""
LINE = 64
"""Bytes of a line of a cache: what does not begin with one, vectors cross them in."""

INSIDE = 'nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True'
"""How functions are compiled that only kernels call: what Python would call them by takes as long again."""


def _on_stack(name: str, taken: str, shape: str, summary: str) -> str:
    """Return the text of an intrinsic that makes an array which lasts as long as the call."""
    return f'''@intrinsic(prefer_literal=True)
def {name}(typing_context, {taken}):
    """{summary}"""
    shape = {shape}
    kind = types.Array(dtype.dtype, len(shape), "C")

    def build(context, builder, signature, arguments):
        number = context.get_data_type(kind.dtype)
        width, count = context.get_abi_sizeof(number), math.prod(shape)
        memory = cgutils.alloca_once(builder, number, count + {APART})
        memory.align = {LINE}
        array = context.make_array(kind)(context, builder)
        array.data, array.nitems, array.itemsize = memory, cgutils.intp_t(count), cgutils.intp_t(width)
        strides = [width * math.prod(shape[k + 1 :]) for k in range(len(shape))]
        array.shape, array.strides = (cgutils.pack_array(builder, [*map(cgutils.intp_t, x)]) for x in (shape, strides))
        return array._getvalue()

    return kind({taken}), build'''


NO_ORDER = """
            apart = module.add_metadata(())  # what accesses are in it depends on no other round of the loop
            apart.descr = lambda text: text.extend(("distinct !{ }", "\\n"))
            wishes.append(module.add_metadata([ir.MetaDataString(module, "llvm.loop.parallel_accesses"), apart]))
            for block in builder.function.blocks:
                start = block.name.partition(".")[0].lstrip("B")
                if start.isdigit() and first <= int(start):
                    for access in block.instructions:
                        if access.opname in ("load", "store"):
                            access.set_metadata("llvm.access.group", apart)"""


def _of_loop(name: str, wishes: Mapping[str, str], summary: str, promise: str = "") -> str:
    """Return the text of an intrinsic that says how LLVM is to make vectors of the loop above it."""
    taken = ", ".join(wishes.values())
    asked = ", ".join(f'("{wish}", {argument})' for wish, argument in wishes.items())
    return f'''@intrinsic(prefer_literal=True)
def {name}(typing_context, {taken}):
    """{summary}"""

    def build(context, builder, signature, arguments):
        ends = []
        for block in builder.function.blocks:  # Numba names them by where they start: a loop ends in a jump back
            start, jump = block.name.partition(".")[0].lstrip("B"), block.terminator
            if start.isdigit() and jump is not None and jump.opname == "br" and len(jump.operands) == 1:
                target = jump.operands[0].name.lstrip("B")
                if target.isdigit() and int(target) <= int(start):
                    ends.append((int(start), int(target), jump))
        if ends:
            module, ir, wishes = builder.module, cgutils.ir, []
            _, first, jump = max(ends, key=lambda end: end[0])
            for wish, number in ({asked}{"," if len(wishes) == 1 else ""}):
                said = [ir.MetaDataString(module, "llvm.loop." + wish), cgutils.int32_t(number.literal_value)]
                wishes.append(module.add_metadata(said)){promise}
            loop = ir.MDValue(module, wishes, name=str(len(module.metadata)))
            loop.operands = (loop, *loop.operands)  # a loop's own node refers to itself
            jump.set_metadata("llvm.loop", loop)
        return context.get_dummy_value()

    return types.none({taken}), build'''


INTRINSICS = {
    "_scratch": _on_stack(
        "_scratch", "dtype", f"({CHUNK},)", f"Return an array of {CHUNK} numbers: nothing is asked of the heap."
    ),
    "_strips": _on_stack(
        "_strips", "rows, dtype", f"(rows.literal_value, {LENGTH})", f"Return so many rows of {LENGTH} numbers."
    ),
    "_bits_of": '''@intrinsic
def _bits_of(typing_context, x):
    """Return the bits of a number as an integer."""

    def build(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))

    return (types.int32 if x == types.float32 else types.int64)(x), build''',
    "_of_bits": '''@intrinsic
def _of_bits(typing_context, bits):
    """Return the number that has these bits."""

    def build(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))

    return (types.float32 if bits == types.int32 else types.float64)(bits), build''',
    "_fma": '''@intrinsic
def _fma(typing_context, a, b, c):
    """Return a b + c, rounded once where the machine can."""

    def build(context, builder, signature, arguments):
        kind = arguments[0].type
        signature = type(builder.function.function_type)(kind, [kind] * 3)
        function = builder.module.declare_intrinsic("llvm.fmuladd", [kind], signature)
        return builder.call(function, arguments)

    return a(a, a, a), build''',
    "_wide": '''@intrinsic
def _wide(typing_context, array):
    """Return None for an array of float32, else a number: a condition on it is decided when a kernel is compiled."""

    def build(context, builder, signature, arguments):
        return context.get_dummy_value() if array.dtype == types.float32 else cgutils.intp_t(0)

    return (types.none if array.dtype == types.float32 else types.intp)(array), build''',
    "_exact_fma": '''@intrinsic
def _exact_fma(typing_context, a, b, c):
    """Return a b + c, rounded once on every machine."""

    def build(context, builder, signature, arguments):
        kind = arguments[0].type
        signature = type(builder.function.function_type)(kind, [kind] * 3)
        function = builder.module.declare_intrinsic("llvm.fma", [kind], signature)
        return builder.call(function, arguments)

    return a(a, a, a), build''',
    "_add_in_lanes": '''@intrinsic
def _add_in_lanes(typing_context, a, b):
    """Return a + b, in a sum whose order LLVM may change; everywhere else it is as it is written."""

    def build(context, builder, signature, arguments):
        return builder.fadd(*arguments, flags=("reassoc",))

    return a(a, b), build''',
    "_sum_of_128": '''def _sum_of(count):
    """Return how the sum of so many numbers of an array is built: halves on halves, in vectors, the same everywhere."""

    def build(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        kind = cgutils.ir.VectorType(context.get_value_type(signature.return_type), 16)
        parts = []
        for k in range(0, count, 16):
            place = builder.gep(array.data, [builder.add(arguments[1], arguments[1].type(k))])
            parts.append(builder.load(builder.bitcast(place, kind.as_pointer()), align=4))
        while len(parts) > 1:
            half = len(parts) // 2
            parts = [builder.fadd(a, b) for a, b in zip(parts[:half], parts[half:])]
        (lanes,) = parts
        for width in (8, 4, 2, 1):
            order = cgutils.ir.VectorType(cgutils.ir.IntType(32), width)
            halves = [builder.shuffle_vector(lanes, lanes, order([*range(k, k + width)])) for k in (0, width)]
            lanes = builder.fadd(*halves)
        return builder.extract_element(lanes, cgutils.ir.IntType(32)(0))

    return build


@intrinsic
def _sum_of_128(typing_context, block, start):
    """Return the sum of 128 numbers of a block."""
    return block.dtype(block, start), _sum_of(128)


@intrinsic
def _sum_of_16(typing_context, block, start):
    """Return the sum of 16 numbers of a block."""
    return block.dtype(block, start), _sum_of(16)''',
    "_from_zero_to": '''@intrinsic
def _from_zero_to(typing_context, x, most):
    """Tell whether a number is between 0 and another by its bits: those of -0, negative numbers and NaN are larger."""

    def build(context, builder, signature, arguments):
        kind = cgutils.ir.IntType(32 if x == types.float32 else 64)
        return builder.icmp_unsigned("<=", *(builder.bitcast(a, kind) for a in arguments))

    return types.boolean(x, most), build''',
    "_larger_by_bits": '''@intrinsic
def _larger_by_bits(typing_context, a, b):
    """Return the number with the larger bits: those of numbers from 0 to infinity are in the order of the numbers."""

    def build(context, builder, signature, arguments):
        kind = cgutils.ir.IntType(32 if a == types.float32 else 64)
        x, y = (builder.bitcast(number, kind) for number in arguments)
        return builder.bitcast(builder.select(builder.icmp_unsigned(">", x, y), x, y), arguments[0].type)

    return a(a, a), build''',
    "_choose": '''@intrinsic
def _choose(typing_context, condition, a, b):
    """Return a where the condition holds, else b: both are computed, so that no loop has a branch."""

    def build(context, builder, signature, arguments):
        return builder.select(*arguments)

    return a(condition, a, a), build''',
    "_larger": '''@intrinsic
def _larger(typing_context, a, b):
    """Return the larger of two numbers, NaN where either is."""

    def build(context, builder, signature, arguments):
        kind = arguments[0].type
        signature = type(builder.function.function_type)(kind, [kind] * 2)
        function = builder.module.declare_intrinsic("llvm.maximum", [kind], signature)
        return builder.call(function, arguments, fastmath=("nsz",))  # which of two zeros, nothing depends on

    return a(a, b), build''',
    "_larger_beside": '''@intrinsic
def _larger_beside(typing_context, a, b):
    """Return the larger of two numbers, NaN where either is: no choice, which would be stored under a mask, slowly."""

    def build(context, builder, signature, arguments):
        bits = cgutils.ir.IntType(32 if a == types.float32 else 64)
        larger = builder.select(builder.fcmp_ordered(">", *arguments), *arguments)
        unordered = builder.sext(builder.fcmp_unordered("uno", *arguments), bits)
        return builder.bitcast(builder.or_(builder.bitcast(larger, bits), unordered), larger.type)

    return a(a, a), build''',
    "_largest_of_128": '''@intrinsic
def _largest_of_128(typing_context, row, start):
    """Return the largest of 128 numbers of a row without gaps, NaN where one is NaN."""

    def build(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        number = context.get_value_type(signature.return_type)

        def larger(a, b):
            name = f"llvm.maximum.v{a.type.count}{number.intrinsic_name}"
            signature = cgutils.ir.FunctionType(a.type, [a.type] * 2)
            function = cgutils.get_or_insert_function(builder.module, signature, name)
            return builder.call(function, (a, b), fastmath=("nsz",))

        kind = cgutils.ir.VectorType(number, 16)
        parts = []
        for k in range(0, 128, 16):
            place = builder.gep(array.data, [builder.add(arguments[1], arguments[1].type(k))])
            parts.append(builder.load(builder.bitcast(place, kind.as_pointer()), align=4))
        while len(parts) > 1:
            half = len(parts) // 2
            parts = [larger(a, b) for a, b in zip(parts[:half], parts[half:])]
        (lanes,) = parts
        for width in (8, 4, 2, 1):
            order = cgutils.ir.VectorType(cgutils.ir.IntType(32), width)
            halves = [builder.shuffle_vector(lanes, lanes, order([*range(k, k + width)])) for k in (0, width)]
            lanes = larger(*halves)
        return builder.extract_element(lanes, cgutils.ir.IntType(32)(0))

    return row.dtype(row, start), build''',
    "_turn_4": '''@intrinsic
def _turn_4(typing_context, source, row, column, target, place, other):
    """Write 4 x 4 entries of a matrix, turned, to another, in vectors."""

    def build(context, builder, signature, arguments):
        kinds, ir = (signature.args[0], signature.args[3]), cgutils.ir
        arrays = [context.make_array(kind)(context, builder, a) for kind, a in zip(kinds, arguments[::3])]
        numbers = [context.get_data_type(kind.dtype) for kind in kinds]
        vectors = [ir.VectorType(number, 4) for number in numbers]

        def places(k, row, column):
            width = cgutils.unpack_tuple(builder, arrays[k].shape)[1]
            entry = builder.add(builder.mul(row, width), column)
            for line in range(4):
                place = builder.gep(arrays[k].data, [builder.add(entry, builder.mul(width, width.type(line)))])
                yield builder.bitcast(place, vectors[k].as_pointer())

        def mixed(a, b, *order):
            return builder.shuffle_vector(a, b, ir.VectorType(ir.IntType(32), 4)(order))

        lines = [builder.load(place, align=4) for place in places(0, arguments[1], arguments[2])]
        if numbers[0] != numbers[1]:
            convert = builder.fpext if kinds[1].dtype == types.float64 else builder.fptrunc
            lines = [convert(line, vectors[1]) for line in lines]
        pairs = [[mixed(lines[k], lines[k + 2], *order) for k in (0, 1)] for order in ((0, 4, 1, 5), (2, 6, 3, 7))]
        turned = [mixed(*pair, *order) for pair in pairs for order in ((0, 4, 1, 5), (2, 6, 3, 7))]
        for line, place in zip(turned, places(1, arguments[4], arguments[5])):
            builder.store(line, place, align=4)
        return context.get_dummy_value()

    return types.none(source, row, column, target, place, other), build''',
    "_fetch": '''@intrinsic
def _fetch(typing_context, array, row, place):
    """Have the cache fetch what is around an entry of a matrix, or behind its end, which does no harm."""

    def build(context, builder, signature, arguments):
        matrix = context.make_array(signature.args[0])(context, builder, arguments[0])
        offset = cgutils.intp_t(0)
        for k, step in zip(arguments[1:], cgutils.unpack_tuple(builder, matrix.strides)):
            offset = builder.add(offset, builder.mul(k, step))
        byte = cgutils.ir.IntType(8).as_pointer()
        kind = cgutils.ir.FunctionType(cgutils.ir.VoidType(), [byte, *[cgutils.int32_t] * 3])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        entry = builder.gep(builder.bitcast(matrix.data, byte), [offset])
        builder.call(function, [entry, *map(cgutils.int32_t, (0, 2, 1))])  # to read, not into the nearest, data
        return context.get_dummy_value()

    return types.none(array, row, place), build''',
    "_interleave": _of_loop(
        "_interleave",
        {"interleave.count": "count"},
        "Have the loop above run on so many vectors in turn: each operation waits for the one before.",
    ),
    "_lanes": _of_loop(
        "_lanes",
        {"vectorize.width": "width", "interleave.count": "count"},
        "Have the loop above run on so many vectors of so many numbers: what it adds up is added in one order.",
        NO_ORDER,
    ),
}
"""What LLVM is asked for by name."""
