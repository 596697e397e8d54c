"""The command that distils an ensemble into one network: distill."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.options import Assignments, Cluster, Json, Verbose, WorkspaceOption

if TYPE_CHECKING:  # imports Prefect
    from flows.distill import DistillReport
    from overlap.config import RunConfig

Weight = Annotated[
    float,
    typer.Option(
        min=0, max=1,
        help="Weight of the labels in the targets; the rest is that of the ensemble's mean "
        "prediction.",
    ),
]  # fmt: skip
LABEL_WEIGHT = 0.5
"""That of `overlap.ensemble.student`, whose import would delay the help; a test compares them."""


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(distill)


def distill(  # noqa: PLR0913  one parameter per option
    *,
    model: Annotated[
        str, typer.Option(help="champion or a version: the ensemble to distil.")
    ] = "champion",
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Passes over the clips.", show_default="of the ensemble"),
    ] = None,
    label_weight: Weight = LABEL_WEIGHT,
    warm_start: Annotated[
        bool,
        typer.Option(
            "--warm-start/--no-warm-start",
            help="Begin with the weights of the ensemble's first member, if the student has the "
            "same network.",
        ),
    ] = True,
    assignments: Assignments = None,
    workspace: WorkspaceOption = "workspace",
    cluster: Cluster = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Distil a published ensemble into one network, and compare the two on held-out clips.

    The student has the ensemble's settings; --set changes its network and its training. It becomes
    a version of its own, and never the champion by itself. To resume an interrupted distillation,
    repeat the command.
    """
    from flows.service.environment import prepare

    given = _given(assignments, epochs, cluster)
    config, version = _planned(workspace, model, given)
    prepare(verbose=verbose)
    from flows.cli.commands.stages import with_features

    with with_features(config):
        from flows.cli.console import flow_shown
        from flows.distill import distill as distill_flow

        with flow_shown():
            report = distill_flow(config, version, label_weight, warm_start)
    _print(report, workspace, as_json=as_json)


def _given(
    assignments: list[str] | None, epochs: int | None, cluster: str | None
) -> dict[str, Any]:
    """Collect the options into the settings that differ from the ensemble's."""
    from overlap.config.loading import gathered

    flags: dict[str, Any] = {}
    if epochs is not None:
        flags["training"] = {"epochs": epochs}
    if cluster is not None:
        flags["cluster"] = {"address": cluster}
    return gathered(flags, None, assignments or ())


def _planned(workspace: str, model: str, given: dict[str, Any]) -> "tuple[RunConfig, str]":
    """Return the student's configuration and the version of its ensemble.

    Raises:
        UserError: There is no such ensemble, it belongs to another workspace (code
            `foreign-ensemble`), or a setting is wrong.
    """
    from overlap.ensemble.student import student_config
    from overlap.errors import UserError
    from overlap.promotion.champion import find_ensemble
    from overlap.workspace.workspace import Workspace

    place = Workspace.of(workspace)
    owner, ensemble = find_ensemble(place.location, model)
    if owner != place.location:
        raise UserError(
            f"{ensemble.version} belongs to workspace {owner}, not to {place}; distil it in its "
            "own workspace",
            code="foreign-ensemble", version=ensemble.version, owner=str(owner),
        )  # fmt: skip
    config = student_config(place.location, ensemble, place.catalog.data, given)
    return config, ensemble.version


def _print(report: "DistillReport", workspace: str, *, as_json: bool) -> None:
    from flows.cli.console import OUT, in_workspace, print_json, print_line, print_next, print_table

    ensemble, student, judgement = report
    if as_json:
        content = student.model_dump(mode="json")
        print_json(content | {"judgement": judgement.model_dump(mode="json")})
        return
    rows = [
        (kind, record.version, len(record.members), "" if record.kl is None else f"{record.kl:.4f}")
        for kind, record in (("ensemble", ensemble), ("student", student))
    ]
    print_table("KL divergence, nats (held-out clips)", ("", "version", "networks", "KL"), rows)
    duel = judgement.duel
    if duel is None:
        print_line("comparison", judgement.reason)
    else:
        share = 100 * (duel.challenger_kl / duel.champion_kl - 1)
        print_line("comparison", f"the student's KL is {share:+.1f} % of the ensemble's")
        print_line("gain", f"{duel.ends}; {duel.clips} clips that neither trained on")
    OUT.print("The champion stays.", highlight=False)
    print_next(
        f"`{in_workspace(f'models promote {student.version}', workspace)}` makes the student the "
        "champion"
    )
