# Every target sets itself up. PYTHON is the interpreter the environment is made from: make test PYTHON=python3.12
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH := torch==2.13.0
# Machine code for two architectures, and PTX for the rest: enough to develop and test. `make cuda` and `make wheel`
# compile for all-major.
CUDA_ARCHS ?= 75;90
# Tests run in two processes of one thread: most of them are made of steps too small to share. The tests of threads
# ask for theirs.
WORKERS ?= 2

PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint $(VENV)/constraints.txt
BUILD_TOOLS := cmake ninja pybind11 scikit-build-core
EDITABLE := --no-build-isolation --config-settings=build-dir=build/editable \
	--config-settings='cmake.define.CMAKE_CUDA_ARCHITECTURES=$(CUDA_ARCHS)'
WERROR := --config-settings=cmake.define.SARCORE_WERROR=ON
PYTEST := --doctest-modules --doctest-glob="*.md" --benchmark-disable python_tests bench/bench_*.py sarcore docs README.md
CSRC := $(shell find csrc -name '*.h' -o -name '*.cuh' -o -name '*.cpp' -o -name '*.cu')
BUILD_INPUT := pyproject.toml CMakeLists.txt $(CSRC)

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint format build bench gpu cuda wheel clean

help:  ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1	\2/p' Makefile | expand -t 18

demo: $(VENV)/run.stamp  ## simulate a small SAR data set and run the whole experiment in miniature
	$(BIN)/sarcore demo

test: lint  ## all checks and all tests but the slow ones; the benchmarks compare their results and time nothing
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m "not slow" $(PYTEST)

test-all: lint  ## the slow tests too, and many random examples that `make test` does not draw
	OMP_NUM_THREADS=1 HYPOTHESIS_PROFILE=search $(BIN)/python -m pytest -n $(WORKERS) $(PYTEST)

lint: $(VENV)/dev.stamp  ## ruff, mypy, clang-format, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict sarcore
	$(BIN)/clang-format --dry-run -Werror $(CSRC)
	$(BIN)/lint-imports

format: $(VENV)/dev.stamp  ## rewrite the sources in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CSRC)

build: $(VENV)/torch.stamp  ## recompile after a change under csrc/, in an environment that is there
	$(PIP) $(EDITABLE) $(WERROR) --no-deps --editable .

bench: $(VENV)/dev.stamp  ## time the operators and the training against their peers on this machine
	$(BIN)/python bench/run.py --out bench/results
	$(BIN)/python bench/bench_train.py --out bench/results
	$(BIN)/python bench/bench_translate.py --out bench/results
	$(BIN)/python -m pytest bench/bench_*.py --benchmark-only --benchmark-group-by=group

gpu: export PATH := $(PATH):/usr/local/cuda/bin
gpu:  ## on a machine with an NVIDIA GPU: build in place without network, CUDA tests, benchmarks
	$(PYTHON) tools/check_gpu.py
	$(PYTHON) -m pip install --quiet --no-deps --no-build-isolation --config-settings=build-dir=build/gpu \
		--config-settings=cmake.define.SARCORE_CUDA=ON \
		--config-settings=cmake.define.CMAKE_CUDA_ARCHITECTURES=native --editable .
	$(PYTHON) -m pytest -m cuda python_tests
	$(PYTHON) bench/run.py --out bench/results
	$(PYTHON) bench/bench_train.py --out bench/results
	$(PYTHON) bench/bench_translate.py --out bench/results

cuda: $(VENV)/dev.stamp  ## compile the CUDA code for all-major with warnings as errors
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --config-settings=build-dir=build/cuda \
		--config-settings=cmake.define.SARCORE_CUDA=ON $(WERROR) --wheel-dir build/cuda-wheel .

wheel: $(VENV)/dev.stamp  ## a repaired and smoke-tested wheel for each CPython found, in wheelhouse/
	tools/wheels.sh $(BIN)

clean:  ## remove what was built; .venv stays
	rm -rf build dist wheelhouse .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks

# --- the environment: torch first and alone, then the package; a stamp for each state it can be in
$(VENV)/torch.stamp:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("sarcore needs Python 3.10 or newer and this is " \
		+ sys.version.split()[0] + ": call make with PYTHON=<path of a newer one>.")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip --disable-pip-version-check install --quiet --upgrade pip
	echo "$(TORCH)" > $(VENV)/constraints.txt
	$(PIP) $(TORCH)
	touch $@

$(VENV)/run.stamp: $(VENV)/torch.stamp $(BUILD_INPUT)
	$(PIP) $(BUILD_TOOLS)
	$(PIP) $(EDITABLE) --editable '.[all]'
	touch $@

$(VENV)/dev.stamp: $(VENV)/torch.stamp $(BUILD_INPUT)
	$(PIP) $(BUILD_TOOLS)
	$(PIP) $(EDITABLE) $(WERROR) --editable '.[all,dev]'
	touch $(VENV)/run.stamp $@
