"""Search over settings: the space, the study and its trials, and the judgement of its result."""
