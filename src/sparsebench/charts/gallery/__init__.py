"""One chart a file: ``TITLE``, ``CAPTION``, ``ORDER`` (place in the report) and ``build(tables)``."""
