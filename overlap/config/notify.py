"""Configuration of the messages that a run sends: where to, and from which limits on."""

import re
from typing import Final, Literal

from pydantic import Field, SecretStr, field_serializer, field_validator

from overlap.config.base import ConfigModel
from overlap.errors import ConfigError
from overlap.redaction import HIDDEN, remember_secret

BY_VARIABLE: Final = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")
"""Names the environment variable that contains the address."""
MASKS: Final = ("**********", HIDDEN)
"""Values in place of the address in stored configurations."""


class NotifyConfig(ConfigModel):
    """Messages about the outcome of a run, sent by the run itself; no Prefect server is needed."""

    webhook: SecretStr | None = Field(
        None,
        json_schema_extra={"pattern": f"^{BY_VARIABLE.pattern}$"},
        description="Receives a message when a run fails, publishes an ensemble, or finds drift or "
        "unusable clips: env:NAME, the environment variable that contains the address; on the "
        "command line and in files also the address itself. none: no messages.",
    )
    format: Literal["slack", "json"] = Field(
        "slack",
        description="Content of a message. slack: the text alone, as Slack, Mattermost and similar "
        "services expect it; json: also the event and its figures.",
    )
    drift_above: float | None = Field(
        0.2,
        ge=0,
        description="Drift (shift) of test from training clips, or from the data set to compare "
        "with, above which a message is sent, standard deviations; none: no message.",
    )
    unusable_above: float | None = Field(
        0.0,
        ge=0,
        le=1,
        description="Fraction of unusable clips above which a message is sent; none: no message.",
    )

    @field_validator("webhook", mode="before")
    @classmethod
    def _webhook(cls, value: object) -> object:
        """Accept an address or the name of a variable; a masked address of a record is none."""
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not isinstance(text, str):
            return value
        if text in MASKS:
            return None
        if not BY_VARIABLE.fullmatch(text):
            if not re.fullmatch(r"https?://[^\s/]+\S*", text):
                raise ConfigError(
                    "is neither an address that begins with https:// or http:// nor env:NAME, the "
                    "name of an environment variable that contains one",
                    code="invalid-webhook",
                )
            remember_secret(text)
        return text

    @field_serializer("webhook", when_used="json")
    def _masked(self, value: SecretStr | None) -> str | None:
        return None if value is None else shown_webhook(value)

    @property
    def variable(self) -> str | None:
        """Name of the environment variable that contains the address; None: none is named."""
        named = self.webhook and BY_VARIABLE.fullmatch(self.webhook.get_secret_value())
        return named[1] if named else None


def shown_webhook(value: SecretStr) -> str:
    """Return the name of a variable as it is, and a mask for an address."""
    text = value.get_secret_value()
    return text if BY_VARIABLE.fullmatch(text) else HIDDEN
