# Every target sets up .venv by itself and is quick when nothing changed. PYTHON must be 3.11 or later.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: help install demo studies report test simulate lint format schema clean

PYTHON ?= python3
CORES ?= $(shell nproc)
CONFIG ?= config/config.yaml
export PATH := $(CURDIR)/.venv/bin:$(PATH)
READY := .venv/ready
# The demo and the small studies are made for a CPU: a job per core would crowd one GPU.
demo studies: export CUDA_VISIBLE_DEVICES :=
WORKFLOW := snakemake --snakefile Snakefile --cores $(CORES) --configfile $(CONFIG)

help:  ## say what there is
	@grep -hE '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

install: $(READY)  ## create .venv with the pinned packages

# torch goes first: with its exact version named, pip takes the build that this machine is set up for, and nothing
# that depends on torch can pull in another one.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("sparsebench needs Python 3.11 or later; name one: make PYTHON=python3.12 ...")'
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --constraint constraints.txt "$$(grep '^torch==' constraints.txt)"
	.venv/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,slurm]'
	@touch $@

demo: $(READY)  ## run the demo study on this machine and write results/report.html
	$(WORKFLOW)
	$(WORKFLOW) --report results/report.html
	@echo "$(CURDIR)/results/report.html is ready: open it in a browser, no network needed"

studies: $(READY)  ## run the small forms of the six studies; reports in studies/NAME/report.html
	for file in config/nano/*.yaml; do \
	  name=$$(basename $$file .yaml); mkdir -p studies/$$name; ln -sfn $(CURDIR)/resources studies/$$name/resources; \
	  run="snakemake --snakefile Snakefile --cores $(CORES) --configfile $$file --directory studies/$$name"; \
	  $$run; $$run --report report.html; \
	done

report: $(READY)  ## write results/report.html anew from the results there are
	$(WORKFLOW) --report results/report.html

# A file's tests stay together, as they share what is dear to set up; the longest files come first (tests/conftest.py).
# One process more than cores: that with the SLURM tests mostly waits.
test: $(READY)  ## run all tests
	OMP_NUM_THREADS=1 python -m pytest --numprocesses $$(( $(CORES) + 1 )) --maxprocesses 8 --dist loadfile --no-loadscope-reorder

simulate: $(READY)  ## run the simulations of the statistics with all rounds
	SPARSEBENCH_FULL_SIMULATIONS=1 python -m pytest tests/stats

lint: $(READY)  ## check style, types and the workflow
	ruff format --check .
	ruff check .
	mypy
	snakefmt --check Snakefile workflow
	snakemake --lint

format: $(READY)  ## put the code into the project's style
	ruff format .
	ruff check --fix .
	snakefmt Snakefile workflow

schema: $(READY)  ## write the config's JSON schema, what docs/tables.md and docs/methods.md list, and the conda environment
	sparsebench schema > workflow/schemas/config.schema.json.partial
	mv workflow/schemas/config.schema.json.partial workflow/schemas/config.schema.json
	{ sed '/^## Columns$$/q' docs/tables.md; sparsebench columns; } > docs/tables.md.partial
	mv docs/tables.md.partial docs/tables.md
	{ sed '/^## All methods$$/q' docs/methods.md; sparsebench methods --page; } > docs/methods.md.partial
	mv docs/methods.md.partial docs/methods.md
	{ sed '/- pip:$$/q' workflow/envs/sparsebench.yaml; grep -v '^#' constraints.txt | sed 's/^/      - /'; } \
	  > workflow/envs/sparsebench.yaml.partial
	mv workflow/envs/sparsebench.yaml.partial workflow/envs/sparsebench.yaml

clean:  ## remove the virtual environment and caches; results stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
