"""Problems of a data set, collected so that one error reports all of them."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from overlap.errors import DataError
from overlap.io.formatting import counted

EXAMPLES = 5
"""Number of cases that are listed for each problem."""
MAX_NAME_LENGTH, MAX_MESSAGE_LENGTH = 400, 4000
"""Characters that are shown of a name, and of a message."""

PLAN_HINT = " (`overlap config features` plans features for such clips)"
"""Follows a repair that most clips of a data set need."""


class DataWarning(UserWarning):
    """A problem of the data that was handled: cells were normalised, or input is not used."""


@dataclass(frozen=True)
class Problem:
    """One kind of problem with the count of its cases, of which the first are listed."""

    code: str
    """Identifies the kind of problem; kebab-case, stable across releases."""
    message: str
    """The problem and its remedy, as a clause that the cases may follow."""
    cases: tuple[str, ...]
    """The first cases: ids, files or lines."""
    count: int
    """Number of all cases."""
    fatal: bool
    """Whether the run stops; otherwise the problem was handled and is only reported."""

    def __str__(self) -> str:
        if not self.count:
            return self.message
        more = f", … ({self.count} in total)" if self.count > len(self.cases) else ""
        return f"{self.message}: {', '.join(self.cases)}{more}"


def printable(name: str, max_length: int = MAX_NAME_LENGTH) -> str:
    r"""Return a name in a form that is safe in a terminal, a log, JSON and HTML text.

    File names and cells of tables may contain line breaks, escape sequences of a terminal, or bytes
    that are not text.

    Examples:
        >>> print(printable("two\nlines"))
        two\nlines
        >>> print(printable("\udcb0"))
        \udcb0
    """
    letters = (x if x.isprintable() else repr(x)[1:-1] for x in name[:max_length])
    shown = "".join(letters)
    return (shown or "(empty)") + "…" * (len(name) > max_length)


@dataclass
class Problems:
    """The problems found in one data set."""

    found: list[Problem] = field(default_factory=list)

    def add(
        self, message: str, cases: Iterable[object] = (), *, code: str, fatal: bool = True
    ) -> None:
        """Add a problem, even if it has no cases.

        Args:
            message: The problem and its remedy.
            cases: Everything that has the problem.
            code: Identifies the kind of problem.
            fatal: Whether the run stops.
        """
        every = [*cases]
        shown = tuple(printable(str(case)) for case in every[:EXAMPLES])
        message = printable(message, MAX_MESSAGE_LENGTH)
        self.found.append(Problem(code, message, shown, len(every), fatal))

    def add_cases(
        self, message: str, cases: Iterable[object], *, code: str, fatal: bool = True
    ) -> None:
        """Add a problem if it has at least one case."""
        every = list(cases)
        if every:
            self.add(message, every, code=code, fatal=fatal)

    @property
    def fatal(self) -> Sequence[Problem]:
        """The problems that stop a run."""
        return [problem for problem in self.found if problem.fatal]

    @property
    def handled(self) -> Sequence[Problem]:
        """The problems that were handled and are only reported."""
        return [problem for problem in self.found if not problem.fatal]

    @property
    def warnings(self) -> Sequence[str]:
        """One line for each problem that was handled."""
        return [str(problem) for problem in self.handled]

    def warn(self, stacklevel: int = 3) -> None:
        """Issue a `DataWarning` for each problem that was handled.

        Args:
            stacklevel: As in `warnings.warn`; the default names the caller of this function's
                caller.
        """
        for line in self.warnings:
            warnings.warn(line, DataWarning, stacklevel=stacklevel)

    def raise_if_fatal(self, data: str) -> None:
        """Raise an error that lists every problem, if at least one is fatal.

        Args:
            data: Names the data in the message.

        Raises:
            DataError: with the field `problems`: (code, count of cases) of every fatal problem, and
                `warnings`: the same of the others.
        """
        if not self.fatal:
            return
        lines = [f"{data}: {counted(len(self.fatal), 'problem')} with the data"]
        if len(self.fatal) == 1:  # Prefect's pages show the first line
            lines = [f"{data}: the data cannot be used: {self.fatal[0]}"]
        else:
            lines += [f"  - {problem}" for problem in self.fatal]
        if self.warnings:
            lines += ["warnings:", *(f"  - {warning}" for warning in self.warnings)]
        raise DataError(
            "\n".join(lines),
            data=data,
            problems=tuple((problem.code, problem.count) for problem in self.fatal),
            warnings=tuple((problem.code, problem.count) for problem in self.handled),
        )
