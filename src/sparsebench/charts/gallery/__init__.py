"""One chart a file, found by folder. Each has ``NAME``, ``TITLE``, ``CAPTION`` and ``build(tables)``."""
