"""The library behind the service: from clips of overlapping words to an averaged ensemble.

The library depends on neither Prefect nor Dask. The package exports the functions below for use in
notebooks. Each is imported on first use, so that `import overlap` is fast. TensorFlow is
imported only for an ensemble whose members have no inference graphs, or on an accelerator.

    features = overlap.extract_features("clips")      # a file, files, a folder, or samples
    ensemble = overlap.load_ensemble("workspace")     # the champion of a workspace
    table = ensemble.predict("clips")                 # a pandas.DataFrame
    overlap.score("labels.csv", table).kl             # nats
"""

from importlib import import_module

__version__ = "0.2.0"
"""Version of this code. The builder reads it here, so that a copy of the code that is not installed
knows its version too."""

TYPE_CHECKING = False
"""As in `typing`. `python -m overlap` imports this module while the current folder is on its path,
which may contain a file `typing.py`: only what Python has loaded already is imported here."""

if TYPE_CHECKING:
    from overlap.api.ensemble import Ensemble, load_ensemble
    from overlap.api.extract import extract_features
    from overlap.api.scoring import score
    from overlap.config import FeatureConfig
    from overlap.metrics.divergence import Score

__all__ = ["Ensemble", "FeatureConfig", "Score", "extract_features", "load_ensemble", "score"]

_MODULES = {
    "Ensemble": "overlap.api.ensemble",
    "FeatureConfig": "overlap.config",
    "Score": "overlap.metrics.divergence",
    "extract_features": "overlap.api.extract",
    "load_ensemble": "overlap.api.ensemble",
    "score": "overlap.api.scoring",
}
"""Module of each exported name."""


def __getattr__(name: str) -> object:
    """Import an exported name on first access (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the names for completion."""
    return sorted({*globals(), *__all__})
