"""Files and folders of data sets and workspaces: on a local disk, at an fsspec URL, in a zip file.

Everything that a run writes outside Zarr goes through `Location.writing`, which is atomic: a reader
sees the old content or the new one, never a part. On a local disk it writes a temporary file and
renames it; on an object store it is one upload.
"""

import hashlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from overlap.errors import CorruptError, UserError
from overlap.io import urls
from overlap.io.atomic import replacing
from overlap.io.bulk_read import Read, read_local, read_remote
from overlap.io.listing import Entry, local_entries
from overlap.io.records import Documents
from overlap.io.storage_errors import storage_errors
from overlap.io.zip_archive import open_archive


@dataclass(frozen=True)
class Location(Documents):
    """An address on a local disk or on any file system that fsspec supports.

    A zip archive is a read-only folder: `zip://folder::/path/data.zip`.

    Attributes:
        url: An absolute path, or a URL such as `s3://bucket/folder`, without a final slash.

    Examples:
        >>> (Location("s3://bucket/data") / "train").url
        's3://bucket/data/train'
        >>> Location("/data").local
        PosixPath('/data')
    """

    url: str

    @classmethod
    def of(cls, address: "str | os.PathLike[str] | Location") -> "Location":
        """Create a location from a path or URL; a relative path is resolved immediately.

        A local file whose name ends in .zip is treated as the folder that it contains.

        Raises:
            UserError: the address is empty (`empty-address`), names no archive
                (`no-archive-named`), contains a password (`secret-in-address`), or has a protocol
                that fsspec does not know or lacks a package for (`unknown-protocol`).
        """
        if isinstance(address, Location):
            return address
        text = os.fspath(address)
        if not text.strip():
            raise UserError(
                "the address is empty; name a folder, for instance ./data", code="empty-address"
            )
        if (member := urls.in_archive(text)) is not None:
            if not member[1].strip():
                raise UserError(
                    f"{text}: names no archive; write zip://folder::/path/data.zip",
                    code="no-archive-named",
                    address=text,
                )
            return cls(f"zip://{member[0]}::{urls.resolved(member[1])}")
        url = urls.resolved(text)
        if url.startswith("/") and url.lower().endswith(".zip") and Path(url).is_file():
            return cls(f"zip://::{url}")
        return cls(url)

    def __truediv__(self, name: str) -> "Location":
        return Location(urls.joined(self.url, name))

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """Last part of the address."""
        return urls.name_of(self.url)

    @property
    def parent(self) -> "Location":
        """The parent folder."""
        return Location(urls.parent_of(self.url))

    @cached_property
    def local(self) -> Path | None:
        """The path if this is on a local disk, else None."""
        if self._member is not None:
            return None
        return Path(self._path) if isinstance(self._filesystem, LocalFileSystem) else None

    @cached_property
    def _member(self) -> tuple[str, str] | None:
        return urls.in_archive(self.url)

    @cached_property
    def _plain(self) -> tuple[Any, str]:
        if self.url.startswith("/"):  # a path is never parsed: a name may contain `::`
            return LocalFileSystem(), self.url
        return fsspec.core.url_to_fs(self.url)  # type: ignore[no-any-return]

    @property
    def _target(self) -> tuple[Any, str]:
        if self._member is None:
            return self._plain
        return open_archive(self._member[1]).filesystem, self._member[0]

    @property
    def _filesystem(self) -> Any:  # noqa: ANN401  fsspec publishes no types
        return self._target[0]

    @property
    def _path(self) -> str:
        return self._target[1]

    def __getstate__(self) -> dict[str, str]:
        return {"url": self.url}  # a file system may hold connections, which cannot be pickled

    def exists(self) -> bool:
        """Return whether a file or folder exists now."""
        return self.local.exists() if self.local is not None else self._answers("exists")

    def is_folder(self) -> bool:
        """Return whether this is a folder (on an object store: whether it contains anything)."""
        return self.local.is_dir() if self.local is not None else self._answers("isdir")

    def _answers(self, question: str) -> bool:
        try:
            with storage_errors(self):
                self._filesystem.invalidate_cache()
                return bool(getattr(self._filesystem, question)(self._path))
        except FileNotFoundError:  # the archive itself is absent
            return False

    def is_file(self) -> bool:
        """Return whether this is a regular file: no folder, pipe or device."""
        return self.local.is_file() if self.local is not None else self._answers("isfile")

    def size(self) -> int:
        """Return the size of the file according to its file system, bytes; 0 if unknown."""
        return int(self._filesystem.info(self._path)["size"] or 0)

    def modified(self) -> datetime:
        """Return the time at which the file was last written."""
        with storage_errors(self):
            changed: datetime = self._filesystem.modified(self._path)
        return changed

    def files(self, others: list[str] | None = None) -> Iterator[Entry]:
        """Yield every file directly in this folder; `others` receives the names of all else."""
        if self.local is not None:
            yield from local_entries(self.local, others)
            return
        for info in self._listed():
            if info["type"] == "file":
                yield Entry.of_info(info)
            elif others is not None:
                others.append(PurePosixPath(info["name"]).name)

    def folders(self) -> list[str]:
        """Return the sorted names of the folders directly in this one; empty if it is absent."""
        if not self.is_folder():
            return []
        if self.local is not None:
            return sorted(item.name for item in self.local.iterdir() if item.is_dir())
        found = self._listed()
        return sorted(PurePosixPath(i["name"]).name for i in found if i["type"] == "directory")

    def _listed(self) -> list[dict[str, Any]]:
        with storage_errors(self):
            self._filesystem.invalidate_cache()
            return list(self._filesystem.ls(self._path, detail=True))

    def read_bytes(self) -> bytes:
        """Read the whole file.

        Raises:
            FileNotFoundError: the file does not exist.
            StorageError: the file cannot be read.
        """
        if self._member is None:
            with storage_errors(self):
                if self.local is not None:
                    return self.local.read_bytes()
                return bytes(self._filesystem.cat_file(self._path))
        (content,) = open_archive(self._member[1]).read_many([self._member[0]])
        if isinstance(content, OSError):
            raise content
        return content

    def read_verified(self, digest: str) -> bytes:
        """Read the whole file and compare it with its digest.

        Args:
            digest: The result of `digest` when the file was written.

        Raises:
            CorruptError: the file does not exist (`missing-file`), or its content differs
                (`wrong-digest`).
        """
        try:
            data = self.read_bytes()
        except FileNotFoundError:
            raise CorruptError(f"{self}: is gone", code="missing-file", path=str(self)) from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise CorruptError(
                f"{self}: is damaged: its SHA-256 differs from the recorded one",
                code="wrong-digest",
                path=str(self),
            )
        return data

    def read_many(self, names: Sequence[str], most: int | None = None) -> list[Read]:
        """Read files of this folder; on object stores, and in archives there, all at once.

        Args:
            names: Paths of the files below it.
            most: Largest size of a file, bytes; a larger one yields a `TooLargeError` and is not
                read completely. None: no limit.

        Returns:
            The contents in the order of `names`, with an `OSError` in the place of each file that
            cannot be read.
        """
        if self.local is not None:
            return read_local(str(self.local), names, most)
        try:
            if self._member is None:
                paths = [f"{self._path}/{name}" for name in names]
                return read_remote(self._filesystem, paths, most)
            folder = f"{self._member[0]}/" if self._member[0] else ""
            members = [folder + name for name in names]
            return open_archive(self._member[1]).read_many(members, most)
        except OSError as error:  # the archive itself is absent
            return [error] * len(names)

    def check_writable(self) -> None:
        """Raise an error if this is read-only.

        Raises:
            UserError: this is in a zip archive (`read-only-archive`).
        """
        if self._member is not None:
            raise UserError(
                f"{self}: is in a zip archive, which is read-only; results need a folder",
                code="read-only-archive",
                path=str(self),
            )

    def reading(self) -> IO[bytes]:
        """Open the file for reading; from an object store only the requested ranges are fetched."""
        if self.local is not None:
            return self.local.open("rb")
        return self._filesystem.open(self._path, "rb")  # type: ignore[no-any-return]

    def write_bytes(self, data: bytes) -> None:
        """Replace the file as a whole, like `writing`."""
        with self.writing() as file:
            file.write(data)

    @contextmanager
    def writing(self) -> Iterator[IO[bytes]]:
        """Yield a file to fill, which then replaces this one as a whole.

        Parent folders are created. If the block fails, the old content stays.

        Raises:
            UserError: this is in a zip archive (`read-only-archive`).
            StorageError: the file cannot be written.
        """
        self.check_writable()
        with storage_errors(self):
            if self.local is not None:
                with replacing(self.local) as file:
                    yield file
                return
            buffer = io.BytesIO()
            yield buffer
            self._filesystem.pipe_file(self._path, buffer.getvalue())

    def digest(self) -> str | None:
        """Return the SHA-256 of the file in hexadecimal, or None if it does not exist."""
        return hashlib.sha256(self.read_bytes()).hexdigest() if self.exists() else None

    def changed(self, files: Mapping[str, str]) -> str:
        """Return the names of files in this folder that are gone or have changed.

        Args:
            files: Per name, the result of `digest` when the file was written.
        """
        return " and ".join(n for n, known in files.items() if (self / n).digest() != known)

    def remove(self) -> None:
        """Remove a file or a whole folder, if it exists."""
        self.check_writable()
        if self.exists():
            with storage_errors(self):
                self._filesystem.rm(self._path, recursive=True)
