"""Storage: addresses, files and folders on a disk or an object store, records, locks."""
