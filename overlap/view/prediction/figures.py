"""Figures of the predictions for Prometheus, in a registry of their own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from overlap.view.prediction.champion_holder import ChampionHolder

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
CLIPS = (1, 2, 4, 8, 16, 32, 64)


class PredictionFigures:
    """Counters and histograms of one server.

    Args:
        champion: The loaded champion, whose version is a figure.
    """

    def __init__(self, champion: ChampionHolder) -> None:
        self._champion, self._registry = champion, CollectorRegistry()
        self.requests = Counter(
            "overlap_predict_requests", "Requests by HTTP status.", ["status"],
            registry=self._registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "overlap_predict_seconds", "Time to answer a request, s.",
            buckets=SECONDS, registry=self._registry,
        )  # fmt: skip
        self.clips = Counter(
            "overlap_predict_clips", "Clips by outcome: predicted, or the code of the fault.",
            ["outcome"], registry=self._registry,
        )  # fmt: skip
        self.batches = Histogram(
            "overlap_predict_batch_clips", "Clips per batch.", buckets=CLIPS,
            registry=self._registry,
        )  # fmt: skip
        self.waiting = Gauge(
            "overlap_predict_waiting_clips", "Clips that wait for a batch.",
            registry=self._registry,
        )  # fmt: skip
        self._version = Gauge(
            "overlap_champion", "1 for the version that predicts.", ["version"],
            registry=self._registry,
        )  # fmt: skip

    def text(self) -> bytes:
        """Return all figures in Prometheus's text format."""
        self._version.clear()
        loaded = self._champion.loaded
        if loaded is not None:
            self._version.labels(version=loaded.record.version).set(1)
        return generate_latest(self._registry)
