"""Ids, files, labels and splits of a data set: joined, checked and kept on stable rows."""

from overlap.catalog.build import CatalogReport, build_catalog
from overlap.catalog.catalog import Catalog, previous_catalog
from overlap.catalog.folds import Partition, partition
from overlap.catalog.listing import Listing, Split, list_clips, list_data

__all__ = [
    "Catalog",
    "CatalogReport",
    "Listing",
    "Partition",
    "Split",
    "build_catalog",
    "list_clips",
    "list_data",
    "partition",
    "previous_catalog",
]
