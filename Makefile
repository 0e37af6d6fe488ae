# demo, test, lint, bench: each first makes the environment it needs, once, and again when that changed.

PYTHON ?= python3
DEMO := .venv-demo
DEV := .venv
# What builds app and wheel: a tenth of the environment for development, or that one where it is made in any case.
BUILD := $(if $(wildcard $(DEV)/.installed)$(filter test bench-app sdist,$(MAKECMDGOALS)),$(DEV),.venv-build)
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
APP := src/hime/app
NODE_IS_NEW := node -e 'const [major, minor] = process.versions.node.split("."); process.exit(major > 20 || (major == 20 && minor >= 19) ? 0 : 1)'
PACKAGE := pyproject.toml constraints.txt README.md LICENSE LICENSE-WEIGHTS NOTICE $(shell find src -type f -not -name '*.pyc')

# $(1): the folder of the environment
define environment
@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("hime needs Python 3.11 or later, $(PYTHON) is %d.%d; say make PYTHON=/path/to/python3.11" % v[:2])'
$(PYTHON) -m venv $(1)
endef

.PHONY: help demo test lint results docs bench app bench-app wheel sdist image clean

help:
	@echo 'make demo   a photograph restored from other photos of its person (no PyTorch); writes demo/'
	@echo 'make test   the whole test suite'
	@echo 'make lint   ruff and mypy'
	@echo 'make results  fill docs/results.md and the tables of README.md with the figures in results/'
	@echo 'make docs   the site of docs/, into site/'
	@echo 'make bench  how fast the released model is on this machine'
	@echo 'make app    build the pages of `hime app` (needs Node.js 20.19 or later, with npm)'
	@echo 'make bench-app  how fast the app is in Chromium on this machine, and how much it loads'
	@echo 'make wheel  dist/hime_sr-….whl as it is published, with the pages of the app; make sdist: the sources'
	@echo 'make image  build the container image from the wheel and try it; without Docker its steps are followed'
	@echo 'make clean  remove the environments, demo/ and caches'

demo: $(DEMO)/.installed
	$(DEMO)/bin/hime demo --out demo

# The app's tests are skipped where it cannot be built or Chromium is missing: -rs says what is skipped and why.
test: $(DEV)/.installed $(shell command -v npm >/dev/null && $(NODE_IS_NEW) && echo app)
	OMP_NUM_THREADS=1 $(DEV)/bin/python -m pytest -rs -n auto --dist loadfile --ignore tests/app
	$(DEV)/bin/python -m pytest -rs tests/app  # by itself: a browser takes all cores

lint: $(DEV)/.installed
	$(DEV)/bin/ruff check
	$(DEV)/bin/ruff format --check
	$(DEV)/bin/mypy --strict

results: $(DEV)/.installed
	$(DEV)/bin/python results/render.py

docs: $(DEV)/.installed
	NO_MKDOCS_2_WARNING=1 $(DEV)/bin/mkdocs build --quiet  # the variable: no word of its successor

bench: $(DEV)/.installed
	$(DEV)/bin/hime bench

app: $(APP)/faces/yunet.onnx

bench-app: $(DEV)/.installed app
	$(DEV)/bin/python app/bench.py

# As published: one wheel, no older one beside it.
wheel: app
	rm -f dist/*.whl
	$(BUILD)/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

sdist: $(DEV)/.installed app
	rm -f dist/*.tar.gz
	$(DEV)/bin/python -m build --sdist --outdir dist

image: wheel
	.ci/image

$(APP)/faces/yunet.onnx: $(BUILD)/.installed app/node_modules/.installed $(shell find app -path app/node_modules -prune -o -type f -print)
	cd app && npm run build
	$(BUILD)/bin/python app/assets.py $(APP)

app/node_modules/.installed: app/package.json app/package-lock.json
	cd app && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

# As a user gets it: built and installed, so from the sources as they are now.
$(DEMO)/.installed: $(PACKAGE)
	$(call environment,$(DEMO))
	$(DEMO)/bin/python $(PIP_INSTALL) '.[faces]'
	@touch $@

# Editable: changed sources need no new installation.
$(DEV)/.installed: pyproject.toml constraints.txt
	$(call environment,$(DEV))
	$(DEV)/bin/python $(PIP_INSTALL) --editable '.[dev]'
	@touch $@

# What app/assets.py needs: the face networks, and onnx to rewrite one.
.venv-build/.installed: pyproject.toml constraints.txt
	$(call environment,.venv-build)
	.venv-build/bin/python $(PIP_INSTALL) --editable '.[faces]' onnx
	@touch $@

clean:
	rm -rf $(DEMO) $(DEV) .venv-build app/node_modules $(APP) demo site dist .pytest_cache .hypothesis .mypy_cache .ruff_cache
