"""Reads the text of a compiled XLA program (HLO): computations, their instructions, and arrays."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Final

BITS: Final = {
    "pred": 8, "s2": 2, "u2": 2, "s4": 4, "u4": 4, "s8": 8, "u8": 8, "s16": 16, "u16": 16,
    "s32": 32, "u32": 32, "s64": 64, "u64": 64, "f16": 16, "bf16": 16, "f32": 32, "f64": 64,
    "c64": 64, "c128": 128, "token": 0, "opaque": 0,
}  # fmt: skip
"""Size of an element by the name of its type; the names of eight-bit floats begin with `f8`."""


@dataclass(frozen=True)
class Array:
    """Type and shape of an array."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size in memory."""
        bits = 8 if self.dtype.startswith("f8") else BITS[self.dtype]
        return -(-self.count * bits // 8)


@dataclass(frozen=True)
class Instruction:
    """One instruction of a computation."""

    name: str
    opcode: str
    arrays: tuple[Array, ...]
    """The result; for a tuple its arrays from left to right."""
    operands: tuple[str, ...]
    """Names of the instructions whose results it takes."""
    attributes: str
    """The rest of the line."""
    number: int | None = None
    """Of a parameter: its position."""

    @property
    def bytes(self) -> int:
        """Size of the result."""
        return sum(array.bytes for array in self.arrays)

    def called(self, *roles: str) -> tuple[str, ...]:
        """Return the names of the computations that are called in these roles, such as `body`."""
        found = (
            re.search(rf"\b{role}=(\{{[^}}]*\}}|%?[\w.\-]+)", self.attributes) for role in roles
        )
        return tuple(name for match in found if match for name in re.findall(r"[\w.\-]+", match[1]))

    @property
    def trips(self) -> int | None:
        """Iterations of a loop; None if the compiler does not know them."""
        found = re.search(r'"known_trip_count":\{"n":"(\d+)"', self.attributes)
        return int(found[1]) if found else None

    @property
    def kind(self) -> str:
        """What runs: a fusion's kind, the target of a custom call, or the operation."""
        if self.opcode == "fusion":
            found = re.search(r"\bkind=k(\w+)", self.attributes)
            return f"fusion {found[1].lower()}" if found else "fusion"
        if self.opcode == "custom-call":
            found = re.search(r'custom_call_target="([^"]+)"', self.attributes)
            return found[1].lstrip("_") if found else "custom call"
        return self.opcode


@dataclass(frozen=True)
class Computation:
    """A list of instructions in their order; the last one is usually the result."""

    name: str
    instructions: tuple[Instruction, ...]
    root: str
    """Name of the instruction whose result is the computation's."""

    @cached_property
    def by_name(self) -> dict[str, Instruction]:
        """The instructions by their names."""
        return {one.name: one for one in self.instructions}

    @cached_property
    def parameters(self) -> dict[int, Instruction]:
        """The parameters by their positions."""
        return {one.number: one for one in self.instructions if one.number is not None}

    @cached_property
    def users(self) -> dict[str, list[Instruction]]:
        """The instructions that take an instruction's result, by its name."""
        users: dict[str, list[Instruction]] = {}
        for one in self.instructions:
            for operand in dict.fromkeys(one.operands):
                users.setdefault(operand, []).append(one)
        return users


@dataclass(frozen=True)
class Module:
    """A compiled program."""

    computations: dict[str, Computation]
    entry: Computation


HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.* -> .*\{$")
LINE = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.+)$")
ARRAY = re.compile(r"\b([a-z]\w*)\[([\d,]*)\]")
NAME = re.compile(r"%([\w.\-]+)")


def parse(text: str) -> Module:
    """Parse a program as `compiled.as_text()` prints it.

    Raises:
        ValueError: The text contains no entry computation, or a line that is no instruction.
    """
    computations: dict[str, Computation] = {}
    entry = None
    for is_entry, name, lines in _blocks(text):
        pairs = [_instruction(line) for line in lines]
        root = next((one.name for rooted, one in pairs if rooted), pairs[-1][1].name)
        computations[name] = Computation(name, tuple(one for _, one in pairs), root)
        entry = computations[name] if is_entry else entry
    if entry is None:
        raise ValueError("the text contains no entry computation of a compiled program")
    return Module(computations, entry)


def _blocks(text: str) -> Iterator[tuple[bool, str, list[str]]]:
    """Yield whether it is the entry, the name and the lines of each computation."""
    header, lines = None, list[str]()
    for line in re.sub(r"/\*.*?\*/", "", text).splitlines():
        if header is None:
            header, lines = HEADER.match(line), []
        elif line.startswith("}"):
            yield bool(header[1]), header[2], lines
            header = None
        elif line.strip():
            lines.append(line)


def _instruction(line: str) -> tuple[bool, Instruction]:
    """Parse a line `[ROOT] %name = type opcode(operands), attributes`."""
    found = LINE.match(line)
    if not found:
        raise ValueError(f"no instruction of a compiled program: {line.strip()[:200]}")
    rest = found[3]
    end = _closing(rest) if rest.startswith("(") else rest.index(" ")
    opcode, _, call = rest[end:].strip().partition("(")
    close = _closing("(" + call) - 1
    operands, attributes = call[: close - 1], call[close:]
    return bool(found[1]), Instruction(
        found[2],
        opcode,
        tuple(
            Array(dtype, tuple(map(int, dims.split(","))) if dims else ())
            for dtype, dims in ARRAY.findall(rest[:end])
        ),
        () if opcode in {"constant", "parameter"} else tuple(NAME.findall(operands)),
        attributes,
        int(operands) if opcode == "parameter" else None,
    )


def _closing(text: str) -> int:
    """Return the position after the parenthesis that closes the first one of a text."""
    depth = 0
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == ")" and not depth:
            return at + 1
    return len(text)
