"""Addresses as fsspec chains them: `zip://folder::s3://bucket/data.zip` and plain ones.

A chain consists of links joined by `::`. Each link opens what the links after it provide. The path
of a chain is in its first link that has one.
"""

from pathlib import Path, PurePosixPath

import fsspec
from fsspec.implementations.local import LocalFileSystem

from overlap.errors import UserError
from overlap.redaction import in_address, masked

ZIP = "zip"
NO_PASSWORDS = (
    "contains a password or key, but addresses are stored with every run and shown; set it in the "
    "environment instead, for s3:// as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)


def resolved(text: str) -> str:
    """Return an absolute path, or a URL without its final slash.

    Raises:
        UserError: the URL contains a password (`secret-in-address`), or fsspec does not know its
            protocol or lacks a package for it (`unknown-protocol`).
    """
    if in_address(text):
        raise UserError(f"{masked(text)}: {NO_PASSWORDS}", code="secret-in-address")
    try:
        filesystem, path = fsspec.core.url_to_fs(text)
    except (ValueError, ImportError, OSError) as error:
        raise UserError(
            f"{text}: this kind of address cannot be opened here ({error})",
            code="unknown-protocol",
            address=text,
        ) from error
    if isinstance(filesystem, LocalFileSystem):
        return str(Path(path).absolute())
    return text.rstrip("/")


def joined(url: str, name: str) -> str:
    """Return the address of a file or folder in a folder.

    Examples:
        >>> joined("zip://train::/data.zip", "a.wav")
        'zip://train/a.wav::/data.zip'
        >>> joined("simplecache::s3://bucket/data", "train")
        'simplecache::s3://bucket/data/train'
    """
    scheme, path, rest = _parts(url)
    if rest is None:
        return f"{url.rstrip('/')}/{name}"
    if scheme.endswith("://"):
        return f"{scheme}{path}/{name}::{rest}" if path else f"{scheme}{name}::{rest}"
    return f"{scheme}::{joined(rest, name)}"


def name_of(url: str) -> str:
    """Return the last part of an address, or the file name of a whole archive."""
    _, path, rest = _parts(url)
    return PurePosixPath(path).name if path or rest is None else name_of(rest)


def parent_of(url: str) -> str:
    """Return the address of the parent folder; for a whole archive, the folder of its file."""
    scheme, path, rest = _parts(url)
    if rest is None:
        return url.rpartition("/")[0]
    if path:
        return f"{scheme}{path.rpartition('/')[0]}::{rest}"
    return parent_of(rest) if scheme.endswith("://") else f"{scheme}::{parent_of(rest)}"


def in_archive(url: str) -> tuple[str, str] | None:
    """Return the path in a zip archive and the archive's own address, or None without one.

    Examples:
        >>> in_archive("zip://train/::s3://bucket/data.zip")
        ('train', 's3://bucket/data.zip')
        >>> in_archive("zip::/data.zip")
        ('', '/data.zip')
    """
    scheme, path, rest = _parts(url)
    if rest is None or scheme.removesuffix("://") != ZIP:
        return None
    return path.strip("/"), rest


def _parts(url: str) -> tuple[str, str, str | None]:
    """Return scheme and path of the first link, and the other links or None."""
    first, chain, rest = url.partition("::")
    if url.startswith("/") or not chain:  # the name of a local file may hold `::`
        return "", url, None
    scheme, slashes, path = first.partition("://")
    return scheme + slashes, path, rest
