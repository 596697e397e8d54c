"""Where this process and the processes that it starts import packages from.

Python itself puts the current folder first for `python -m` and `python -c`, so a file `keras.py` in
a folder of recordings would run. And an earlier entry of PYTHONPATH may have a package of the name
of one that is installed next to `overlap`. Everything that overlap starts gets its environment from
`child_environment`.

The module runs before the path is clean: at its start it imports only what Python has loaded.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import PathFinder

SAFE_PATH = "PYTHONSAFEPATH"
"""Variable that keeps Python from importing from the current folder; Python 3.11 and newer."""
SEARCHED = "PYTHONPATH"
NUMBA_SETTINGS = ".numba_config.yaml"
"""Numba reads a file of this name in the current folder, even of another user, and fails if it is
damaged. It may disable compilation or reduce the precision of the features."""
FLOW_RUN = "PREFECT__FLOW_RUN_ID"
"""Variable that Prefect sets in the process of a flow run."""
OWN_FOLDER = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
"""The folder that contains the package `overlap`: of a clone, or of installed packages."""


def child_environment(
    environment: Mapping[str, str], packages: Sequence[str] = ("overlap",)
) -> dict[str, str]:
    """Return the environment of a process that imports nothing from its current folder.

    Args:
        environment: Environment of the parent process.
        packages: The packages that the process must find next to `overlap`.
    """
    # An empty entry, such as that of `PYTHONPATH=$PYTHONPATH:folder`, is the current folder.
    listed = [entry for entry in environment.get(SEARCHED, "").split(os.pathsep) if entry]
    # The folder of installed packages comes first only where it must: it may contain packages with
    # the name of a standard module.
    if not _of_installed_packages(OWN_FOLDER) or _first_foreign(listed, packages) is not None:
        listed = [OWN_FOLDER, *(entry for entry in listed if entry != OWN_FOLDER)]
    found = {name: value for name, value in environment.items() if name != SEARCHED}
    return found | {SAFE_PATH: "1"} | ({SEARCHED: os.pathsep.join(listed)} if listed else {})


def protect_children(packages: Sequence[str]) -> None:
    """Give every process that this one starts the environment of `child_environment`."""
    made = child_environment(os.environ, packages)
    os.environ.update(made)
    if SEARCHED not in made:
        os.environ.pop(SEARCHED, None)


def leave_current_folder() -> None:
    """Remove the current folder from this process's path, unless the user has listed it.

    Only for a process that runs a command of overlap.
    """
    try:
        current = os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        current = ""
    if _same(current, OWN_FOLDER):
        return
    variable = os.environ.get(SEARCHED, "")
    listed = variable.split(os.pathsep) if variable else []
    by_python = {"", current}
    if not sys.flags.safe_path and sys.path and sys.path[0] in by_python:
        del sys.path[0]
    if "" in listed and not {current, "."} & {*listed} and current in sys.path:
        sys.path.remove(current)


def own_packages_first(packages: Sequence[str]) -> None:
    """Make `import` find the packages next to `overlap`, in this process and in its children.

    Raises:
        UserError: a package of that name is loaded from elsewhere; code `foreign-package`.
    """
    first = _first_foreign(sys.path, packages)
    if first is not None:
        sys.path.insert(first, OWN_FOLDER)
    elif OWN_FOLDER not in sys.path:
        sys.path.append(OWN_FOLDER)
    protect_children(packages)
    for name in packages:
        loaded = sys.modules.get(name)
        if loaded is not None and (where := _folder_of(loaded)) != OWN_FOLDER:
            from overlap.errors import UserError

            raise UserError(
                f"the package `{name}` of {where or 'an unknown folder'} is loaded already, so "
                f"that `{name}` of overlap in {OWN_FOLDER} cannot be; start overlap in a process "
                f"that has not imported it, and remove it from sitecustomize and .pth files",
                code="foreign-package",
                package=name,
                folder=where,
            )


def working_directory_last() -> None:
    """In a flow run, search the working directory after all installed packages.

    Prefect's process worker puts it first on PYTHONPATH, and Prefect puts it first on `sys.path`
    while it imports a flow. A file `keras.py` there would be imported by the run and its children.

    Raises:
        UserError: a module of the working directory is loaded already; code `foreign-package`.
    """
    if FLOW_RUN not in os.environ:
        return
    folder = os.getcwd()  # noqa: PTH109
    if _same(folder, OWN_FOLDER):
        return
    for name, module in [*sys.modules.items()]:
        if "." in name or name == "__main__":
            continue
        if (where := _loaded_from(module)) and _same(where, folder):
            from overlap.errors import UserError

            raise UserError(
                f"the module `{name}` of the working directory {folder} is loaded in place of an "
                "installed one; remove it, or deploy from another folder",
                code="foreign-package",
                package=name,
                folder=folder,
            )
    ours = [entry for entry in sys.path if not _same(entry, folder)]
    # As often as before: Prefect removes the entry that it has added.
    sys.path[:] = ours + [folder] * (len(sys.path) - len(ours))
    listed = os.environ.get(SEARCHED, "").split(os.pathsep)
    kept = os.pathsep.join(entry for entry in listed if entry and not _same(entry, folder))
    if kept:
        os.environ[SEARCHED] = kept
    else:
        os.environ.pop(SEARCHED, None)


def skip_settings_file(file: str, module: str) -> None:
    """Import a module from elsewhere if the current folder has a settings file that it reads.

    Keras imports Matplotlib, for instance, which fails if a file `matplotlibrc` is not UTF-8.

    Args:
        file: Name of the settings file.
        module: The module that reads it when it is imported.
    """
    if not os.path.exists(file):  # noqa: PTH110
        return
    from contextlib import chdir
    from importlib import import_module

    with chdir(os.path.dirname(__file__)):  # noqa: PTH120
        import_module(module)


def skip_numba_settings() -> None:
    """Import Numba without its settings file; call it before librosa or Numba is imported."""
    skip_settings_file(NUMBA_SETTINGS, "numba")


def foreign_package(folder: str, packages: Sequence[str]) -> str | None:
    """Return which of the packages a folder has that is not OWN_FOLDER; None: it has none."""
    return next((name for name in packages if _first_foreign([folder], [name]) is not None), None)


def _folder_of(module: object) -> str:
    """Return the folder that contains a loaded module or package; empty if it has no files."""
    file = getattr(module, "__file__", None)
    places = [file] if file else [os.path.join(p, "") for p in getattr(module, "__path__", ())]  # noqa: PTH118
    if not places:
        return ""
    folder = os.path.dirname(os.path.abspath(places[0]))  # noqa: PTH100, PTH120
    if not file or hasattr(module, "__path__"):
        folder = os.path.dirname(folder)  # noqa: PTH120
    return OWN_FOLDER if _same(folder, OWN_FOLDER) else folder


def _loaded_from(module: object) -> str:
    """Return the folder that a module was found in, without loading a lazy one; empty: none."""
    try:
        spec = object.__getattribute__(module, "__dict__").get("__spec__")
    except AttributeError:  # something else in the place of a module
        return ""
    if not getattr(spec, "has_location", False):
        return ""
    folder = os.path.dirname(str(spec.origin))  # noqa: PTH120
    return folder if spec.submodule_search_locations is None else os.path.dirname(folder)  # noqa: PTH120


def _first_foreign(path: Sequence[str], packages: Sequence[str]) -> int | None:
    """Return the first entry before OWN_FOLDER that has one of the packages, or None."""
    for index, entry in enumerate(path):
        if _same(entry, OWN_FOLDER):
            return None
        for name in packages:
            found = PathFinder.find_spec(name, [entry])
            if found is not None and found.origin is not None:  # a folder without code has none
                return index
    return None


def _of_installed_packages(folder: str) -> bool:
    """Return whether Python itself searches a folder, after the standard library."""
    import site
    import sysconfig

    paths = sysconfig.get_paths()
    places = {paths["purelib"], paths["platlib"], *site.getsitepackages()}
    places.add(site.getusersitepackages())
    return any(_same(folder, place) for place in places)


def _same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
