"""Requests to log an ensemble to MLflow, in a process of its own.

MLflow changes logging and the environment of its process, and may retry for minutes. Neither
affects the run, and a failure is one note.
"""

import os
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final

from overlap.config import TrackingConfig
from overlap.ensemble.registry import EnsembleRecord
from overlap.errors import OverlapError
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.redaction import masked
from overlap.system.child_process import run_child
from overlap.system.distribution import extra_hint

ADDRESS: Final = "MLFLOW_TRACKING_URI"
"""Environment variable of MLflow with the address of the server, or of a folder or database."""
ENVIRONMENT: Final = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
"""MLflow sends figures about its use to its vendor otherwise."""
PATIENCE: Final = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
"""Limits for a server that does not answer, unless the user sets others."""
LIMIT_SECONDS: Final = 1800.0
"""Longest time that logging may take."""


def log_to_mlflow(
    workspace: Location,
    record: EnsembleRecord,
    config: TrackingConfig,
    warn: Callable[[str], None],
) -> str | None:
    """Log a published ensemble, once per version.

    Args:
        workspace: The workspace.
        record: The ensemble.
        config: What is logged, and to which experiment.
        warn: Prints one line for the user.

    Returns:
        The id of the ensemble's run in MLflow; None where nothing was logged, after a warning.
    """
    if obstacle := unavailable():
        warn(f"tracking.mlflow: {obstacle}; nothing is logged")
        return None
    found: dict[str, Any] = {}
    patience = {name: value for name, value in PATIENCE.items() if name not in os.environ}
    location = WorkspacePaths(workspace).ensemble(record.version).record
    deadline = time.monotonic() + LIMIT_SECONDS
    try:
        run_child(
            "overlap.tracking.mlflow_log",
            [location.url, config.experiment, "models" if config.models else "no-models"],
            found.update,
            wanted=lambda: time.monotonic() < deadline,
            extra=ENVIRONMENT | patience,
        )
    except (OverlapError, OSError) as error:
        last = masked(str(error)).strip().splitlines()[-1:]
        warn(
            f"tracking.mlflow: {record.version} was not logged: {''.join(last)}; the run is not "
            "affected"
        )
        return None
    return str(found["run"]) if "run" in found else None


def unavailable() -> str | None:
    """Return why nothing can be logged; None: it can."""
    if find_spec("mlflow") is None:
        return f"MLflow is not installed; {extra_hint('mlflow')}"
    if not os.environ.get(ADDRESS):
        return f"the environment variable {ADDRESS} is not set"
    return None
