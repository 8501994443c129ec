"""Charts of the tables: interactive pages that need no network, with SVG and PNG beside."""
