"""What a student learns from: the members of an ensemble, and the weight of the labels."""

from typing import Annotated

from pydantic import Field

from overlap.io.records import Record


class Distillation(Record):
    """The part of a member's specification that makes it a student of an ensemble."""

    members: tuple[str, ...]
    """Fingerprints of the ensemble's members, whose mean prediction is the target."""
    networks: tuple[str, ...]
    """SHA-256 of the network of each member: a member that was trained again is another teacher."""
    label_weight: Annotated[float, Field(ge=0, le=1)]
    """Weight of the labels in the target; the rest is the weight of the mean prediction."""
    start: str | None = None
    """Member whose weights the student begins with; None: it begins with random weights."""
