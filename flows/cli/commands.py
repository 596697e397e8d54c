"""The commands of `overlap`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from flows.cli import bench, models, service, show
from flows.cli import data as data_commands
from flows.cli import workspace as workspace_commands
from flows.cli.options import Cluster, Json, Verbose, WorkspaceOption, run_command
from flows.service.environment import prepare
from overlap.config import ClusterConfig, RunConfig
from overlap.errors import NotReadyError

if TYPE_CHECKING:
    from overlap.workspace.workspace import Workspace

NO_COLOR = "--no-color"


class Commands(TyperGroup):
    """Reports an EOFError as an error; Typer takes it for closed input and prints "Aborted!"."""

    def invoke(self, ctx: Any) -> object:  # noqa: ANN401  a class that Typer keeps to itself
        """Run a command."""
        try:
            return super().invoke(ctx)
        except EOFError as error:  # a process or connection of the work ended
            raise RuntimeError("a process or connection ended unexpectedly") from error


app = typer.Typer(
    name="overlap",
    cls=Commands,
    help="From clips of several words spoken at once to an averaged ensemble and its predictions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def everywhere(
    no_color: Annotated[
        bool,
        typer.Option(
            NO_COLOR, help="Print without colours, as with NO_COLOR=1; valid at any position."
        ),
    ] = False,
) -> None:
    """From clips of several words spoken at once to an averaged ensemble and its predictions."""


# Modules that import Prefect, Dask or Zarr are imported within the commands: Prefect reads the
# settings of `flows.service.environment` when it is imported, and `overlap --help` stays fast.


@run_command(app)
def run(config: RunConfig, as_json: bool) -> None:
    """Run all stages: check the data, compute features, train, average, publish."""
    _retrain(config, as_json=as_json)
    if not as_json:
        from flows.cli.console import predict_next

        predict_next(config.workspace)


def _retrain(config: RunConfig, *, as_json: bool) -> str:
    """Run the main flow, print its result, and return the address of the submission."""
    with _checked(config) as workspace:
        from flows.cli.console import flow_shown, print_ensemble
        from flows.retrain import retrain
        from overlap.reporting.figures import drawing

        drawing()  # imports Matplotlib while the embedded server starts
        with flow_shown():
            report = retrain(config)
    print_ensemble(
        config.workspace, report.ensemble, report.promotion, report.features, as_json=as_json
    )
    return workspace.paths.ensemble(report.ensemble.version).submission.url


def _check_backend(cluster: ClusterConfig) -> None:
    """Refuse a backend that cannot train where this cluster trains.

    Raises:
        ConfigError: the backend is unknown, or not installed where it must be.
    """
    from overlap.training.backend import check_backend

    check_backend(installed=cluster.address is None and cluster.kind == "local")


@contextmanager
def _checked(config: RunConfig) -> Iterator["Workspace"]:
    """The workspace of a run, shared with the flow that the block runs.

    Lists the data at once, so that a wrong folder is reported while the embedded server starts; the
    flow uses that listing.

    Raises:
        UserError: the data, the workspace to compare with or Keras's backend cannot be used.
    """
    from overlap.features.compare import comparison_store
    from overlap.workspace.workspace import Workspace

    _check_backend(config.cluster)
    with Workspace.of(config.workspace).shared() as workspace:
        workspace.list_data(config.data)
        comparison_store(config)
        yield workspace


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Folder for data and results.")] = Path("demo"),
    verbose: Verbose = False,
) -> None:
    """Generate a small data set with espeak-ng and run all stages on it."""
    prepare(verbose=verbose)
    from flows.cli.console import bar, predict_next, print_line
    from flows.cli.demo_data import make_data
    from overlap.ensemble.score_tables import score_tables
    from overlap.reporting.tables import relative_to_trivial
    from overlap.synthetic import ANSWERS

    data = make_data(folder, bar)
    config = RunConfig(data=str(data), workspace=str(folder / "workspace"))
    submission = _retrain(config, as_json=False)
    judged = score_tables(str(data / ANSWERS), submission)
    if judged.gain is not None:
        print_line(
            "test clips",
            f"KL {judged.kl:.4f}, {relative_to_trivial(judged.gain)} the trivial prediction, "
            "on voices that are not in the training clips",
        )
    predict_next(config.workspace)


@run_command(app)
def features(config: RunConfig, as_json: bool) -> None:
    """Run one stage: check the data and compute the missing features."""
    with _checked(config):
        from flows.cli.console import OUT, flow_shown, print_drift, print_json, print_next
        from flows.retrain import features as features_flow

        with flow_shown():
            report = features_flow(config)
    if as_json:
        print_json(asdict(report))
        return
    OUT.print(
        f"{report.written} of {report.blocks} blocks computed, {report.clips} clips in "
        f"{report.seconds:.1f} s, in {config.workspace}",
        highlight=False,
    )
    print_drift(report.drift)
    print_next("`overlap run` with the same options trains and publishes")


@run_command(app)
def train(config: RunConfig, as_json: bool) -> None:
    """Run one stage: train the missing members on complete features."""
    with _with_features(config):
        from flows.cli.console import OUT, flow_shown, print_json, print_next
        from flows.retrain import train as train_flow

        with flow_shown():
            report = train_flow(config)
    if as_json:
        trained = [record.model_dump(mode="json") for record in report.trained]
        print_json({"trained": trained, "complete": report.complete, "fewer": report.fewer})
        return
    OUT.print(
        f"{len(report.trained)} of {config.ensemble.members} members trained, "
        f"{report.complete - len(report.trained)} were complete already, in {config.workspace}",
        highlight=False,
    )
    if report.fewer:
        OUT.print(report.fewer, highlight=False)
    print_next("`overlap pool` with the same options averages, scores and publishes")


@run_command(app)
def pool(config: RunConfig, as_json: bool) -> None:
    """Run one stage: average, score and publish the complete members."""
    with _with_features(config):
        from flows.cli.console import flow_shown, predict_next, print_ensemble
        from flows.retrain import pool as pool_flow

        with flow_shown():
            record, promotion = pool_flow(config)
    print_ensemble(config.workspace, record, promotion, as_json=as_json)
    if not as_json:
        predict_next(config.workspace)


@contextmanager
def _with_features(config: RunConfig) -> Iterator[None]:
    """Share the workspace of a run whose features are complete for the data as it is now.

    Raises:
        NotReadyError: clips are new or changed, or blocks of features are missing.
    """
    from overlap.workspace.pending import pending_work
    from overlap.workspace.workspace import Workspace

    _check_backend(config.cluster)
    with Workspace.of(config.workspace).shared() as workspace:
        pending = pending_work(config, workspace.list_data(config.data))
        if pending.features:
            raise NotReadyError(
                f"{workspace}: {pending.clips} clips are new or changed and {pending.blocks} "
                "blocks of features are missing; compute them with `overlap features`",
                code="features-missing",
                workspace=str(workspace),
                clips=pending.clips,
                blocks=pending.blocks,
            )
        yield


@app.command()
def predict(
    clips: Annotated[
        list[str],
        typer.Argument(help="Folder or URL with audio files; or sound files of one folder."),
    ],
    *,
    out: Annotated[
        str, typer.Option(help="CSV file, device or pipe to write; `-`: standard output.")
    ],
    model: Annotated[
        str, typer.Option(help="champion, a version, or an ensemble's folder.")
    ] = "champion",
    workspace: WorkspaceOption = "workspace",
    cluster: Cluster = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Predict new clips with a published ensemble.

    The table has the columns id, one per word, and `spread`: the disagreement of the members about
    the clip, as the mean over members of KL(member || ensemble) in nats. An unusable clip gets the
    mean prediction and an empty spread.
    """
    prepare(verbose=verbose)
    from flows.cli.console import OUT, flow_shown, keep_stdout_for, look_next, print_json
    from overlap.catalog import list_clips
    from overlap.io.location import Location
    from overlap.io.user_output import check_output, output_location
    from overlap.promotion.champion import find_ensemble
    from overlap.training.backend import check_backend

    find_ensemble(Location.of(workspace), model)
    chosen = clips[0] if len(clips) == 1 else clips
    list_clips(chosen)
    check_backend(installed=cluster is None)
    target = output_location(out)
    check_output(target, "preds.csv")
    keep_stdout_for(target, as_json=as_json)
    from flows.predict import predict as predict_flow

    with flow_shown():
        done = predict_flow(chosen, out, model, workspace, ClusterConfig(address=cluster))
    if as_json:
        print_json(asdict(done))
        return
    earlier = done.clips - done.computed
    known = f", {earlier} of them by an earlier run" if earlier else ""
    OUT.print(f"{done.clips} clips predicted{known}, in {target}", highlight=False, soft_wrap=True)
    if done.imputed:
        named = ", ".join(done.imputed[:5]) + (", …" if len(done.imputed) > 5 else "")
        OUT.print(
            f"{len(done.imputed)} of them are unusable and got the mean prediction: {named}",
            highlight=False,
        )
    look_next(workspace, model)


workspace_commands.register(app)
models.register(app)
data_commands.register(app)
show.register(app)
bench.register(app)
service.register(app)
