# A fresh machine needs only make and Python 3.11-3.13:  make run   make test

PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11 python,$(shell \
	$(p) -c 'import sys; (3,11) <= sys.version_info[:2] < (3,14) and print("$(p)")' 2>/dev/null)))
VENV := .venv
BIN := $(VENV)/bin
# The machine's uv if it has one, otherwise the one that is installed into .venv from PyPI.
UV := $(or $(shell command -v uv 2>/dev/null),$(BIN)/uv)
READY := $(VENV)/.ready

DEMO := demo
DATA ?=
WORKSPACE ?= workspace
PRESET ?= demo

.PHONY: setup run test test-extended test-field test-e2e test-nightly test-faults test-image test-backend test-minimum \
	gpu-budget bench-gpu wheel lint docs reference format lock audit bench clean help

help:
	@echo "make run              demo: makes a data set and runs the whole service on it"
	@echo "make run DATA=folder  runs it on your data (PRESET=demo|baseline|fast|wide WORKSPACE=folder)"
	@echo "make test             the test suite; make test-extended: longer tests of processes"
	@echo "make test-field       situations of real machines and files (docs/reliability.md)"
	@echo "make test-e2e         the commands of README and tutorial"
	@echo "make test-nightly     what make test leaves out: hours"
	@echo "make test-faults      hundreds of kills and storage faults (SEED=1 KILLS=100)"
	@echo "make test-image       builds the image of docker/ and runs the service in it (podman, root)"
	@echo "make test-backend     networks and training on another Keras backend (BACKEND=jax)"
	@echo "make test-minimum     unit tests with the oldest versions that pyproject.toml allows"
	@echo "make bench-gpu        measures training on a GPU in eight parts, within ten minutes"
	@echo "make gpu-budget       counts what training does on a GPU, in the program compiled for one; needs none"
	@echo "make wheel            builds the distribution that installs without a clone: dist/*.whl"
	@echo "make docs             the documentation as a site: build/site/index.html"
	@echo "make reference        regenerates the pages of commands and settings and the drawing of the layers"
	@echo "make audit            checks the packages for known vulnerabilities (asks PyPI)"
	@echo "make lint bench lock setup clean"

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; name it with PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	command -v $(UV) >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	$(UV) pip uninstall --quiet --python $(BIN)/python overlap 2>/dev/null || true   # its former name
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
PATIENT := OVERLAP_TEST_SECONDS=840

test: setup
	$(PYTEST) $(TWO) --durations=20 -m "not extended and not nightly and not faults"

# The process tests for which `make test` has no time; .ci/run runs them too.
test-extended: setup
	$(PYTEST) $(TWO) --durations=20 -m "extended and not nightly and not faults" \
		tests/integration tests/service tests/faults tests/property tests/unit tests/field

# The commands of a user with their real sizes: those of the tutorial and the README, with the demo.
test-e2e: setup
	$(PYTEST) $(LONG) -m "not nightly" tests/e2e

# Situations of real machines and real files that need processes; docs/reliability.md lists them.
test-field: setup
	$(PYTEST) $(TWO) --durations=10 -m "not nightly" tests/field

# Every test that .ci/run does not run. Benchmarks and trainings of real sizes run
# alone. OVERLAP_SKIP_NOTHING=1 makes a failure of what is missing on the machine.
test-nightly: setup
	$(MAKE) test-field
	$(MAKE) test-e2e
	$(PATIENT) $(PYTEST) $(LONG) -m nightly tests/e2e
	$(PATIENT) $(PYTEST) $(LONG) $(TWO) -m "nightly and not faults"
	$(MAKE) test-faults
	$(MAKE) test-minimum
	$(MAKE) test-backend
	$(MAKE) gpu-budget

# The long part of tests/faults; `make test` contains the quick part. The tests write the injected faults
# and their outcomes to build/faults/, the source of the tables in docs/reliability.md.
SEED ?= 1
KILLS ?= 100
test-faults: setup
	OVERLAP_SEED=$(SEED) OVERLAP_KILLS=$(KILLS) $(PYTEST) -o faulthandler_timeout=0 \
		-m faults tests/faults

# The tests of networks and training on another backend, whose package must be installed.
BACKEND ?= jax
test-backend: setup
	KERAS_BACKEND=$(BACKEND) $(PYTEST) $(TWO) tests/unit/test_network.py \
		tests/unit/test_learner.py tests/unit/test_subset.py tests/unit/test_augment.py \
		tests/unit/test_export.py tests/unit/test_resident.py tests/unit/test_fused_network.py \
		tests/unit/test_optimizers.py \
		tests/integration/test_member.py::test_a_killed_training_ends_where_an_undisturbed_one_ends

