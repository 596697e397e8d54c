"""Settings that Prefect reads when it is imported.

Variables that are set already keep their values. No outside host is called: the analytics of
Prefect's server are off, and so is its newer UI, which calls an outside host even without them.
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
"""Interval of heartbeats to the server, seconds; see deployments/automations.yaml."""
EMBEDDED_API = {
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "true",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}


def prepare(*, verbose: bool) -> None:
    """Set the environment; must be called before the first import of Prefect.

    Args:
        verbose: Whether the logs of Prefect and Dask are shown in the terminal. They reach the
            Prefect API in any case.
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
