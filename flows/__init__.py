"""Prefect flows, the clusters they compute on, and the `overlap` command."""

from overlap.redaction import hide_in_logs

hide_in_logs()  # here: a flow is also run by Prefect, which imports its module and no command line
