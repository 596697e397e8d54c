"""The catalogue of a data set: ids, files, labels and splits, joined, checked, on stable rows."""

from typing import TYPE_CHECKING

from overlap.system.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from overlap.catalog.build import CatalogReport, build_catalog, clips_to_predict
    from overlap.catalog.catalog import Catalog, previous_catalog
    from overlap.catalog.folds import Partition, are_grouped, balanced_parts, partition
    from overlap.catalog.label_kinds import equal_shares
    from overlap.catalog.listing import Listing, list_clips, list_data
    from overlap.catalog.rows import ClipRows, Split, StoredRows, stored_rows
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "build": (
                "CatalogReport",
                "build_catalog",
                "clips_to_predict",
            ),
            "catalog": (
                "Catalog",
                "previous_catalog",
            ),
            "folds": (
                "Partition",
                "are_grouped",
                "balanced_parts",
                "partition",
            ),
            "label_kinds": ("equal_shares",),
            "listing": (
                "Listing",
                "list_clips",
                "list_data",
            ),
            "rows": (
                "ClipRows",
                "Split",
                "StoredRows",
                "stored_rows",
            ),
        },
    )

__all__ = [
    "Catalog",
    "CatalogReport",
    "ClipRows",
    "Listing",
    "Partition",
    "Split",
    "StoredRows",
    "are_grouped",
    "balanced_parts",
    "build_catalog",
    "clips_to_predict",
    "equal_shares",
    "list_clips",
    "list_data",
    "partition",
    "previous_catalog",
    "stored_rows",
]
