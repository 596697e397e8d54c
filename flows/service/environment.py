"""Settings that Prefect and the training backend read when they are imported.

Nothing here overrides what a person set. Nothing may call an outside host: the analytics of
Prefect's server are off, and its newer interface, which asks an outside host even then, too.
"""

import logging
import os
import warnings

QUIET_HOSTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_V2_ENABLED": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
}
HEARTBEAT = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
"""Tells a server that the process of a run lives, s; see deployments/automations.yaml."""
EMBEDDED_API = {
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "true",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}


def prepare(*, verbose: bool) -> None:
    """Call before the first import of Prefect.

    Args:
        verbose: Whether the logs of Prefect and Dask are shown in the terminal. They reach the
            Prefect API either way.
    """
    level = "INFO" if verbose else "CRITICAL"
    quiet = {
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": level,
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING" if verbose else "CRITICAL",
    }
    for name, value in (QUIET_HOSTS | HEARTBEAT | EMBEDDED_API | quiet).items():
        os.environ.setdefault(name, value)
    if not verbose:
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        warnings.simplefilter("ignore")
