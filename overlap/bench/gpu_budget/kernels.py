"""Counts the kernels that a compiled program launches, and the bytes that each of them moves.

A kernel reads each of its operands once and writes its results once. Two exceptions keep a large
array from counting in full: an operand of which only rows are taken counts with the rows, and an
array that is changed in place counts with the change. What a library call reserves as working
space is memory, but not traffic, because nobody outside the library knows how much of it is used.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from overlap.bench.gpu_budget.hlo import Array, Computation, Instruction, Module

NO_KERNEL: Final = {
    "parameter", "constant", "get-tuple-element", "tuple", "bitcast", "after-all", "partition-id",
    "replica-id", "add-dependency", "opt-barrier", "domain", "copy-done", "async-done",
    "async-update",
}  # fmt: skip
"""Instructions that launch nothing: names of arrays, and ends of what has been launched."""
TAKE: Final = {"dynamic-slice", "gather", "slice"}
"""Instructions that read only the part of their first operand that they return."""


@dataclass(frozen=True)
class Kernel:
    """An instruction that runs on the device."""

    name: str
    kind: str
    times: int
    """Launches per call of the program."""
    bytes: int
    """Bytes read and written by one launch."""
    workspace: int
    """Bytes that a library call reserves for itself."""
    written: tuple[Array, ...]
    """Arrays that it writes in full."""


def kernels(module: Module, trips: int) -> list[Kernel]:
    """Return every kernel that a call of the program launches.

    Args:
        module: The program.
        trips: Iterations of a loop whose number the compiler does not know.

    Raises:
        ValueError: Such a loop contains another one.
    """
    return list(_launched(module, module.entry, 1, trips))


def _launched(
    module: Module, computation: Computation, times: int, trips: int | None
) -> Iterator[Kernel]:
    for one in computation.instructions:
        if one.opcode in NO_KERNEL:
            continue
        if one.opcode == "while":
            yield from _loop(module, one, times, trips)
        elif one.opcode == "conditional":
            yield from _costliest_branch(module, one, times, trips)
        elif one.opcode in {"call", "async-start"}:
            for name in one.called("to_apply", "calls"):
                yield from _launched(module, module.computations[name], times, trips)
        else:
            yield _kernel(module, computation, one, times)


def _loop(module: Module, one: Instruction, times: int, trips: int | None) -> Iterator[Kernel]:
    known, inner = one.trips, trips
    if known is None:
        if trips is None:
            raise ValueError(f"{one.name}: a loop of unknown length inside another one")
        known, inner = trips, None
    # With a known number the host counts; otherwise the device computes the condition.
    roles = ("body",) if one.trips is not None else ("condition", "body")
    for name in one.called(*roles):
        yield from _launched(module, module.computations[name], times * known, inner)


def _costliest_branch(
    module: Module, one: Instruction, times: int, trips: int | None
) -> list[Kernel]:
    names = one.called("branch_computations", "true_computation", "false_computation")
    branches = [[*_launched(module, module.computations[n], times, trips)] for n in names]
    return max(branches, key=lambda found: (sum(k.bytes for k in found), len(found)))


def _kernel(module: Module, computation: Computation, one: Instruction, times: int) -> Kernel:
    inner = [module.computations[n] for n in one.called("calls")] if one.opcode == "fusion" else []
    read = dict[str, int]()
    for position, name in enumerate(one.operands):
        operand = computation.by_name[name]
        used = _read(inner[0], position) if inner else _read_by(one, position)
        size = operand.bytes
        read[name] = min(size, read.get(name, 0) + (size if used is None else used))
    workspace = _workspace(one)
    results = one.arrays[: len(one.arrays) - bool(workspace)]
    changed, written = _written(inner[0] if inner else computation, one, results)
    return Kernel(
        one.name,
        one.kind,
        times,
        sum(read.values()) + changed + sum(array.bytes for array in written),
        workspace,
        written,
    )


def _read(fused: Computation, position: int) -> int | None:
    """Return how many bytes of a parameter a fusion reads; None: all of them."""
    pending, total = [fused.parameters[position].name], 0
    while pending:
        name = pending.pop()
        for user in fused.users.get(name, []):
            if user.opcode == "bitcast":
                pending.append(user.name)
                continue
            places = [place for place, operand in enumerate(user.operands) if operand == name]
            used = [_read_by(user, place) for place in places]
            if None in used:
                return None
            total += sum(part or 0 for part in used)
    return total


def _read_by(user: Instruction, place: int) -> int | None:
    """Return how many bytes of an operand an instruction reads; None: all of them."""
    if place:
        return None
    if user.opcode in TAKE:
        return user.bytes
    return 0 if user.opcode == "dynamic-update-slice" else None


def _written(
    computation: Computation, one: Instruction, results: tuple[Array, ...]
) -> tuple[int, tuple[Array, ...]]:
    """Return the bytes of changes in place, and the arrays that are written in full."""
    if one.opcode == "fusion":
        root = computation.by_name[computation.root]
        names = root.operands if root.opcode == "tuple" else (root.name,)
        roots = [_behind_bitcasts(computation, name) for name in names]
    else:
        roots = [one]
    if len(roots) != len(results):
        return 0, results
    changed, written = 0, list[Array]()
    for root, array in zip(roots, results, strict=True):
        if root.opcode == "dynamic-update-slice":
            changed += computation.by_name[root.operands[1]].bytes
        else:
            written.append(array)
    return changed, tuple(written)


def _behind_bitcasts(computation: Computation, name: str) -> Instruction:
    one = computation.by_name[name]
    while one.opcode == "bitcast":
        one = computation.by_name[one.operands[0]]
    return one


def _workspace(one: Instruction) -> int:
    """Return the size of a library call's working space: bytes at the end of its results."""
    last = one.arrays[-1] if len(one.arrays) > 1 else None
    scratch = last is not None and last.dtype in {"s8", "u8"} and len(last.shape) == 1
    return last.bytes if one.opcode == "custom-call" and scratch and last else 0
