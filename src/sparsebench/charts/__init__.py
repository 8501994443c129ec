"""Charts from the tables. One chart a file in ``gallery``; a new file there is a new chart."""
