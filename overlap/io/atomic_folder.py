"""A local folder that appears under its name only when it is complete."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from overlap.errors import UserError


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
