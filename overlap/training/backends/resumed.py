"""The backend that began a training, read from its checkpoint without importing Keras."""

import json
import zipfile

import numpy as np

from overlap.io.location import Location
from overlap.io.workspace_paths import MemberPaths

ABOUT = "about"
"""Key of the progress in a checkpoint: JSON as UTF-8 bytes."""


def backend_of_training(folder: Location) -> str | None:
    """Return the backend of a member's checkpoint.

    Args:
        folder: Folder of the member.

    Returns:
        The backend; None where there is no checkpoint, where an earlier release wrote it, and
        where it is damaged, which the training finds and reports.
    """
    location = MemberPaths(folder).checkpoint
    if not location.exists():
        return None
    try:
        with location.reading() as file, np.load(file, allow_pickle=False) as arrays:
            about = json.loads(arrays[ABOUT].tobytes())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return (about.get("backend") or None) if isinstance(about, dict) else None
