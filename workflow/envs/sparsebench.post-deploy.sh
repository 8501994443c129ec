# The package itself: from the clone that the workflow runs in, or from the folder that SPARSEBENCH names.
python -m pip install --no-deps "${SPARSEBENCH:-.}"
