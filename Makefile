# demo, test, lint, bench: each first makes the environment it needs, once, and again when that changed.

PYTHON ?= python3
DEMO := .venv-demo
DEV := .venv
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PACKAGE := pyproject.toml constraints.txt README.md LICENSE $(shell find src -type f -not -name '*.pyc')

# $(1): the folder of the environment
define environment
@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("hime needs Python 3.11 or later, $(PYTHON) is %d.%d; say make PYTHON=/path/to/python3.11" % v[:2])'
$(PYTHON) -m venv $(1)
endef

.PHONY: help demo test lint bench clean

help:
	@echo 'make demo   restore the demo people with the light package (no PyTorch); writes demo/'
	@echo 'make test   the whole test suite'
	@echo 'make lint   ruff and mypy'
	@echo 'make bench  how fast the released model is on this machine'
	@echo 'make clean  remove the environments, demo/ and caches'

demo: $(DEMO)/.installed
	$(DEMO)/bin/hime demo --out demo

test: $(DEV)/.installed
	$(DEV)/bin/python -m pytest

lint: $(DEV)/.installed
	$(DEV)/bin/ruff check
	$(DEV)/bin/ruff format --check
	$(DEV)/bin/mypy --strict

bench: $(DEV)/.installed
	$(DEV)/bin/hime bench

# As a user gets it: built and installed, so from the sources as they are now.
$(DEMO)/.installed: $(PACKAGE)
	$(call environment,$(DEMO))
	$(DEMO)/bin/python $(PIP_INSTALL) .
	@touch $@

# Editable: changed sources need no new installation.
$(DEV)/.installed: pyproject.toml constraints.txt
	$(call environment,$(DEV))
	$(DEV)/bin/python $(PIP_INSTALL) --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(DEMO) $(DEV) demo dist .pytest_cache .hypothesis .mypy_cache .ruff_cache
