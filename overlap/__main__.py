"""The `overlap` command: the console script, and `python -m overlap`.

The command line is in `flows`, beside the flows that Prefect starts. `flows` and `tasks` are also
names of folders that many users of Prefect have. So this module, the only one of the library that
knows these packages, makes Python find those of this installation before it imports them.
"""

import sys

PACKAGES = ("flows", "tasks")
"""Packages that are installed next to `overlap`."""


def main() -> None:
    """Run the command line."""
    from overlap.system.import_path import leave_current_folder, own_packages_first

    leave_current_folder()
    from overlap.errors import UserError

    try:
        own_packages_first(PACKAGES)
    except UserError as error:
        sys.stderr.write(f"error: {error} [{error.code}]\n")
        sys.exit(2)
    from flows.cli.quick_exit import quick_exit

    with quick_exit():
        from flows.cli.main import main as command_line

        command_line()


if __name__ == "__main__":
    main()
