"""A server as one writes it first: FastAPI, and a call of every network per request.

It decodes the clip, computes its features with the kernel of the service, calls every member as a
network of Keras, and returns their mean. Requests run in FastAPI's threads.
"""

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np

from overlap.audio.clips import decode_content
from overlap.errors import AudioError
from overlap.features.compute import compute_features, warm_up
from overlap.io.location import Location
from overlap.prediction.jobs import members_of
from overlap.promotion.champion import find_ensemble
from overlap.system.child_process import child_reporter

if TYPE_CHECKING:  # a dependency of Prefect; nothing else here needs it
    from fastapi import FastAPI

CALLED, COMPILED = "model(x)", "predict_on_batch"
"""How a network is called: layer by layer, or as one compiled function."""
HOST: Final = "127.0.0.1"


def create_naive(workspace: Location, call: str) -> "FastAPI":
    """Create the application for the champion of a workspace.

    Args:
        workspace: The workspace.
        call: How the networks are called.
    """
    from fastapi import Body, FastAPI, HTTPException

    from overlap.training.device import prepare_device
    from overlap.training.saved import load_networks

    owner, record = find_ensemble(workspace, "champion")
    members = members_of(owner, record)
    features = members[0].spec.features
    warm_up(features)
    prepare_device()
    networks: list[Callable[[Any], Any]] = load_networks(owner, members)
    if call == COMPILED:
        networks = [network.predict_on_batch for network in networks]  # type: ignore[attr-defined]
    app = FastAPI()

    @app.post("/v1/predict")
    def predict(
        content: Annotated[bytes, Body(media_type="application/octet-stream")],
    ) -> dict[str, Any]:
        try:
            clip = decode_content(content, features.clip_format)
        except AudioError as error:
            raise HTTPException(422, str(error)) from None
        decibels = compute_features(clip.samples[None], features)
        predicted = [np.asarray(network(decibels)) for network in networks]
        mean = np.mean(predicted, axis=0)[0].tolist()
        probabilities = dict(zip(record.words, mean, strict=True))
        return {"version": record.version, "clips": [{"probabilities": probabilities}]}

    return app


def serve(workspace: Location, call: str) -> None:
    """Serve the champion of a workspace on a free port of loopback, which is reported first."""
    import uvicorn

    with child_reporter() as emit, socket.create_server((HOST, 0)) as opened:
        app = create_naive(workspace, call)
        emit({"url": f"http://{HOST}:{opened.getsockname()[1]}"})
        config = uvicorn.Config(app, log_level="warning")
        asyncio.run(uvicorn.Server(config).serve(sockets=[opened]))


if __name__ == "__main__":
    serve(Location.of(sys.argv[1]), sys.argv[2])
