# Each target is complete in itself: it sets up the environment if need be and then does its work.
#
# Which environment?
#   * `make PYTHON=/path/to/python ...`: that one, if it has PyTorch;
#   * else the active one (virtualenv or conda), if it has PyTorch. Its PyTorch is kept;
#   * else `.venv`, made from PYTHON (or python3), with torch==2.13.0. TORCH=... names another.
# The original OpenMMLab line (LINE=openmmlab) lives in `.venv-openmmlab`, since both lines own the same module names; an
# active environment is not used for it.
#
# The first run downloads everything and, where pip finds no mmcv wheel, compiles mmcv's operators (about ten minutes on
# two cores). PIP_FIND_LINKS and the other variables of pip work as usual. A stamp in the environment lets later runs
# start at once; it is renewed when the requirements change.

LINE ?= onedl
VENV ?= .venv$(if $(filter openmmlab,$(LINE)),-openmmlab)
REQUIREMENTS := requirements$(if $(filter openmmlab,$(LINE)),-openmmlab).txt

PYTHON_GIVEN := $(if $(filter-out undefined default,$(origin PYTHON)),$(PYTHON))
ifneq ($(PYTHON_GIVEN),)
CANDIDATE := $(PYTHON_GIVEN)
else ifeq ($(LINE),onedl)
CANDIDATE := $(addsuffix /bin/python,$(firstword $(VIRTUAL_ENV) $(CONDA_PREFIX)))
endif
HAS_TORCH := $(if $(CANDIDATE),$(shell $(CANDIDATE) -c \
    'import importlib.util; print("yes" if importlib.util.find_spec("torch") else "no")' 2>/dev/null))

ifeq ($(HAS_TORCH),yes)
ENV_PYTHON := $(shell $(CANDIDATE) -c 'import sys; print(sys.executable)')
ENV_DIR := $(shell $(CANDIDATE) -c 'import sys; print(sys.prefix)')
else
ENV_PYTHON := $(VENV)/bin/python
ENV_DIR := $(VENV)
endif
# Two processes of one thread each; the tests of a file stay together, since they share what is slow to make.
JOBS ?= 2
PYTEST = OMP_NUM_THREADS=1 $(ENV_PYTHON) -m pytest -n $(JOBS) --dist loadfile
# One stamp a checkout: in an environment shared by two of them, the editable install is of the last.
STAMP := $(ENV_DIR)/.mmkd-ready$(subst /,-,$(CURDIR))

.DEFAULT_GOAL := help
.PHONY: help setup demo gates test test-quick test-openmmlab lint format docs

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo 'Variables: PYTHON=, LINE=onedl|openmmlab, VENV=, TORCH=, JOBS=, ARGS= (given on to pytest or the demo)'

setup: $(STAMP)  ## set up the environment and nothing more

demo: $(STAMP)  ## train a student alone and with its teacher, evaluate and draw, on real images; see work_dirs/demo
	$(ENV_PYTHON) projects/nuclei_example/demo.py $(ARGS)

test: $(STAMP)  ## run the whole test suite
	$(PYTEST) $(ARGS)

test-quick: $(STAMP)  ## run the tests that take less than three minutes together
	$(PYTEST) -m 'not slow' $(ARGS)

gates: $(STAMP)  ## run configs/_gates_ and see that each scores what it must, and that distillation still pays (ten minutes)
	OMP_NUM_THREADS=1 $(ENV_PYTHON) -m pytest -rA --capture=sys tests/test_gates.py $(ARGS)

test-openmmlab:  ## run the whole test suite on the original OpenMMLab line
	@$(MAKE) --no-print-directory test LINE=openmmlab

lint: $(STAMP)  ## check style and formatting
	$(ENV_PYTHON) -m ruff check .
	$(ENV_PYTHON) -m ruff format --check .

docs: $(STAMP)  ## build the site into build/site, with warnings as errors
	$(ENV_PYTHON) -m mkdocs build

format: $(STAMP)  ## mend style and formatting
	$(ENV_PYTHON) -m ruff check --fix .
	$(ENV_PYTHON) -m ruff format .

$(STAMP): $(REQUIREMENTS) setup.py tools/install.sh | $(ENV_PYTHON)
	tools/install.sh $(ENV_PYTHON) $(LINE)
	@rm -f $(ENV_DIR)/.mmkd-ready*
	@touch $@

$(VENV)/bin/python:
	@$(or $(PYTHON_GIVEN),python3) -c 'import sys; assert sys.version_info >= (3, 10)' || { \
	    echo 'mmkd needs Python 3.10 or newer: make PYTHON=/path/to/python ...' >&2; exit 1; }
	@echo 'Making the environment $(VENV)'
	@$(or $(PYTHON_GIVEN),python3) -m venv $(VENV) || { \
	    rm -rf $(VENV); echo 'No venv: on Debian and Ubuntu, apt install python3-venv' >&2; exit 1; }
