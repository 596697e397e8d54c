"""Logs an ensemble to MLflow: `python -m overlap.tracking.mlflow_log RECORD EXPERIMENT models`.

The run of the ensemble contains one nested run per member. A version that was logged completely is
not logged again. The address of the server and the credentials are those of MLflow's variables.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np

from overlap.ensemble.registry import EnsembleRecord, load_ensemble
from overlap.errors import OverlapError
from overlap.io.location import Location
from overlap.io.workspace_paths import MODEL_FILE, EnsemblePaths, MemberPaths, WorkspacePaths
from overlap.promotion.champion import read_aliases
from overlap.system.child_process import child_main
from overlap.tracking.contents import Entry, ensemble_entry, member_entry
from overlap.tracking.request import ENVIRONMENT
from overlap.training.inference.graph import OUTPUT, UnsupportedNetworkError, build_graph
from overlap.training.spec import MemberRecord, read_member_file, records_of
from overlap.training.trusted import check_trusted

BATCH: Final = 100
"""Parameters and metrics of one request; MLflow accepts 100 parameters and 1,000 metrics."""
LONGEST: Final = 5000
"""Characters of a parameter or tag; MLflow accepts more of some kinds."""
PROBABILITIES: Final = "probabilities"


def log_ensemble(location: Location, experiment: str, *, models: bool) -> dict[str, Any]:
    """Log an ensemble and its members.

    Args:
        location: Record of the ensemble.
        experiment: Name of the experiment; created where it does not exist.
        models: Whether the members' networks are logged.

    Returns:
        `run`, the id of the ensemble's run; `logged`, whether this call has logged it.
    """
    from mlflow.tracking import MlflowClient

    record = load_ensemble(location)
    workspace = EnsemblePaths.of_record(location).workspace
    client = MlflowClient()
    found = client.get_experiment_by_name(experiment)
    identifier = found.experiment_id if found else client.create_experiment(experiment)
    complete = f"tags.`overlap.version` = '{record.version}' and attributes.status = 'FINISHED'"
    for run in client.search_runs([identifier], complete, max_results=1):
        return {"run": run.info.run_id, "logged": False}
    members = records_of(workspace, record.members)
    entry = ensemble_entry(record, read_aliases(workspace).decision(record.version))
    with started(client, identifier, entry, record) as parent:
        with tempfile.TemporaryDirectory() as folder:
            _write_files(workspace, record, members, Path(folder))
            client.log_artifacts(parent, folder)
        for number, member in enumerate(members, 1):
            nested = member_entry(member, number)
            nested.tags["mlflow.parentRunId"] = parent
            with started(client, identifier, nested, record) as run:
                _log_member_files(client, run, workspace, member, models=models)
    return {"run": parent, "logged": True}


@contextmanager
def started(client: Any, experiment: str, entry: Entry, record: EnsembleRecord) -> Iterator[str]:  # noqa: ANN401  MLflow publishes no types
    """Create a run with its values; it ends as FINISHED, or as FAILED after an error.

    Args:
        client: Client of MLflow.
        experiment: Id of the experiment.
        entry: The values.
        record: The ensemble, whose time is that of the metrics.

    Yields:
        The id of the run.
    """
    from mlflow.entities import Metric, Param

    tags = {name: value[:LONGEST] for name, value in entry.tags.items()}
    tags |= {"mlflow.source.name": "overlap", "mlflow.source.type": "JOB"}
    run = client.create_run(experiment, run_name=entry.name, tags=tags).info.run_id
    try:
        at = int(record.created.timestamp() * 1000)
        metrics = [Metric(p.name, p.value, at, p.step) for p in entry.points]
        parameters = [Param(name, text[:LONGEST]) for name, text in entry.parameters.items()]
        for begin in range(0, max(len(metrics), len(parameters)), BATCH):
            part = slice(begin, begin + BATCH)
            client.log_batch(run, metrics=metrics[part], params=parameters[part])
        yield run
    except BaseException:
        client.set_terminated(run, "FAILED")
        raise
    client.set_terminated(run, "FINISHED")


def _write_files(
    workspace: Location, record: EnsembleRecord, members: list[MemberRecord], folder: Path
) -> None:
    """Write report, submission, record and curves of an ensemble into a folder."""
    from overlap.reporting.plots.encoding import png
    from overlap.reporting.plots.run import draw_growth, draw_training

    paths = WorkspacePaths(workspace).ensemble(record.version)
    for file in (paths.record, paths.report, paths.submission):
        if file.exists():
            (folder / file.name).write_bytes(file.read_bytes())
    curves = folder / "curves"
    curves.mkdir()
    (curves / "training.png").write_bytes(png(draw_training(members)))
    if (growth := draw_growth(record)) is not None:
        (curves / "members.png").write_bytes(png(growth))


def _log_member_files(
    client: Any,  # noqa: ANN401  MLflow publishes no types
    run: str,
    workspace: Location,
    member: MemberRecord,
    *,
    models: bool,
) -> None:
    folder = member.folder(workspace)
    with tempfile.TemporaryDirectory() as name:
        log = MemberPaths(folder).log
        if log.exists():
            (Path(name) / log.name).write_bytes(log.read_bytes())
        if models:
            _save_model(folder, member, Path(name) / "model")
        client.log_artifacts(run, name)


def _save_model(folder: Location, member: MemberRecord, target: Path) -> None:
    """Write a member's network as a model of MLflow; nothing where it has no ONNX graph."""
    import mlflow.onnx
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    saved = read_member_file(folder, member, MODEL_FILE)
    check_trusted(saved, str(folder / MODEL_FILE))
    try:
        graph = build_graph(saved)
    except UnsupportedNetworkError:
        return
    model = onnx.load_from_string(graph.content)
    if graph.subset is None:
        _add_softmax(model)
    (output,) = model.graph.output
    features, words = member.spec.features, member.spec.words
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype(np.float16), (-1, *features.shape), "decibels")]),
        Schema([TensorSpec(np.dtype(np.float32), (-1, len(words)), output.name)]),
    )
    mlflow.onnx.save_model(
        model,
        str(target),
        signature=signature,
        pip_requirements=[f"{name}=={version(name)}" for name in ("onnx", "onnxruntime")],
        save_as_external_data=False,
        metadata={"words": [*words], "subset": graph.subset, "member": member.fingerprint},
    )


def _add_softmax(model: Any) -> None:  # noqa: ANN401  onnx publishes no types
    """Let a graph end in probabilities instead of scores."""
    from onnx import helper

    (output,) = model.graph.output
    model.graph.node.append(helper.make_node("Softmax", [OUTPUT], [PROBABILITIES], axis=-1))
    output.name = PROBABILITIES


def main() -> int:
    """Log the ensemble named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("record", type=Location.of)
    parser.add_argument("experiment")
    parser.add_argument("models", choices=("models", "no-models"))
    arguments = parser.parse_args()
    os.environ.update(ENVIRONMENT)

    def work(emit: Any) -> None:  # noqa: ANN401  the function that reports
        from mlflow.exceptions import MlflowException

        try:
            models = arguments.models == "models"
            emit(log_ensemble(arguments.record, arguments.experiment, models=models))
        except MlflowException as error:
            raise OverlapError(f"MLflow: {error.message}", code="mlflow-refuses") from error

    return child_main(work)


if __name__ == "__main__":
    sys.exit(main())
