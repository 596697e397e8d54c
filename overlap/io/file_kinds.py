"""Names the kind of a file that was given for another one: by its suffix, or by its first bytes."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

ARCHIVES: Final = re.compile(
    r"\.(tar|tar\.\w+|tgz|tbz2?|txz|tzst|7z|rar|gz|bz2|xz|zst|lz4|lzma|cab|iso|dmg)$", re.IGNORECASE
)
"""Suffixes of archives and compressed files that are not read as folders; zip archives are."""
QUOTES: Final = "'\"\u2018\u2019\u201c\u201d"
"""Quotes of shells and of word processors."""
_UTF8: Final = "save it as UTF-8 (in Excel: CSV UTF-8)"
_AS_CSV: Final = "export it as CSV UTF-8"


@dataclass(frozen=True)
class FileKind:
    """A kind of file that was recognised."""

    name: str
    """The kind with its article, for messages."""
    remedy: str
    """What to do, as a clause."""
    is_text: bool = False
    """Whether it is text, but not UTF-8."""


_BY_START: Final[tuple[tuple[bytes, FileKind], ...]] = (
    (b"PK\x03\x04", FileKind("an Excel workbook or another zip archive", _AS_CSV)),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", FileKind("an Excel workbook", _AS_CSV)),
    (b"\x1f\x8b", FileKind("compressed with gzip", "unpack it with gunzip")),
    (b"BZh", FileKind("compressed with bzip2", "unpack it with bunzip2")),
    (b"\xfd7zXZ\x00", FileKind("compressed with xz", "unpack it with unxz")),
    (b"\x28\xb5\x2f\xfd", FileKind("compressed with Zstandard", "unpack it with unzstd")),
    (b"7z\xbc\xaf\x27\x1c", FileKind("a 7z archive", "unpack it")),
    (b"Rar!\x1a\x07", FileKind("a RAR archive", "unpack it")),
    (b"PAR1", FileKind("a Parquet file", _AS_CSV)),
    (b"%PDF-", FileKind("a PDF document", _AS_CSV)),
    (b"\xff\xfe", FileKind("UTF-16 text", _UTF8, is_text=True)),
    (b"\xfe\xff", FileKind("UTF-16 text", _UTF8, is_text=True)),
    (b"\x00\x00\xfe\xff", FileKind("UTF-32 text", _UTF8, is_text=True)),
    (b"version https://git-lfs.github.com/", FileKind(
        "a pointer of Git LFS, not its content", "fetch the content with git lfs pull")),
)  # fmt: skip
_MARKUP: Final = re.compile(rb"\s*<(!doctype|html|\?xml)", re.IGNORECASE)


def kind_of_content(start: bytes) -> FileKind | None:
    """Recognise a file that is not text in UTF-8 from its first bytes, or markup.

    Args:
        start: Some hundred bytes from the beginning of the file.

    Returns:
        The kind, or None if nothing speaks against a text in UTF-8.
    """
    for magic, kind in _BY_START:
        if start.startswith(magic):
            return kind
    if _MARKUP.match(start.removeprefix(b"\xef\xbb\xbf")):
        return FileKind("a web page or XML", "download or export the table itself")
    if len(start) > 3 and 0 in {start[1], start[0]} and start[:4].count(0) == 2:
        return FileKind("UTF-16 text without a byte order mark", _UTF8, is_text=True)
    return None


def archive_remedy(name: str) -> str | None:
    """Return how to use an archive that is not read as a folder; None for other names.

    Examples:
        >>> archive_remedy("d.tar.gz")
        'archives of the kind .tar.gz are not read; unpack it with `tar -xf`, or pack it as .zip'
        >>> archive_remedy("d.zip") is None
        True
    """
    found = ARCHIVES.search(name)
    if found is None:
        return None
    suffix = found.group().lower()
    is_tar = suffix.startswith((".tar", ".tgz", ".tb", ".tx", ".tz"))
    how = "unpack it with `tar -xf`" if is_tar else "unpack it"
    return f"archives of the kind {suffix} are not read; {how}, or pack it as .zip"


def address_hint(address: str) -> str:
    r"""Explain why an address names nothing, if it is of a usual wrong kind.

    Examples:
        >>> address_hint("C:\\data")
        '; this is a path of Windows: write it as this system sees it (in WSL /mnt/c/data)'
        >>> address_hint("'my data'")
        '; the name itself contains quotes: leave them out'
        >>> address_hint("data")
        ''
    """
    if found := re.match(r"([A-Za-z]):[\\/](.*)", address):
        inner = found[2].replace("\\", "/")
        return (
            "; this is a path of Windows: write it as this system sees it "
            f"(in WSL /mnt/{found[1].lower()}/{inner})"
        )
    if len(address) > 1 and (address[0] in QUOTES or address[-1] in QUOTES):
        return "; the name itself contains quotes: leave them out"
    if address != address.strip():
        return "; the name has white space around it: leave it out"
    path = Path(address)
    if path.is_symlink():
        return f"; it is a link to {path.readlink()}, which does not exist"
    if "$" in address or "%" in address:
        return "; variables are not expanded in quotes and configuration files"
    parent = path.parent
    near = []
    if parent.is_dir() and "://" not in address:
        near = get_close_matches(path.name, [item.name for item in parent.iterdir()], n=1)
    return f"; did you mean {parent / near[0]}?" if near else ""
