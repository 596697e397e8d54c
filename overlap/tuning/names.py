"""Names of Optuna's study and of the attributes of its trials, as a journal stores them."""

from typing import Final

STUDY: Final = "overlap"
"""Name of the study within its journal."""
MEMBER: Final = "member"
"""Attribute of a trial: the fingerprint of its member."""
REPEATS: Final = "repeats"
"""Attribute of a trial: the number of an earlier trial with the same settings."""
REASON: Final = "reason"
"""Attribute of a trial: why it ended early."""
