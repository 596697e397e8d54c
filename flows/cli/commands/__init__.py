"""The commands of `overlap`: one module per group, each of which adds its commands with `register`.

Other packages and the library are imported within the commands: Prefect reads the settings of
`flows.service.environment` when it is imported, and `overlap --help` stays fast
(`tests/unit/test_imports.py`).
"""
