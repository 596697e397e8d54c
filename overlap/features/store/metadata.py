"""Metadata of a feature store: where it is, the format version and the attributes of its group."""

from collections.abc import Mapping
from typing import Any, cast

from overlap.config import FeatureConfig, StoreConfig, fingerprint
from overlap.features.store.corruption import RECREATE_HINT, corruption_errors
from overlap.features.store.layout import SPLITS, create_arrays
from overlap.io.location import Location
from overlap.io.records import check_format
from overlap.io.storage_errors import storage_errors
from overlap.io.zarr_import import zarr
from overlap.system.provenance import git_revision, software

FORMAT = 2


def format_version(location: Location) -> object:
    """Return the format version of a complete store, or None if there is no such store.

    Raises:
        NewerFormatError: A later release wrote the store in a format unknown to this one.
        CorruptError: The metadata is damaged.
    """
    metadata = location / "zarr.json"
    if not metadata.exists():
        return None
    with corruption_errors(str(metadata), RECREATE_HINT):
        attributes = metadata.read_json()["attributes"]
        found = attributes.get("format")
        if isinstance(found, int):
            writer = attributes.get("software", {}).get("overlap")
            check_format(found, FORMAT, str(location), writer)
        return found


def zarr_store(location: Location, *, read_only: bool = False) -> zarr.abc.store.Store:
    """Return a folder as a Zarr store."""
    location.check_writable()
    if location.local is not None:
        return zarr.storage.LocalStore(location.local, read_only=read_only)
    return zarr.storage.FsspecStore.from_url(location.url, read_only=read_only)


def create_group(location: Location, config: FeatureConfig, store: StoreConfig) -> zarr.Group:
    """Create the group and the empty arrays of a store."""
    attributes: dict[str, Any] = {
        "features": config.model_dump(mode="json"),
        "block_clips": store.block_clips,
        "units": "dB relative to 1.0 (power)",
        "splits": list(SPLITS),
        "software": software(),
        "git_revision": git_revision(),
    }
    with storage_errors(location):
        group = zarr.open_group(
            zarr_store(location),
            mode="w",
            zarr_format=3,
            attributes={**attributes, "seal": attributes_checksum(attributes)},
        )
        create_arrays(group, config, store)
        group.attrs["format"] = FORMAT  # last: a store without it is incomplete
    return group


def read_attributes(location: Location, group: zarr.Group) -> tuple[FeatureConfig, int]:
    """Read the configuration of the features and the rows per block.

    Raises:
        CorruptError: The attributes are damaged.
    """
    with corruption_errors(f"{location}/zarr.json", RECREATE_HINT):
        attributes = group.attrs.asdict()
        checksum = attributes_checksum(attributes)
        if attributes.get("seal", checksum) != checksum:
            raise ValueError("its attributes do not match their checksum")
        config = FeatureConfig.from_stored(cast("dict[str, Any]", attributes["features"]))
        return config, int(str(attributes["block_clips"]))


def attributes_checksum(attributes: Mapping[str, Any]) -> str:
    """Return the checksum of the attributes that define a store.

    JSON alone does not detect a flipped bit that leaves valid attributes.
    """
    return fingerprint(attributes["features"], attributes["block_clips"])
