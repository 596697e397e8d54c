"""The command that searches settings."""
