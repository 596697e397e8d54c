"""Configuration of the records that a run leaves in experiment trackers."""

from pydantic import Field

from overlap.config.base import ConfigModel


class TrackingConfig(ConfigModel):
    """Records of published ensembles in a tracker of experiments. By default nothing is sent."""

    mlflow: bool = Field(
        False,
        description="Log a published ensemble and its members to the MLflow server at "
        "MLFLOW_TRACKING_URI; needs the extra mlflow.",
    )
    experiment: str = Field("overlap", min_length=1, description="Experiment in MLflow.")
    models: bool = Field(
        True, description="Also log each member's network, as an ONNX graph with its signature."
    )
