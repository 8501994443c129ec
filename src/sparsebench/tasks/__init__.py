"""Long-context tasks, one a file; :mod:`sparsebench.tasks.registry` finds them by folder."""
