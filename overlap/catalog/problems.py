"""What is wrong with a data set, collected so that a person sees all of it at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from overlap.errors import DataError

EXAMPLES = 5
"""How many cases of one problem are named."""
LONGEST, LONGEST_SENTENCE = 400, 4000
"""Letters of a name, and of a problem, that are shown."""


@dataclass(frozen=True)
class Problem:
    """One kind of problem, with every case counted and the first few named."""

    what: str
    """The problem, and what to do about it, as a sentence without its end."""
    cases: tuple[str, ...]
    """The first cases: ids, files or rows."""
    count: int
    """All cases."""
    fatal: bool
    """Whether the run stops; otherwise the problem was dealt with and is reported."""

    def __str__(self) -> str:
        if not self.count:
            return self.what
        more = f", … ({self.count} in all)" if self.count > len(self.cases) else ""
        return f"{self.what}: {', '.join(self.cases)}{more}"


def printable(name: str, longest: int = LONGEST) -> str:
    r"""A name as it may stand in a terminal, a log, JSON and a page.

    Names of files and cells of tables may hold line ends, a terminal's commands, or bytes that are
    no text at all.

    Examples:
        >>> print(printable("two\nlines"))
        two\nlines
        >>> print(printable("\udcb0"))
        \udcb0
    """
    letters = (x if x.isprintable() else repr(x)[1:-1] for x in name[:longest])
    shown = "".join(letters)
    return (shown or "(empty)") + "…" * (len(name) > longest)


@dataclass
class Problems:
    """The report of one data set."""

    found: list[Problem] = field(default_factory=list)

    def add(self, what: str, cases: Iterable[object] = (), *, fatal: bool = True) -> None:
        """Note a problem whatever the number of cases."""
        named = [*cases]
        shown = tuple(printable(str(case)) for case in named[:EXAMPLES])
        self.found.append(Problem(printable(what, LONGEST_SENTENCE), shown, len(named), fatal))

    def add_cases(self, what: str, cases: Iterable[object], *, fatal: bool = True) -> None:
        """Note a problem if there is any case of it."""
        named = list(cases)
        if named:
            self.add(what, named, fatal=fatal)

    @property
    def fatal(self) -> Sequence[Problem]:
        """The problems that stop a run."""
        return [problem for problem in self.found if problem.fatal]

    @property
    def warnings(self) -> Sequence[str]:
        """The problems that were dealt with, a line each."""
        return [str(problem) for problem in self.found if not problem.fatal]

    def raise_if_fatal(self, data: str) -> None:
        """Stop here if anything is fatal.

        Raises:
            DataError: every problem found, fatal ones first.
        """
        if not self.fatal:
            return
        count = len(self.fatal)
        lines = [f"{data}: {count} problem{'s' if count > 1 else ''} with the data"]
        lines += [f"  - {problem}" for problem in self.fatal]
        if self.warnings:
            lines += ["also seen:", *(f"  - {warning}" for warning in self.warnings)]
        raise DataError("\n".join(lines))
