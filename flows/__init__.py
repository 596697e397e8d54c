"""Prefect flows, the clusters they compute on, and the `overlap` command."""

from overlap.redaction import hide_in_logs

hide_in_logs()  # here, because Prefect imports the module of a flow without the command line
