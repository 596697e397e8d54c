"""Files and folders of a data set or workspace, on a local disk or any fsspec URL.

Everything that a run writes outside Zarr goes through `Location.write_bytes`, which is
atomic: a reader sees the old content or the new one, never a part. On a local disk that is a
temporary file and a rename; on an object store one upload.
"""

import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import fsspec
import numpy as np
import zarr.storage
from fsspec.implementations.local import LocalFileSystem
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from zarr.abc.store import Store

from overlap.errors import CorruptError, UserError

Model = TypeVar("Model", bound=BaseModel)

TAGS = (
    *("ETag", "etag", "generation", "md5Hash", "content_md5", "CRC"),
    *("mtime", "LastModified", "last_modified", "modified", "created"),
)
"""What fsspec's file systems call that which changes with a file's content; the best first."""


@dataclass(frozen=True)
class Entry:
    """One file of a folder."""

    name: str
    """File name without its folder."""
    size: int
    """Bytes."""
    version: str
    """Changes when the content does. On a local disk: size, inode and both times, because files
    of one size and one modification time are common in unpacked archives. Elsewhere: size and
    the store's own tag; where it has none, a version of this one look."""


@dataclass(frozen=True)
class Location:
    """An address on a local disk or on any file system that fsspec knows.

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

        Raises:
            UserError: fsspec does not know the URL's protocol, or lacks a package for it.
        """
        if isinstance(address, Location):
            return address
        text = os.fspath(address)
        if not text.strip():
            raise UserError("an empty path was given: name a folder, for instance ./data")
        try:
            filesystem, path = fsspec.core.url_to_fs(text)
        except (ValueError, ImportError) as error:
            raise UserError(
                f"{text}: this kind of address cannot be opened here ({error})"
            ) from error
        if isinstance(filesystem, LocalFileSystem):
            return cls(str(Path(path).absolute()))
        return cls(text.rstrip("/"))

    def __truediv__(self, name: str) -> "Location":
        return Location(f"{self.url.rstrip('/')}/{name}")

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """The last part of the address."""
        return PurePosixPath(self.url).name

    @property
    def parent(self) -> "Location":
        """The folder that holds this."""
        return Location(self.url.rpartition("/")[0])

    @cached_property
    def local(self) -> Path | None:
        """The path when this is on a local disk, else None."""
        return Path(self._path) if isinstance(self._filesystem, LocalFileSystem) else None

    @cached_property
    def _target(self) -> tuple[Any, str]:
        if self.url.startswith("/"):  # a path is never parsed: a name may hold `::`
            return LocalFileSystem(), self.url
        return fsspec.core.url_to_fs(self.url)  # type: ignore[no-any-return]

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
        if self.local is not None:
            return self.local.exists()
        self._filesystem.invalidate_cache()
        return bool(self._filesystem.exists(self._path))

    def is_folder(self) -> bool:
        """Whether a folder is there (on an object store: whether anything is below it)."""
        if self.local is not None:
            return self.local.is_dir()
        self._filesystem.invalidate_cache()
        return bool(self._filesystem.isdir(self._path))

    def files(self) -> Iterator[Entry]:
        """Every file directly in this folder, in no particular order."""
        if self.local is not None:
            with os.scandir(self.local) as found:
                for item in found:
                    if item.is_file():
                        stat = item.stat()
                        version = (stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns)
                        yield Entry(item.name, stat.st_size, "-".join(map(str, version)))
            return
        self._filesystem.invalidate_cache()
        for info in self._filesystem.ls(self._path, detail=True):
            if info["type"] == "file":
                size = int(info["size"] or 0)
                tags = (info[name] for name in TAGS if info.get(name))
                tag = next(tags, None) or secrets.token_hex(8)
                yield Entry(PurePosixPath(info["name"]).name, size, f"{size}-{tag}")

    def folders(self) -> list[str]:
        """Names of the folders directly in this one, sorted; empty when this is not there."""
        if not self.is_folder():
            return []
        if self.local is not None:
            return sorted(item.name for item in self.local.iterdir() if item.is_dir())
        found = self._filesystem.ls(self._path, detail=True)
        return sorted(PurePosixPath(i["name"]).name for i in found if i["type"] == "directory")

    def read_bytes(self) -> bytes:
        """The whole file.

        Raises:
            FileNotFoundError: nothing is there.
        """
        if self.local is not None:
            return self.local.read_bytes()
        return bytes(self._filesystem.cat_file(self._path))

    def write_bytes(self, data: bytes) -> None:
        """Replace the file as a whole; folders above it are made."""
        if self.local is None:
            self._filesystem.pipe_file(self._path, data)
            return
        self.local.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.local.with_name(f".{self.local.name}.{secrets.token_hex(4)}.part")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.local)
        finally:
            temporary.unlink(missing_ok=True)

    def digest(self) -> str | None:
        """SHA-256 of the file's content, in hexadecimal; None where there is no file."""
        return hashlib.sha256(self.read_bytes()).hexdigest() if self.exists() else None

    def changed(self, files: Mapping[str, str]) -> str:
        """Names of files in this folder that are gone or have another content.

        Args:
            files: What `digest` gave when each was written.
        """
        return " and ".join(n for n, known in files.items() if (self / n).digest() != known)

    def read_json(self) -> Any:  # noqa: ANN401  JSON is whatever was written
        """The file's content, parsed.

        Raises:
            CorruptError: it is not JSON.
        """
        try:
            return json.loads(self.read_bytes())
        except ValueError as error:
            raise CorruptError(f"{self}: is damaged: no JSON ({error})") from None

    def read_model(self, kind: type[Model]) -> Model:
        """The file's content as a pydantic model.

        Raises:
            CorruptError: it is not JSON, or not of this kind.
        """
        content = self.read_json()
        try:
            return kind.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise CorruptError(f"{self}: is damaged: {where}: {first['msg']}") from None

    def write_json(self, content: object) -> None:
        """Replace the file by this content, indented and with a final newline."""
        self.write_bytes((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())

    def read_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of an npz file; never runs code from it."""
        with np.load(io.BytesIO(self.read_bytes()), allow_pickle=False) as saved:
            return {name: saved[name] for name in saved.files}

    def write_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Replace the file by these arrays, as npz."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        self.write_bytes(buffer.getvalue())

    def remove(self) -> None:
        """Remove a file or a whole folder; nothing happens when nothing is there."""
        if self.exists():
            self._filesystem.rm(self._path, recursive=True)

    def zarr_store(self, *, read_only: bool = False) -> Store:
        """This folder as a Zarr store."""
        if self.local is not None:
            return zarr.storage.LocalStore(self.local, read_only=read_only)
        return zarr.storage.FsspecStore.from_url(self.url, read_only=read_only)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder that appears under its name only when it is complete.

    Args:
        path: Its name; must not exist yet, or be an empty folder.

    Yields:
        The folder to fill; it is removed if that fails.

    Raises:
        UserError: `path` holds something already, or is the current folder.
    """
    path = path.absolute()
    if path.resolve() == Path.cwd():  # it would be replaced under the feet of the shell
        raise UserError("--out is the current folder; name a folder in it")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"{path}: exists and is not empty; choose another --out, or remove it")
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    part.mkdir(parents=True)
    try:
        yield part
        if path.exists():
            path.rmdir()
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
