"""Names that a spreadsheet would run: predictions are tables that people open in one.

A cell that begins with =, +, - or @ is a formula, whatever quotes are around it, and one with a
call, a quoted text or another sheet in it reaches the network or starts a program. An apostrophe
before it would be another name, which fits neither the files nor the template; so such names are
refused. A name such as `-0Gj8_vB1q4` computes at most a wrong number, and stays.
"""

import re

FORMULA = re.compile(r"\s*[=+\-@].*[^\w.\- ]", re.DOTALL)


def is_formula(name: str) -> bool:
    """Whether a spreadsheet would do more than show this name.

    Examples:
        >>> is_formula('=HYPERLINK("http://x")'), is_formula("-0Gj8_vB1q4"), is_formula("a=b()")
        (True, False, False)
    """
    return FORMULA.match(name) is not None
