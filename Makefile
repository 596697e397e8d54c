# Two commands on a fresh machine with Python 3.11-3.13 and make:  make run   make test

PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11 python,$(shell \
	$(p) -c 'import sys; (3,11) <= sys.version_info[:2] < (3,14) and print("$(p)")' 2>/dev/null)))
VENV := .venv
BIN := $(VENV)/bin
# uv of the machine if it has one, else the one installed into .venv from PyPI.
UV := $(or $(shell command -v uv 2>/dev/null),$(BIN)/uv)
READY := $(VENV)/.ready

DEMO := demo
DATA ?=
WORKSPACE ?= workspace
PRESET ?= demo

.PHONY: setup run test test-e2e test-nightly test-faults test-image test-backend test-minimum lint docs format lock \
	audit bench clean help

help:
	@echo "make run              demo: makes a data set and runs the whole service on it"
	@echo "make run DATA=folder  runs it on your data (PRESET=demo|baseline|fast WORKSPACE=folder)"
	@echo "make test             the test suite; make test-e2e: the commands of README and tutorial"
	@echo "make test-nightly     what make test leaves out: hours"
	@echo "make test-faults      kills and broken storage by the hundred (SEED=1 KILLS=100)"
	@echo "make test-image       builds the image of docker/ and runs the service in it (podman, root)"
	@echo "make test-backend     networks and training on another Keras backend (BACKEND=jax)"
	@echo "make test-minimum     unit tests with the oldest versions that pyproject.toml allows"
	@echo "make docs             the documentation as a site: build/site/index.html"
	@echo "make audit            looks for known weaknesses in the packages (asks PyPI)"
	@echo "make lint bench lock setup clean"

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; name it with PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	command -v $(UV) >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

run: setup
ifeq ($(DATA),)
	@$(BIN)/overlap demo "$(DEMO)"
else
	@$(BIN)/overlap run --data "$(DATA)" --preset "$(PRESET)" --workspace "$(WORKSPACE)"
endif

# Two workers of pytest-xdist; each file runs on one of them, the slow files first (testpaths).
# Bytecode of this project is written also where the environment forbids it, because the tests start
# hundreds of processes.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
TWO := -n 2 --dist loadfile --no-loadscope-reorder
LONG := -o faulthandler_timeout=900

test: setup
	$(PYTEST) $(TWO) --durations=20 -m "not nightly and not faults"

# The commands of a user with their real sizes: those of the tutorial and the README, with the demo.
test-e2e: setup
	$(PYTEST) $(LONG) -m "not nightly" tests/e2e

# Every test that `make test` and `make test-e2e` leave out. Benchmarks and trainings of real sizes run
# alone. OVERLAP_SKIP_NOTHING=1 makes a failure of what is missing on the machine.
test-nightly: setup
	$(PYTEST) $(LONG) -m nightly tests/e2e
	$(PYTEST) $(LONG) $(TWO) -m "nightly and not faults"
	$(MAKE) test-faults
	$(MAKE) test-minimum
	$(MAKE) test-backend

# The long part of tests/faults; the quick one is in `make test`. What was injected and what came of it
# is written to build/faults/, from where docs/reliability.md has its tables.
SEED ?= 1
KILLS ?= 100
test-faults: setup
	OVERLAP_SEED=$(SEED) OVERLAP_KILLS=$(KILLS) $(PYTEST) -o faulthandler_timeout=0 \
		-m faults tests/faults

# The same tests of networks and training on another backend; its package must be installed.
BACKEND ?= jax
test-backend: setup
	KERAS_BACKEND=$(BACKEND) $(PYTEST) $(TWO) tests/unit/test_network.py \
		tests/unit/test_learner.py tests/unit/test_subset.py tests/unit/test_augment.py \
		tests/unit/test_export.py

# Whether the floors in pyproject.toml are true: each direct dependency at its oldest allowed version,
# in an environment of its own. What an old package says of a newer one that it uses is no fault here.
MINIMUM := .venv-minimum
EXTRAS := --extra synth --extra s3 --extra jax --extra onnx --extra docker --extra kubernetes --extra docs --extra dev
test-minimum: setup
	mkdir -p build
	$(UV) pip compile --quiet --resolution lowest-direct --python $(BIN)/python $(EXTRAS) \
		--no-header --no-annotate pyproject.toml --output-file build/minimum.txt
	test -x $(MINIMUM)/bin/python || $(UV) venv --quiet --python $(BIN)/python $(MINIMUM)
	$(UV) pip sync --quiet --python $(MINIMUM)/bin/python build/minimum.txt
	$(UV) pip install --quiet --python $(MINIMUM)/bin/python --no-deps --no-build-isolation --editable .
	$(MINIMUM)/bin/python -m pytest -n 2 --dist loadfile -m "not slow" -W default::DeprecationWarning \
		-W default::FutureWarning tests/unit

# Builds the image and runs the service in it, where podman and buildah are: 4 to 14 minutes. Options for
# the build, such as secrets, go into BUILD_OPTIONS; what else is needed: tests/e2e/test_image.py.
test-image: setup
	TEST_IMAGE=1 $(BIN)/python -m pytest -s -o faulthandler_timeout=0 tests/e2e/test_image.py

lint: setup
	$(BIN)/hadolint docker/Dockerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/unit/test_layers_of_code.py

# Without network. A dead link, a page that nobody finds or a wrong docstring ends it; not with --quiet,
# which hides warnings from --strict too.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Renews the exact versions. The files name no download address. docker/*.lock have what an image has
# beyond requirements.lock, in versions that fit it.
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade --no-header
BEYOND = --constraints requirements.lock \
	$$(sed -n 's/^\([A-Za-z0-9._-]*\)==.*/--no-emit-package \1/p' requirements.lock)
lock: setup
	$(COMPILE) $(EXTRAS) pyproject.toml --output-file requirements.lock
	sed -n "s/^tensorflow==\([^ ]*\).*/tensorflow-cpu==\1 ; platform_machine == 'x86_64'/p" \
		requirements.lock > $(VENV)/cpu.in
	sed -n "s/^tensorflow==\([^ ]*\).*/tensorflow==\1 ; platform_machine != 'x86_64'/p" \
		requirements.lock > docker/cpu-overrides.txt
	$(COMPILE) $(BEYOND) --no-annotate $(VENV)/cpu.in --output-file $(VENV)/cpu.lock
	$(COMPILE) $(BEYOND) --extra gpu pyproject.toml --output-file $(VENV)/gpu.lock
	sed '/^$$/,$$d' $(VENV)/cpu.lock > docker/cpu.lock    # without the list of what was left out
	sed '/^$$/,$$d' $(VENV)/gpu.lock > docker/gpu.lock

# Known weaknesses of what is installed; asks PyPI, and fails where that cannot answer. Its own tool: it
# would be forty packages more in .venv.
AUDIT = $(UV) tool run --from 'pip-audit>=2.9,<3' pip-audit --strict --disable-pip --require-hashes
audit: setup
	$(AUDIT) --requirement requirements.lock
	$(AUDIT) --requirement docker/cpu.lock
	$(AUDIT) --requirement docker/gpu.lock

bench: setup
	$(BIN)/overlap bench features

clean:
	rm -rf $(VENV) $(MINIMUM) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
