"""The object that the stages of a run share: the run lock, the catalogue and the feature store.

Only the process that holds the run lock writes catalogue and features, so both stay in memory
while it is held; the stage that changes one says so (`save_catalog`, `features_changed`). Members,
ensembles and the champion also change without the lock (training processes, `overlap models
promote`), so they are read from the files every time.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final, Self

from overlap.catalog import Catalog, Listing, list_data
from overlap.catalog.withdrawn import read_withdrawn, without_withdrawn
from overlap.config import FeatureConfig, RunConfig
from overlap.config.features import LabelTableFormat
from overlap.ensemble.members import Members, MemberTracker, load_members
from overlap.ensemble.registry import EnsembleRecord, list_ensembles
from overlap.errors import UserError
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.io.locks import holds_run_lock, run_lock
from overlap.io.workspace_paths import WorkspacePaths
from overlap.promotion.champion import Aliases, read_aliases
from overlap.workspace.transfer.places import check_whole

_NOT_READ: Final = "not read"
"""Version of a catalogue that has not been read."""


class Workspace:
    """A workspace: the folder that contains all results of the runs over one data set.

    Nested flows receive only the address of a workspace, because parameters of a Prefect flow are
    stored as JSON. Within a block of `shared` or `lock`, `of` returns the object of that block for
    its address; otherwise, and in the other threads of the process, it returns a new object.

    Args:
        location: The folder; it need not exist.

    Attributes:
        location: The folder.
        paths: Addresses of its files.
        run_started: `time.perf_counter` at the beginning of a run of all stages; None outside one.
    """

    def __init__(self, location: Location) -> None:
        self.location, self.paths = location, WorkspacePaths(location)
        self.run_started: float | None = None
        self._catalog: Catalog | None = None
        self._catalog_version: str | None = _NOT_READ
        self._store: FeatureStore | None = None
        self._listings: dict[tuple[Location, LabelTableFormat], Listing] = {}

    @classmethod
    def of(cls, address: "str | os.PathLike[str] | Location") -> "Workspace":
        """Return the workspace at an address: the shared object, if any.

        Raises:
            UserError: the address is not valid.
        """
        location = Location.of(address)
        return _shared.get().get(location) or cls(location)

    def __str__(self) -> str:
        return str(self.location)

    @contextmanager
    def shared(self) -> Iterator[Self]:
        """Let `of` return this object within the block; reentrant."""
        before = _shared.get()
        if self.location in before:
            yield self
            return
        _shared.set({**before, self.location: self})
        try:
            yield self
        finally:
            _shared.set({place: one for place, one in _shared.get().items() if one is not self})

    @contextmanager
    def lock(
        self, *, wait: bool = False, on_wait: Callable[[str], None] = lambda _message: None
    ) -> Iterator[bool]:
        """Hold the run lock of the workspace; reentrant within a run.

        The object is `shared` within the block.

        Args:
            wait: Whether to wait for another run.
            on_wait: Receives one message before a wait.

        Yields:
            Whether another run may have changed the workspace since this object read it. The
            caller must then repeat what it has derived from it. Always false in a nested block.

        Raises:
            WorkspaceLockedError: another run holds the lock, and `wait` is false.
            StorageError: the workspace cannot be written.
        """
        if holds_run_lock(self.location):
            yield False
            return
        waited = False

        def waits(message: str) -> None:
            nonlocal waited
            waited = True
            on_wait(message)

        with self.shared(), run_lock(self.location, wait=wait, on_wait=waits):
            read = self._catalog_version
            changed = waited or (read != _NOT_READ and read != self._stored_version())
            if changed:
                self.reload()
            yield changed

    def check_usable(self) -> None:
        """Raise an error if no run can write here; writes nothing.

        Raises:
            UserError: this is a file (`workspace-is-file`), or in an archive
                (`read-only-archive`), an incomplete copy (`incomplete-copy`), or being removed
                after a move (`workspace-moved`).
        """
        self.location.check_writable()
        check_whole(self.location)
        if self.location.exists() and not self.location.is_folder():
            raise UserError(
                f"{self}: is a file; name a folder as the workspace",
                code="workspace-is-file",
                workspace=str(self),
            )

    def reload(self) -> None:
        """Discard what was read, so that the next access reads the files again."""
        self._catalog, self._catalog_version, self._store = None, _NOT_READ, None
        self._listings.clear()

    def list_data(self, config: RunConfig) -> Listing:
        """The listing of a run's data (`overlap.catalog.list_data`) without withdrawn clips.

        It is made once for each folder and format of the labels.
        """
        key = Location.of(config.data), config.checks.label_format
        if key not in self._listings:
            withdrawn = read_withdrawn(self.location)
            self._listings[key] = without_withdrawn(list_data(*key), withdrawn)
        return self._listings[key]

    def find_catalog(self) -> Catalog | None:
        """The catalogue, read once; None where there is none."""
        if self._catalog is None:
            self._catalog_version = self._stored_version()
            if self._catalog_version is not None:
                self._catalog = Catalog.load(self.location)
        return self._catalog

    @property
    def catalog(self) -> Catalog:
        """As `find_catalog`, but a missing catalogue is a `NotReadyError`."""
        found = self.find_catalog()
        return Catalog.load(self.location) if found is None else found

    def save_catalog(self, catalog: Catalog) -> None:
        """Replace the catalogue, and the opened store with it: its rows may differ.

        A file that contains the same catalogue already stays: writing takes most of a second on a
        disk, and a run with nothing to do changes no file.
        """
        if (
            self._catalog is not None
            and self._catalog_version == self._stored_version()
            and self._catalog.equals(catalog)
            and self.paths.quarantine.exists()
        ):
            return
        catalog.save(self.location)
        self._catalog, self._catalog_version = catalog, self._stored_version()
        self._store = None

    def _stored_version(self) -> str | None:
        """Changes with the file of the catalogue; None where there is none."""
        if not self.location.is_folder():
            return None
        name = self.paths.catalog.name
        return next((file.version for file in self.location.files() if file.name == name), None)

    def find_store(self, features: FeatureConfig) -> FeatureStore | None:
        """The feature store, opened once for reading; None where there is none.

        Raises:
            UserError: it holds features of another configuration.
        """
        if self._store is None or self._store.config != features:
            self._store = FeatureStore.find(self.location, features)
        return self._store

    @property
    def store(self) -> FeatureStore:
        """The feature store, whatever its configuration, opened once for reading.

        Raises:
            NotReadyError: there is none.
        """
        if self._store is None:
            self._store = FeatureStore.open(self.location)
        return self._store

    def features_changed(self) -> None:
        """Discard the opened store, so that the next access opens it again."""
        self._store = None

    def members(self, config: RunConfig) -> Members:
        """The progress of the members of a run, read now; needs catalogue and store."""
        return load_members(self.location, config, self.catalog, self.store)

    def track_members(self, config: RunConfig) -> MemberTracker:
        """The members of a run, to be followed while they are trained."""
        return MemberTracker(self.location, config, self.catalog, self.store)

    def ensembles(self) -> list[EnsembleRecord]:
        """The published ensembles, oldest first, read now."""
        return list_ensembles(self.location)

    def aliases(self) -> Aliases:
        """The champion and the history of decisions, read now."""
        return read_aliases(self.location)

    def champion(self) -> str | None:
        """Version of the champion, read now; None where there is none."""
        return self.aliases().version


_shared: ContextVar[Mapping[Location, Workspace]] = ContextVar(
    "overlap_shared_workspaces", default=MappingProxyType({})
)
"""The shared objects of the run to which the code belongs, by address."""
