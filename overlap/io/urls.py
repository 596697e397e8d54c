"""Addresses as fsspec chains them: `zip://folder::s3://bucket/data.zip` and plain ones.

A chain is links joined by `::`; each says how to read what the links behind it give. The path of
a chain stands in its first link that has one.
"""

from pathlib import Path, PurePosixPath

import fsspec
from fsspec.implementations.local import LocalFileSystem

from overlap.errors import UserError
from overlap.redaction import in_address, masked

ZIP = "zip"
NO_PASSWORDS = (
    "holds a password or key, and addresses are kept with every run and shown; give it in the "
    "environment instead, for s3:// as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)


def resolved(text: str) -> str:
    """A path made absolute, or a URL without its final slash.

    Raises:
        UserError: fsspec does not know the URL's protocol, or lacks a package for it; or the URL
            holds a password.
    """
    if in_address(text):
        raise UserError(f"{masked(text)}: {NO_PASSWORDS}")
    try:
        filesystem, path = fsspec.core.url_to_fs(text)
    except (ValueError, ImportError, OSError) as error:
        raise UserError(f"{text}: this kind of address cannot be opened here ({error})") from error
    if isinstance(filesystem, LocalFileSystem):
        return str(Path(path).absolute())
    return text.rstrip("/")


def joined(url: str, name: str) -> str:
    """The address of something in a folder.

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
    """The last part of an address; of a whole archive its file name."""
    _, path, rest = _parts(url)
    return PurePosixPath(path).name if path or rest is None else name_of(rest)


def parent_of(url: str) -> str:
    """The address of the folder that holds this; of a whole archive the folder it lies in."""
    scheme, path, rest = _parts(url)
    if rest is None:
        return url.rpartition("/")[0]
    if path:
        return f"{scheme}{path.rpartition('/')[0]}::{rest}"
    return parent_of(rest) if scheme.endswith("://") else f"{scheme}::{parent_of(rest)}"


def in_archive(url: str) -> tuple[str, str] | None:
    """Path in a zip archive and the archive's own address; None for any other address.

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
    """Scheme and path of the first link, and the other links; None where there are none."""
    first, chain, rest = url.partition("::")
    if url.startswith("/") or not chain:  # the name of a local file may hold `::`
        return "", url, None
    scheme, slashes, path = first.partition("://")
    return scheme + slashes, path, rest
