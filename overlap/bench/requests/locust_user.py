"""The user that `locust` simulates: it sends the clip again as soon as it has an answer."""

import os
from pathlib import Path

import gevent
from locust import FastHttpUser, task

from overlap.bench.requests.clients import AUDIO, CLIP_VARIABLE, PREDICT, REQUEST_SECONDS


class Sender(FastHttpUser):
    """Sends the clip in a loop."""

    clip = Path(os.environ.get(CLIP_VARIABLE, os.devnull)).read_bytes()
    connection_timeout = network_timeout = REQUEST_SECONDS

    @task
    def predict(self) -> None:
        """Send the clip once."""
        self.client.post(PREDICT, data=self.clip, headers={"content-type": AUDIO})


# The duration of a test counts from the last turn of the event loop, which imports delay.
gevent.get_hub().loop.update_now()
