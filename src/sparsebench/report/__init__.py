"""The report's first page: what was run, what was found, charts, tables, provenance, in one file."""