# Tests the lower bounds in pyproject.toml: each direct dependency at its oldest allowed version, in a
# separate environment. Deprecation warnings between old and new packages are not errors here.
MINIMUM := .venv-minimum
EXTRAS := --extra synth --extra tune --extra s3 --extra jax --extra onnx --extra docker --extra kubernetes --extra docs --extra dev
test-minimum: setup
	mkdir -p build
	$(UV) pip compile --quiet --resolution lowest-direct --python $(BIN)/python $(EXTRAS) \
		--no-header --no-annotate pyproject.toml --output-file build/minimum.txt
	test -x $(MINIMUM)/bin/python || $(UV) venv --quiet --python $(BIN)/python $(MINIMUM)
	$(UV) pip sync --quiet --python $(MINIMUM)/bin/python build/minimum.txt
	$(UV) pip install --quiet --python $(MINIMUM)/bin/python --no-deps --no-build-isolation --editable .
	$(MINIMUM)/bin/python -m pytest -n 2 --dist loadfile -m "not nightly" -W default::DeprecationWarning \
		-W default::FutureWarning tests/unit

# Measures training on this machine's GPU. BENCH_PYTHON=python3 uses another environment; it needs JAX, Keras
# and the packages that docs/benchmarks.md lists, but neither TensorFlow nor Prefect.
BENCH_PYTHON ?= $(BIN)/python
bench-gpu:
	$(BENCH_PYTHON) -m overlap.bench.accelerator --out accelerator.json

# Compiles the program that trains for a GPU that this machine need not have, and compares what it does with
# the limits of overlap/bench/gpu_budget/budget.toml. The compiler for GPUs is in a separate environment.
GPU := .venv-gpu-budget
gpu-budget: $(GPU)/.ready
	$(GPU)/bin/python -m overlap.bench.gpu_budget

$(GPU)/.ready: requirements.lock requirements-gpu-budget.lock pyproject.toml | setup
	test -x $(GPU)/bin/python || $(UV) venv --quiet --python $(BIN)/python $(GPU)
	$(UV) pip install --quiet --python $(GPU)/bin/python --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python $(GPU)/bin/python --require-hashes --no-deps \
		-r requirements-gpu-budget.lock
	$(UV) pip install --quiet --python $(GPU)/bin/python --no-deps --no-build-isolation --editable .
	@touch $@

# Builds the image and runs the service in it; needs podman and buildah, and 4 to 14 minutes. BUILD_OPTIONS
# contains options of the build, such as secrets; tests/e2e/test_image.py lists further requirements.
test-image: setup
	TEST_IMAGE=1 $(BIN)/python -m pytest -s -o faulthandler_timeout=0 tests/e2e/test_image.py

lint: setup
	$(BIN)/hadolint docker/Dockerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/unit/test_layers_of_code.py

# A wheel that installs with any installer, and needs no clone: dist/overlap_ensemble-*.whl
wheel: setup
	$(UV) build --quiet --wheel --no-build-isolation --python $(BIN)/python --out-dir dist
	@ls dist/*.whl

# Needs no network. A dead link, an unlinked page or an invalid docstring fails the build. Do not add
# --quiet, which hides warnings from --strict too.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# The generated parts of the documentation; tests fail when they are not current.
reference: setup
	$(BIN)/python -m docs.site.write_reference
	PYTHONPATH=tests:. $(BIN)/python -m support.layer_drawing
	PYTHONPATH=tests:. $(BIN)/python -m support.trials

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Updates the exact versions. The files contain no download addresses. docker/*.lock contain the packages
# of an image that are not in requirements.lock, in compatible versions. requirements-gpu-budget.lock
# contains one version of JAX for every version of Python, because counts depend on the compiler.
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
	for extra in gpu gpu-jax; do \
		$(COMPILE) $(BEYOND) --extra $$extra pyproject.toml --output-file $(VENV)/$$extra.lock || exit; done
	sed -n '/^jax==/{s/^jax==\([^ ]*\).*/\1/p;q}' requirements.lock | xargs -I{} printf '%s=={}\n' \
		jax jaxlib jax-cuda12-plugin jax-cuda12-pjrt > $(VENV)/gpu-budget.in
	# The assembler, and what the plugin looks for when it is imported.
	printf 'nvidia-cuda-%s-cu12<13\n' nvcc runtime >> $(VENV)/gpu-budget.in
	$(UV) pip compile --quiet --python-version 3.11 --python-platform linux --generate-hashes --upgrade \
		--no-header --no-annotate --no-deps $(VENV)/gpu-budget.in \
		--output-file requirements-gpu-budget.lock
	sed '/^$$/,$$d' $(VENV)/cpu.lock > docker/cpu.lock    # without the list of omitted packages
	sed '/^$$/,$$d' $(VENV)/gpu.lock > docker/gpu.lock
	sed '/^$$/,$$d' $(VENV)/gpu-jax.lock > docker/gpu-jax.lock

# Known vulnerabilities of the locked packages; asks PyPI, and fails if PyPI does not answer. pip-audit runs
# as a separate tool, because it would add forty packages to .venv.
AUDIT = $(UV) tool run --from 'pip-audit>=2.9,<3' pip-audit --strict --disable-pip --require-hashes
audit: setup
	$(AUDIT) --requirement requirements.lock
	$(AUDIT) --requirement docker/cpu.lock
	$(AUDIT) --requirement docker/gpu.lock

bench: setup
	$(BIN)/overlap bench features

clean:
	rm -rf $(VENV) $(MINIMUM) $(GPU) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
