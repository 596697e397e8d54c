"""Copies, backups and moves of a workspace that are consistent while a run works on it."""
