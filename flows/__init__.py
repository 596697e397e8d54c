"""Prefect flows, the clusters they compute on, and the `overlap` command."""

from overlap.redaction import hide_in_logs
from overlap.system.import_path import protect_children, working_directory_last

# Here, because Prefect imports the module of a flow without the command line.
hide_in_logs()
working_directory_last()
protect_children((__name__, "tasks"))
