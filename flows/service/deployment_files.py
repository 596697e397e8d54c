"""The folder `deployments/`, and automations that are updated instead of created twice."""

from pathlib import Path
from typing import Final

from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import AutomationCore

FOLDER: Final = Path(__file__).resolve().parents[2] / "deployments"
"""Next to the packages, in a clone and in an installation."""


def renewed(client: SyncPrefectClient, automation: AutomationCore) -> str:
    """Create an automation, or update the one of this name; return its name."""
    existing = client.read_automations_by_name(automation.name)
    if existing:
        client.update_automation(existing[0].id, automation)
    else:
        client.create_automation(automation)
    return automation.name
