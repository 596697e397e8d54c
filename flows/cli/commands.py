"""The commands of `overlap`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from flows.cli import bench, models, service, show
from flows.cli import data as data_commands
from flows.cli import workspace as workspace_commands
from flows.cli.options import Cluster, Json, Verbose, Workspace, run_command
from flows.service.environment import prepare
from overlap.config import RunConfig
from overlap.errors import NotReadyError, UserError

NO_COLOR = "--no-color"


class Commands(TyperGroup):
    """Typer takes an EOFError for a person who closed the input, and only says "Aborted!"."""

    def invoke(self, ctx: Any) -> object:  # noqa: ANN401  a class that Typer keeps to itself
        """Run a command."""
        try:
            return super().invoke(ctx)
        except EOFError as error:  # some process or connection of the work ended
            raise RuntimeError("the other end is gone") from error


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
        bool, typer.Option(NO_COLOR, help="No colours, as with NO_COLOR=1; at any place.")
    ] = False,
) -> None:
    """From clips of several words spoken at once to an averaged ensemble and its predictions."""


# Modules that import Prefect, Dask or Zarr are imported where they are used: Prefect reads the
# settings of `flows.service.environment` when it is imported, and `overlap --help` stays quick.


@run_command(app)
def run(config: RunConfig, as_json: bool) -> None:
    """The whole service: check the data, compute features, train, average, publish."""
    _retrain(config, as_json=as_json)
    if not as_json:
        from flows.cli.console import predict_next

        predict_next(config.workspace)


def _retrain(config: RunConfig, *, as_json: bool) -> str:
    """Run the main flow and print its result; the address of the submission."""
    from overlap.catalog import list_data
    from overlap.features.compare import comparison_store

    list_data(config.data)  # a wrong folder is said at once, before Prefect starts
    comparison_store(config)
    from flows.cli.console import flow_shown, print_ensemble
    from flows.retrain import retrain
    from overlap.ensemble.registry import submission_of
    from overlap.io.location import Location

    with flow_shown():
        report = retrain(config)
    print_ensemble(
        config.workspace, report.ensemble, report.promotion, report.features, as_json=as_json
    )
    return submission_of(Location.of(config.workspace), report.ensemble).url


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where data and results go.")] = Path("demo"),
    verbose: Verbose = False,
) -> None:
    """Make a small data set with espeak-ng and run the whole service on it."""
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
            "on voices that are not in train",
        )
    predict_next(config.workspace)


@run_command(app)
def features(config: RunConfig, as_json: bool) -> None:
    """One stage: check the data and compute the features that are missing."""
    from overlap.features.compare import comparison_store

    comparison_store(config)
    from flows.cli.console import OUT, flow_shown, print_drift, print_json, print_next
    from flows.retrain import features as features_flow

    with flow_shown():
        report = features_flow(config)
    if as_json:
        print_json(report.model_dump())
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
    """One stage: train the members that are missing, on features that are complete."""
    _refuse_changed_data(config)
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
        f"{report.complete - len(report.trained)} were complete, in {config.workspace}",
        highlight=False,
    )
    if report.fewer:
        OUT.print(report.fewer, highlight=False)
    print_next("`overlap pool` with the same options averages, scores and publishes")


@run_command(app)
def pool(config: RunConfig, as_json: bool) -> None:
    """One stage: average, score and publish members that are complete."""
    _refuse_changed_data(config)
    from flows.cli.console import flow_shown, predict_next, print_ensemble
    from flows.retrain import pool as pool_flow

    with flow_shown():
        record, promotion = pool_flow(config)
    print_ensemble(config.workspace, record, promotion, as_json=as_json)
    if not as_json:
        predict_next(config.workspace)


def _refuse_changed_data(config: RunConfig) -> None:
    """A stage on its own works on complete features of the data as it is now."""
    from overlap.catalog import list_data
    from overlap.workspace.pending import pending_work

    pending = pending_work(config, list_data(config.data))
    if pending.features:
        raise NotReadyError(
            f"{config.workspace}: {pending.clips} clips are new or changed and {pending.blocks} "
            "blocks of features are missing; `overlap features` computes them"
        )


@app.command()
def predict(
    clips: Annotated[str, typer.Argument(help="Folder or URL with audio files.")],
    *,
    out: Annotated[str, typer.Option(help="CSV file to write.")],
    model: Annotated[
        str, typer.Option(help="champion, a version, or an ensemble's folder.")
    ] = "champion",
    workspace: Workspace = "workspace",
    cluster: Cluster = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Predict new clips with a published ensemble.

    The table has id, one column per word, and `spread`: how far the members are apart over that
    clip, the mean over members of KL(member || ensemble) in nats. A clip that cannot be used gets
    the mean prediction and an empty spread.
    """
    prepare(verbose=verbose)
    from flows.cli.console import OUT, flow_shown, look_next, print_json
    from overlap.catalog import list_clips
    from overlap.config import ClusterConfig
    from overlap.io.location import Location
    from overlap.promotion.champion import find_ensemble

    find_ensemble(Location.of(workspace), model)
    list_clips(clips)
    if Location.of(out).is_folder():
        raise UserError(f"--out {out}: is a folder; name a file in it, such as {out}/preds.csv")
    from flows.predict import predict as predict_flow

    with flow_shown():
        done = predict_flow(clips, out, model, workspace, ClusterConfig(address=cluster))
    if as_json:
        print_json(done.model_dump())
        return
    known = f", {done.clips - done.computed} of them before" if done.computed < done.clips else ""
    OUT.print(f"{done.clips} clips predicted{known}, in {out}", highlight=False, soft_wrap=True)
    if done.imputed:
        named = ", ".join(done.imputed[:5]) + (", …" if len(done.imputed) > 5 else "")
        OUT.print(
            f"{len(done.imputed)} of them cannot be used and got the mean prediction: {named}",
            highlight=False,
        )
    look_next(workspace, model)


workspace_commands.register(app)
models.register(app)
data_commands.register(app)
show.register(app)
bench.register(app)
service.register(app)
