"""The loop nodes: all that a printer has to know."""

from __future__ import annotations

from dataclasses import dataclass

import sympy

from symloss.language.axes import Index
from symloss.language.nodes import Access
from symloss.stability.careful import Recipe

START = sympy.Symbol("start", integer=True)
"""The first row of a block."""
ROW = sympy.Symbol("row", integer=True)
"""The place of a row in its block."""
PLACE = sympy.Symbol("place", integer=True)
"""The place of a number in its strip."""
LANES = 64
"""Rows of a block that lanes take side by side."""
CHUNK = 1024
"""Elements of a chunk: a few blocks of so many numbers stay in the nearest cache."""
LENGTH = 512
"""Numbers of a strip: a few strips stay in the nearest cache."""


@dataclass(frozen=True)
class Assign:
    """A local scalar, set once."""

    name: str
    expression: sympy.Expr
    comment: str = ""


@dataclass(frozen=True)
class Begin:
    """An accumulator before its loop; for a maximum, its index too, and whether it only scales a norm.

    Sums of squares that take float64 are marked as well, here and where they are added to.
    """

    name: str
    op: str
    scales: bool = False


@dataclass(frozen=True)
class Finish:
    """A compensated sum after its loop: what rounding took is added back."""

    name: str
    op: str = "compensated"


@dataclass(frozen=True)
class Update:
    """One step of a reduction: `sum`, `compensated`, `max`, `min`, `norm`, `argmax`, `argmin`.

    `lanes` is a sum in any order, `lanewise` one in an order that is the same in all kernels, `larger` is a maximum
    without a branch, `bits` one of bits read as integers; a maximum that `scales` a norm is taken where squares could
    leave the format, a sum that does takes float64.
    """

    name: str
    op: str
    expression: sympy.Expr
    where: sympy.Basic
    index: Index | None = None
    scales: bool = False


@dataclass(frozen=True)
class Store:
    """An entry of an array, written; `guard` names a flag without which nothing is, or says what is done instead.

    ``"add"`` adds to what is there, ``"larger"`` keeps the larger of the two, ``"place"`` moves on to a later place.
    """

    array: str
    slots: tuple[sympy.Expr, ...]
    expression: sympy.Expr
    guard: str = ""
    where: sympy.Basic = sympy.true


@dataclass(frozen=True)
class Buffer:
    """A scratch array of a dtype, or ``"like"`` the inputs; it holds one block of rows where `blocked`.

    ``"float64"`` is the arithmetic of the kernel, ``"wide"`` is float64 whatever that is. It is the array that it
    `shares`, where that has a name.
    """

    name: str
    axes: tuple[str, ...]
    blocked: bool = False
    dtype: str = "float64"
    shares: str = ""


@dataclass(frozen=True)
class Loop:
    """A loop over an axis, or over the rows of the block at hand; `down` from the last to the first."""

    index: Index
    body: tuple[Node, ...]
    block: bool = False
    down: bool = False


@dataclass(frozen=True)
class Strips:
    """A loop over an axis by strips; `sums` are what is added up of each, and how that goes into the sum.

    A ``"whole"`` sum is that of this loop alone, as is a ``"wide"`` one, which takes float64; to others their op says
    how numbers are added. The last of each is
    the place of an entry that is left out, or None. `asked` are arrays, and the rows of them
    of which the cache is to fetch the beginning meanwhile.
    """

    index: Index
    body: tuple[Node, ...]
    sums: tuple[tuple[str, str, sympy.Expr | None], ...]
    asked: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Lanes:
    """A loop over blocks of short rows."""

    index: Index
    body: tuple[Node, ...]


@dataclass(frozen=True)
class Side:
    """A loop over the rows of such a block, side by side."""

    index: Index
    body: tuple[Node, ...]


@dataclass(frozen=True)
class Beside:
    """What is kept for every row of a block: one array, since there are many of them, and a name for each part.

    Of the parts `sums`, what rounding took is kept too where they are compensated.
    """

    name: str
    parts: tuple[str, ...]
    sums: tuple[str, ...] = ()
    dtype: str = "float64"


@dataclass(frozen=True)
class Lane:
    """What happens to a number kept for every row.

    ``"larger"`` and ``"add"`` are steps of a reduction, before them comes ``"begin max"`` and the like, after them
    ``"finish"``; ``"place"`` moves it to a later place under a condition, ``"unless"`` sets it to 0 under one, else
    to 1 or to the expression. ``"count"`` is of the block: it adds 1 under a condition.
    """

    name: str
    op: str
    where: sympy.Basic
    expression: sympy.Expr


