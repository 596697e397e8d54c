"""The backend that all members of a run train with, as its training workers allow it."""

from distributed import Client

from flows.clusters.preflight import unfit_cluster
from overlap.training.backends.choice import AUTO, DEFAULT, select_backend
from tasks.workers import trainers


def backend_of_run(client: Client, address: str, wanted: str = AUTO) -> str:
    """Return the backend of a run: the choice of its training workers, or `DEFAULT` if they differ.

    Args:
        client: A client of the cluster.
        address: Address of the scheduler.
        wanted: Value of the setting `training.backend`.

    Raises:
        ClusterError: A training worker cannot use the backend, or not with its accelerator (code
            `cluster-unfit`; the field `faults` lists every worker).
    """
    chosen = _choices(client, address, wanted)
    if len(chosen) > 1:
        chosen = _choices(client, address, DEFAULT)
    return chosen.pop()


def _choices(client: Client, address: str, wanted: str) -> set[str]:
    answers = client.run(select_backend, wanted, workers=trainers(client), on_error="return")
    there = trainers(client)
    faults = [
        f"{worker}: {answer}"
        for worker, answer in sorted(answers.items())
        if not isinstance(answer, str) and worker in there  # otherwise it has ended
    ]
    if faults:
        raise unfit_cluster(address, faults)
    chosen = {answer for answer in answers.values() if isinstance(answer, str)}
    return chosen or {DEFAULT if wanted == AUTO else wanted}
