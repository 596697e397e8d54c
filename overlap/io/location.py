"""Files and folders of a data set or workspace: on a local disk, any fsspec URL, or in a zip.

Everything that a run writes outside Zarr goes through `Location.writing`, which is
atomic: a reader sees the old content or the new one, never a part. On a local disk that is a
temporary file and a rename; on an object store one upload.
"""

import hashlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any

import fsspec
import zarr.storage
from fsspec.implementations.local import LocalFileSystem
from zarr.abc.store import Store

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
    """An address on a local disk or on any file system that fsspec knows.

    A zip archive is a folder that can only be read: `zip://folder::/path/data.zip`.

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
        """Make a location of a path or URL; a relative path is resolved here and now.

        A local file whose name ends in .zip is taken for the folder that it holds.

        Raises:
            UserError: fsspec does not know the URL's protocol, or lacks a package for it.
        """
        if isinstance(address, Location):
            return address
        text = os.fspath(address)
        if not text.strip():
            raise UserError("an empty path was given: name a folder, for instance ./data")
        if (member := urls.in_archive(text)) is not None:
            if not member[1].strip():
                raise UserError(f"{text}: names no archive; write zip://folder::/path/data.zip")
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
        """The last part of the address."""
        return urls.name_of(self.url)

    @property
    def parent(self) -> "Location":
        """The folder that holds this."""
        return Location(urls.parent_of(self.url))

    @cached_property
    def local(self) -> Path | None:
        """The path when this is on a local disk, else None."""
        if self._member is not None:
            return None
        return Path(self._path) if isinstance(self._filesystem, LocalFileSystem) else None

    @cached_property
    def _member(self) -> tuple[str, str] | None:
        return urls.in_archive(self.url)

    @cached_property
    def _plain(self) -> tuple[Any, str]:
        if self.url.startswith("/"):  # a path is never parsed: a name may hold `::`
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
        return {"url": self.url}  # a file system may hold connections: never ship it

    def exists(self) -> bool:
        """Whether a file or folder is there now."""
        return self.local.exists() if self.local is not None else self._answers("exists")

    def is_folder(self) -> bool:
        """Whether a folder is there (on an object store: whether anything is below it)."""
        return self.local.is_dir() if self.local is not None else self._answers("isdir")

    def _answers(self, question: str) -> bool:
        try:
            with storage_errors(self):
                self._filesystem.invalidate_cache()
                return bool(getattr(self._filesystem, question)(self._path))
        except FileNotFoundError:  # not even the archive
            return False

    def is_file(self) -> bool:
        """Whether a file is there that can be read to its end: no folder, pipe or device."""
        return self.local.is_file() if self.local is not None else self._answers("isfile")

    def size(self) -> int:
        """Bytes of the file, as its file system tells; 0 where that does not know."""
        return int(self._filesystem.info(self._path)["size"] or 0)

    def files(self, others: list[str] | None = None) -> Iterator[Entry]:
        """Every file directly in this folder; `others` receives names of what is no file there."""
        if self.local is not None:
            yield from local_entries(self.local, others)
            return
        for info in self._listed():
            if info["type"] == "file":
                yield Entry.of_info(info)

    def folders(self) -> list[str]:
        """Names of the folders directly in this one, sorted; empty when this is not there."""
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
        """The whole file.

        Raises:
            FileNotFoundError: nothing is there.
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
        """The whole file, as it was written.

        Args:
            digest: What `digest` gave then.

        Raises:
            CorruptError: it is gone, or has another content.
        """
        try:
            data = self.read_bytes()
        except FileNotFoundError:
            raise CorruptError(f"{self}: is gone") from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise CorruptError(f"{self}: is damaged: its SHA-256 is not the one that was noted")
        return data

    def read_many(self, names: Sequence[str], most: int | None = None) -> list[Read]:
        """Files of this folder; on object stores and in archives on them, all at once.

        Args:
            names: Files below it.
            most: Bytes of a file, at most: a larger one is a `TooLargeError`, not read whole. None:
                any number.

        Returns:
            The content of each, in the order of `names`; an `OSError` in the place of what
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
        except OSError as error:  # not even the archive
            return [error] * len(names)

    def check_writable(self) -> None:
        """Refuse what can only be read.

        Raises:
            UserError: this is in a zip archive.
        """
        if self._member is not None:
            raise UserError(
                f"{self}: is in a zip archive, which can only be read; results need a folder"
            )

    def reading(self) -> IO[bytes]:
        """The file, open: of an object store only what is asked for is fetched."""
        if self.local is not None:
            return self.local.open("rb")
        return self._filesystem.open(self._path, "rb")  # type: ignore[no-any-return]

    def write_bytes(self, data: bytes) -> None:
        """Replace the file as a whole, as `writing` does."""
        with self.writing() as file:
            file.write(data)

    @contextmanager
    def writing(self) -> Iterator[IO[bytes]]:
        """A file to fill, which replaces this one as a whole; folders above it are made.

        Raises:
            UserError: this is in a zip archive, which can only be read.
            StorageError: it cannot be written.
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
        """SHA-256 of the file's content, in hexadecimal; None where there is no file."""
        return hashlib.sha256(self.read_bytes()).hexdigest() if self.exists() else None

    def changed(self, files: Mapping[str, str]) -> str:
        """Names of files in this folder that are gone or have another content.

        Args:
            files: What `digest` gave when each was written.
        """
        return " and ".join(n for n, known in files.items() if (self / n).digest() != known)

    def remove(self) -> None:
        """Remove a file or a whole folder; nothing happens when nothing is there."""
        self.check_writable()
        if self.exists():
            with storage_errors(self):
                self._filesystem.rm(self._path, recursive=True)

    def zarr_store(self, *, read_only: bool = False) -> Store:
        """This folder as a Zarr store."""
        self.check_writable()
        if self.local is not None:
            return zarr.storage.LocalStore(self.local, read_only=read_only)
        return zarr.storage.FsspecStore.from_url(self.url, read_only=read_only)
