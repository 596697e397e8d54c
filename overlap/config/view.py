"""Configuration of the links to the web page of a workspace."""

from pydantic import Field, field_validator

from overlap.config.base import Address, ConfigModel


class ViewConfig(ConfigModel):
    """Links in Prefect's artifacts."""

    url: Address | None = Field(
        None,
        description="Address at which `overlap view` shows the workspace, such as "
        "http://127.0.0.1:4300. Prefect's artifacts then link to its pages; none: to files.",
    )

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError("give an address that begins with http:// or https://")
        return url
