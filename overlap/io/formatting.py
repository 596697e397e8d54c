"""Sizes, durations, rates, counts and exit codes as they are printed and written into messages.

The functions live below every package, because storage and decoding report sizes too.
`dask.utils` has both, but the library does not import Dask.
"""


def format_bytes(count: float) -> str:
    """Format a number of bytes in decimal units, with three significant digits.

    Examples:
        >>> format_bytes(512), format_bytes(999_999), format_bytes(30.3e6), format_bytes(5.7e9)
        ('512 B', '1 MB', '30.3 MB', '5.7 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def counted(count: int, noun: str) -> str:
    """Return a number with its noun in the right form.

    Examples:
        >>> counted(1, "clip"), counted(0, "clip"), counted(2, "held-out clip")
        ('1 clip', '0 clips', '2 held-out clips')
    """
    return f"{count} {noun}" + ("s" if count != 1 else "")


def format_duration(seconds: float) -> str:
    """Format a duration: with a tenth of a second below ten seconds, else in two units at most.

    Examples:
        >>> format_duration(5.84), format_duration(42.3), format_duration(1000)
        ('5.8 s', '42 s', '16 min 40 s')
        >>> format_duration(3900), format_duration(1e6)
        ('1 h 05 min', '277 h 46 min')
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def format_rate(per_second: float, unit: str) -> str:
    """Format a rate with three significant digits; below one a second, as the time for each.

    Args:
        per_second: The rate.
        unit: What is counted, in the singular.

    Examples:
        >>> format_rate(1234.5, "clip"), format_rate(12.34, "clip"), format_rate(2, "clip")
        ('1,234 clips/s', '12.3 clips/s', '2.0 clips/s')
        >>> format_rate(0.005, "member"), format_rate(0.5, "")
        ('3 min 20 s per member', '2.0 s each')
    """
    if per_second >= 1:
        digits = 0 if per_second >= 99.95 else 1
        return f"{per_second:,.{digits}f}{f' {unit}s' if unit else ''}/s"
    if per_second <= 0:
        return ""
    return f"{format_duration(1 / per_second)} {f'per {unit}' if unit else 'each'}"


def format_exit(code: int) -> str:
    """Return how a process ended.

    Args:
        code: Its exit code; negative: the signal that ended it.

    Examples:
        >>> format_exit(3), format_exit(-9)
        ('exit code 3', 'signal 9')
    """
    return f"signal {-code}" if code < 0 else f"exit code {code}"
