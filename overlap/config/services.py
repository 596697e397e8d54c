"""Configuration of what shows or records a run besides Prefect: the web page, and MLflow."""

from pydantic import Field, field_validator

from overlap.config.base import Address, ConfigModel


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


class ViewConfig(ConfigModel):
    """Links in Prefect's artifacts and in messages."""

    url: Address | None = Field(
        None,
        description="Address at which `overlap view` shows the workspace, such as "
        "http://127.0.0.1:4300. Artifacts and messages then link to its pages; none: to files.",
    )

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError("give an address that begins with http:// or https://")
        return url
