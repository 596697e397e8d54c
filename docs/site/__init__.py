"""Build of the documentation site: generated pages, links and lists."""
