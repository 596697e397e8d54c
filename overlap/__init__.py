"""The library behind the service: clips of overlapping words in, an averaged ensemble out.

No Prefect and no Dask in here: every function can be called from a notebook. For that, the package
itself has the names below; each is imported when it is first used, so that `import overlap` takes
no time, and TensorFlow is loaded with an ensemble and not before.

    features = overlap.extract_features("clips")      # a file, files, a folder, or samples
    ensemble = overlap.load_ensemble("workspace")     # the champion of a workspace
    table = ensemble.predict("clips")                 # a pandas.DataFrame
    overlap.score("labels.csv", table).kl             # nats
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from overlap.api.ensemble import Ensemble, load_ensemble
    from overlap.api.extract import extract_features
    from overlap.api.scoring import score
    from overlap.config import FeatureConfig
    from overlap.metrics.divergence import Score

__version__ = version("overlap")
__all__ = ["Ensemble", "FeatureConfig", "Score", "extract_features", "load_ensemble", "score"]

_HOME = {
    "Ensemble": "overlap.api.ensemble",
    "FeatureConfig": "overlap.config",
    "Score": "overlap.metrics.divergence",
    "extract_features": "overlap.api.extract",
    "load_ensemble": "overlap.api.ensemble",
    "score": "overlap.api.scoring",
}
"""Where each name is."""


def __getattr__(name: str) -> object:
    """A name of the package, imported when it is first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """What a person may complete."""
    return sorted({*globals(), *__all__})
