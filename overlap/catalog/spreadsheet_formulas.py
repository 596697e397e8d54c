"""Detects names that a spreadsheet would execute as formulas.

Names of clips and words become cells of the predictions' table, which users open in a
spreadsheet. A cell that begins with =, +, - or @ is a formula, even within quotes, and a formula
that contains a call, a quoted text or a reference to another sheet can access the network or start
a program. Such names are refused. They cannot be escaped: with an apostrophe in front, a name no
longer matches its file or the template. A name such as `-0Gj8_vB1q4` evaluates at most to a wrong
number and is accepted.
"""

import re

FORMULA = re.compile(r"\s*[=+\-@].*[^\w.\- ]", re.DOTALL)
"""A leading formula character, followed anywhere by an operator, a quote or a parenthesis."""


def is_formula(name: str) -> bool:
    """Return whether a spreadsheet would do more than display this name.

    Examples:
        >>> is_formula('=HYPERLINK("http://x")'), is_formula("-0Gj8_vB1q4"), is_formula("a=b()")
        (True, False, False)
    """
    return FORMULA.match(name) is not None
