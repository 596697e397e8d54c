"""Addresses as fsspec chains them: `zip://folder::s3://bucket/data.zip` and plain ones.

A chain consists of links joined by `::`. Each link opens what the links after it provide. The path
of a chain is in its first link that has one.

An address without a protocol is a path on a local disk, and is never parsed: a name may contain
`::`, `%`, `#` or `?`.

fsspec is imported on use, because the configuration, and so `overlap --help`, imports this module.
"""

import os
import re
from pathlib import Path

from overlap.errors import UserError
from overlap.redaction import in_address, masked

ZIP = "zip"
LOCAL_PREFIXES = ("/", "./", "../", "~")
"""Beginnings of an address that is a path."""
ROOT = re.compile(r"/|(?:[\w+.-]+::)*[\w+.-]+://")
"""The beginning of an absolute address that every address on the same file system has."""
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
    import fsspec
    from fsspec.implementations.local import LocalFileSystem

    if in_address(text):
        raise UserError(f"{masked(text)}: {NO_PASSWORDS}", code="secret-in-address")
    try:
        if _is_path(text):
            return _absolute(os.path.expanduser(text))  # noqa: PTH111  "~name" may be a file
        filesystem, path = fsspec.core.url_to_fs(text)
    except (ValueError, ImportError, OSError) as error:
        raise UserError(
            f"{text}: this kind of address cannot be opened here ({error})",
            code="unknown-protocol",
            address=text,
        ) from error
    if isinstance(filesystem, LocalFileSystem):
        return _absolute(path)
    return _without_final_slash(text)


def _is_path(text: str) -> bool:
    """Return whether an address as a user gives it is a path, not a URL or a chain."""
    first, chain, _ = text.partition("::")
    if text.startswith(LOCAL_PREFIXES):
        return True
    if "://" in first or not chain:
        return False
    import fsspec

    return first not in fsspec.available_protocols()


def _absolute(path: str) -> str:
    """Return an absolute path; POSIX lets pathlib keep exactly two leading slashes."""
    return "/" + str(Path(path).absolute()).lstrip("/")


def _without_final_slash(url: str) -> str:
    """Remove final slashes; those of a root, as in `memory://`, stay."""
    root = _root_of(url)
    return root + url[len(root) :].rstrip("/")


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
        return f"{url}{name}" if url == _root_of(url) else f"{url}/{name}"
    if scheme.endswith("://"):
        return f"{scheme}{path}/{name}::{rest}" if path else f"{scheme}{name}::{rest}"
    return f"{scheme}::{joined(rest, name)}"


def name_of(url: str) -> str:
    """Return the last part of an address, or the file name of a whole archive.

    The name of a root, such as `/` or `memory://`, is empty.
    """
    _, path, rest = _parts(url)
    return path.rpartition("/")[2] if path or rest is None else name_of(rest)


def parent_of(url: str) -> str:
    """Return the address of the parent folder; for a whole archive, the folder of its file.

    A root is its own parent.

    Examples:
        >>> parent_of("/clip.wav"), parent_of("s3://bucket"), parent_of("memory://")
        ('/', 's3://', 'memory://')
    """
    scheme, path, rest = _parts(url)
    if rest is None:
        root = _root_of(url)
        return root + url[len(root) :].rpartition("/")[0]
    if path:
        return f"{scheme}{path.rpartition('/')[0]}::{rest}"
    return parent_of(rest) if scheme.endswith("://") else f"{scheme}::{parent_of(rest)}"


def _root_of(url: str) -> str:
    """Return the root of an address's file system, such as `/` or `memory://`."""
    found = ROOT.match(url)
    return found[0] if found else ""


def in_archive(url: str) -> tuple[str, str] | None:
    """Return the path in a zip archive and the archive's own address, or None without one.

    Examples:
        >>> in_archive("zip://train/::s3://bucket/data.zip")
        ('train', 's3://bucket/data.zip')
        >>> in_archive("zip::/data.zip")
        ('', '/data.zip')
    """
    if _is_path(url):
        return None
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
