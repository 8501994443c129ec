#!/usr/bin/env bash
# Runs inside the new environment; the workflow says where its sources are.
set -euo pipefail
pip install --no-deps --editable "${SPARSEBENCH_SOURCE:?run this through snakemake, which sets it}"
