"""The deployments of `deployments/prefect.yaml`, on a server with workers or served from here.

Prefect's own command deploys that file. This module creates what the command does not, from the
files in the same folder: work pools with their job templates, and the automation that marks runs
whose process died.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import prefect
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import PrefectHTTPStatusError
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.settings import PREFECT_API_URL
from prefect.types.entrypoint import EntrypointType
from pydantic import ValidationError

from flows.service.deployment_files import FOLDER, renewed
from flows.service.notifications import apply_notifications
from flows.service.receivers import Receiver
from flows.service.server_errors import REFUSALS, password_required
from overlap.config.presets import merged
from overlap.errors import OverlapError, UserError
from overlap.system.import_path import child_environment, foreign_package

PACKAGES: Final = ("flows", "tasks")
"""Packages that a flow run imports."""
POOL_PREFIX: Final = "overlap-"
"""A work pool is named after its template: `overlap-process` uses pools/process.json."""


@dataclass(frozen=True)
class Wanted:
    """Settings of one installation that replace those of the file."""

    config: dict[str, Any]
    """Values of `RunConfig`: defaults of the form, and parameters of the scheduled run."""
    cron: str | None = None
    """Schedule of the nightly retraining; None: inactive."""
    timezone: str = "UTC"
    """Time zone of the schedule."""
    pool: str = f"{POOL_PREFIX}process"
    """Work pool that runs the flows."""
    receivers: tuple[Receiver, ...] | None = None
    """Receivers of messages; None: the server keeps those that it has."""
    silence_hours: float | None = None
    """Time without a success after which the receivers get a message, h; None: never."""


@dataclass(frozen=True)
class Deployed:
    """Names of the objects that `deploy` has created."""

    pools: tuple[str, ...]
    deployments: tuple[str, ...]
    automations: tuple[str, ...]
    receivers: tuple[str, ...] | None = None
    """Kinds of the receivers of messages; None where the server keeps those that it has."""


def server_address() -> str | None:
    """Return the server's address, from PREFECT_API_URL or Prefect's profile."""
    return PREFECT_API_URL.value() or None


def check_schedule(cron: str, timezone: str) -> None:
    """Check that Prefect accepts a schedule.

    Raises:
        UserError: it does not.
    """
    try:
        CronSchedule(cron=cron, timezone=timezone)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UserError(
            f"--cron {cron!r}, --timezone {timezone}: {reason}",
            code="invalid-schedule",
            cron=cron,
            timezone=timezone,
        ) from None


def pools() -> tuple[str, ...]:
    """Return the names of the work pools that have a job template."""
    return tuple(POOL_PREFIX + file.stem for file in sorted((FOLDER / "pools").glob("*.json")))


def deployments(wanted: Wanted) -> dict[str, Any]:
    """Return the content of prefect.yaml with the settings of this installation."""
    content: dict[str, Any] = yaml.safe_load((FOLDER / "prefect.yaml").read_text("utf-8"))
    content.pop("definitions", None)
    chosen = [_chosen(entry, wanted) for entry in content["deployments"]]
    return content | {"deployments": chosen}


def _chosen(entry: Mapping[str, Any], wanted: Wanted) -> dict[str, Any]:
    parameters = dict(entry.get("parameters", {}))
    if "config" in parameters:
        parameters["config"] = merged(parameters["config"], wanted.config)
    else:  # predict: the workspace and the cluster alone
        keep = ("workspace", "cluster")
        parameters |= {name: wanted.config[name] for name in keep if name in wanted.config}
    chosen = dict(entry) | {"parameters": parameters}
    if wanted.cron is not None and "schedules" in chosen:
        times = {"cron": wanted.cron, "timezone": wanted.timezone, "active": True}
        chosen["schedules"] = [{**schedule, **times} for schedule in chosen["schedules"]]
    pool = dict(chosen["work_pool"])
    if wanted.pool != pool["name"]:  # other pools take the working directory from the image
        pool = {"name": wanted.pool}
    return chosen | {"work_pool": pool}


def deploy(wanted: Wanted) -> Deployed:
    """Create or update pools, automations and deployments on the server at PREFECT_API_URL.

    Raises:
        UserError: the server does not answer, or requires a password; or the flow runs would find
            other packages in the current folder.
        OverlapError: Prefect refuses; the message is Prefect's.
    """
    check_current_folder(wanted.pool)
    with get_client(sync_client=True) as client, _refusals_described():
        if client.api_healthcheck() is not None:
            raise UserError(
                f"the Prefect server at {server_address()} does not answer",
                code="server-unreachable",
                address=server_address(),
            )
        for file in sorted((FOLDER / "pools").glob("*.json")):
            template = json.loads(file.read_text("utf-8"))
            pool = WorkPoolCreate(
                name=POOL_PREFIX + file.stem, type=file.stem, base_job_template=template
            )
            client.create_work_pool(pool, overwrite=True)
        automations = _apply_automations(client, wanted)
    content = deployments(wanted)
    with tempfile.TemporaryDirectory(prefix="overlap-deploy-") as folder:
        file = Path(folder) / "prefect.yaml"
        file.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
        command = ["--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *command],
            env=child_environment(os.environ) | {"PWD": str(Path.cwd())},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        raise OverlapError(
            f"Prefect refuses the deployments:\n{done.stdout}{done.stderr}",
            code="deployments-refused",
        )
    names = tuple(entry["name"] for entry in content["deployments"])
    kinds = None if wanted.receivers is None else tuple(r.kind for r in wanted.receivers)
    return Deployed(pools(), names, automations, kinds)


def check_current_folder(pool: str) -> None:
    """Check that a process worker will import the flows of this installation.

    The flow runs work in the current folder, which Prefect puts first on their path until it
    imports `flows` (`overlap.system.import_path.working_directory_last`). Until then a run imports
    what this process has imported, too.

    Raises:
        UserError: the folder has packages or modules of the same name.
    """
    if pool != f"{POOL_PREFIX}process":
        return
    early = sorted(name for name in sys.modules if name.isidentifier() and name != "__main__")
    if name := foreign_package(str(Path.cwd()), (*PACKAGES, *early)):
        raise UserError(
            f"{Path.cwd()} contains a package `{name}`, which flow runs would import in place of "
            "the installed one; deploy from another folder, and name data and workspace with "
            "absolute paths",
            code="foreign-package",
            package=name,
            folder=str(Path.cwd()),
        )


@contextmanager
def _refusals_described() -> Iterator[None]:
    try:
        yield
    except PrefectHTTPStatusError as error:
        if error.response.status_code not in REFUSALS:
            raise OverlapError(
                f"the Prefect server at {server_address()}: {error}",
                code="server-refuses",
                status=error.response.status_code,
            ) from error
        raise password_required(server_address() or "") from None


def serve(wanted: Wanted) -> None:
    """Serve the deployments from this process until it is stopped; no worker is needed.

    Flow runs are child processes and start in the current folder.

    Raises:
        UserError: the server requires a password.
        OverlapError: Prefect refuses the automations; the message is Prefect's.
    """
    with get_client(sync_client=True) as client, _refusals_described():
        _apply_automations(client, wanted)
    prefect.serve(*served(wanted), print_starting_message=False)


def served(wanted: Wanted) -> list[RunnerDeployment]:
    """Return the deployments as this process serves them."""
    return [_served(entry) for entry in deployments(wanted)["deployments"]]


def _served(entry: Mapping[str, Any]) -> RunnerDeployment:
    entrypoint = entry["entrypoint"]
    flow: Flow[..., Any] = load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)
    limit = entry.get("concurrency_limit")
    made = flow.to_deployment(
        entry["name"],
        description=entry["description"],
        tags=entry["tags"],
        parameters=entry["parameters"],
        schedules=[
            DeploymentScheduleCreate(
                schedule=CronSchedule(cron=item["cron"], timezone=item["timezone"]),
                active=item["active"],
                slug=item["slug"],
            )
            for item in entry.get("schedules", ())
        ],
        concurrency_limit=ConcurrencyLimitConfig.model_validate(limit) if limit else None,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    return cast("RunnerDeployment", made)  # a coroutine only inside an event loop


def _apply_automations(client: SyncPrefectClient, wanted: Wanted) -> tuple[str, ...]:
    """Create or update the automations of a server; return their names."""
    names = tuple(renewed(client, automation) for automation in read_automations())
    if wanted.receivers is not None:
        names += apply_notifications(client, wanted.receivers, wanted.silence_hours)
    return names


def read_automations() -> Iterator[AutomationCore]:
    """Read the automations that a server needs."""
    content = yaml.safe_load((FOLDER / "automations.yaml").read_text("utf-8"))
    for automation in content["automations"]:
        yield AutomationCore.model_validate(automation)
