"""The report of a study of `overlap tune`."""