@dataclass(frozen=True)
class Turn:
    """The rows of a block, of which entries of one axis are written side by side; or, `back`, the other way round."""

    source: str
    target: str
    axis: str
    back: bool = False


@dataclass(frozen=True)
class Blocks:
    """A loop over blocks of rows; `inside` are the axes that each row has many of in a product."""

    index: Index
    inside: tuple[str, ...]
    body: tuple[Node, ...]


@dataclass(frozen=True)
class Chunks:
    """A loop over chunks of elements."""

    index: Index
    body: tuple[Node, ...]


@dataclass(frozen=True)
class Total:
    """What a chunk has of a sum: of a block of numbers, or without an axis a number; `op` says how it is added."""

    name: str
    part: str
    axis: str
    op: str


@dataclass(frozen=True)
class Extreme:
    """The largest number of a row, and its place where that has a name."""

    name: str
    place: str
    row: Access
    axis: str


@dataclass(frozen=True)
class Doubt:
    """Count a sum that may need a second look: one that is small beside the size of its terms."""

    count: str
    value: sympy.Expr
    size: sympy.Expr


@dataclass(frozen=True)
class Gather:
    """What the elements in doubt are looked at with, moved together: each number into a block of its own, and where.

    Every element is written at `count`, which moves on where there is a doubt; the next overwrites the others.
    """

    count: str
    doubt: str
    place: str
    numbers: tuple[tuple[str, sympy.Expr], ...]


@dataclass(frozen=True)
class Second:
    """The second look at so many sums: first side by side, then, where that cancels too, one by one.

    Parameters
    ----------
    count, place : str
        How many there are, and the block of their rows.
    target, size, closer : str
        The blocks of the sums, of the sizes of their terms, and of what the first step gives.
    recipe : Recipe
        What is computed.
    leaves : tuple of expressions
        From what, at a place.
    """

    count: str
    place: str
    target: str
    size: str
    closer: str
    recipe: Recipe
    leaves: tuple[sympy.Expr, ...]


@dataclass(frozen=True)
class When:
    """Nodes that run under a condition, given as source, and those that run otherwise.

    Where results are float64, the condition holds anyway if `or_wide`.
    """

    condition: str
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...] = ()
    or_wide: bool = False


@dataclass(frozen=True)
class Matrix:
    """An array seen as a matrix: `part` is ``"block"`` (a buffer of one), ``"rows"`` of the block, or all of it."""

    name: str
    part: str
    first: tuple[str, ...]
    second: tuple[str, ...]


@dataclass(frozen=True)
class Multiply:
    """A matrix product, either operand transposed or not, written or added to the target."""

    target: Matrix
    left: Matrix
    right: Matrix
    left_transposed: bool
    right_transposed: bool
    add: bool


@dataclass(frozen=True)
class Columns:
    """The largest entry of each column, its row and the sum of the other exponentials, up to date with a block."""

    block: str
    peak: str
    winner: str
    rest: str
    axes: tuple[str, str]


@dataclass(frozen=True)
class Inverse:
    """What a number is divided by many times, as two numbers to multiply by: a power of two, and 1 over their product.

    Where it is 0, quotients are 0 if `zero`.
    """

    names: tuple[str, str]
    divisor: sympy.Expr
    zero: bool


@dataclass(frozen=True)
class Skip:
    """Zeros for the outputs of a sample that does not count, and on to the next sample."""

    condition: sympy.Basic
    zeros: tuple[Store, ...]


Node = (
    Assign | Begin | Finish | Update | Store | Buffer | Loop | Strips | Lanes | Side | Beside | Lane | Turn | Blocks
    | Chunks | Total | Extreme | Doubt | Gather | Second | When | Multiply | Columns | Inverse | Skip
)  # fmt: skip


@dataclass(frozen=True)
class Kernel:
    """One function of a generated module.

    Parameters
    ----------
    name : str
        Its name in the module.
    arguments : tuple of str
        In order.
    body : tuple of Node
        What it does.
    returns : str
        The local it returns, or an empty string.
    summary : str
        What it computes, for its docstring.
    comparing : bool
        Whether it does no arithmetic: its numbers are the same in either format, so that arrays need no conversion.
    sums : int
        How many sums of each row it writes for another kernel, where it does that.
    """

    name: str
    arguments: tuple[str, ...]
    body: tuple[Node, ...]
    returns: str
    summary: str
    comparing: bool = False
    sums: int = 0
