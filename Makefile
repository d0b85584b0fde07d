# Two commands to know: `make verify WEIGHT=25` and `make test`. Each installs what it needs, and no more.
#
# `make verify` ends with 0 for a match and with make's own 2 for everything else; the verdict's own
# code (README) is that of `trafficsplit verify`. Works with GNU make from 3.81 on, and any POSIX shell.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

# What `make verify` asks; everything else by ARGS="--tolerance 1 --alpha 0.001".
WEIGHT ?=
HOST ?=
ARGS ?=
JOBS ?= auto
PYTEST = $(BIN)/python -m pytest -n $(JOBS)
FAST = -m 'not slow and not lab' --ignore=tests/end_to_end --ignore=tests/istio --ignore=tests/notebooks \
  --ignore=tests/test_package.py --ignore=tests/test_readme.py --ignore=tests/test_image.py
RUNS ?= 10000

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev verify verify-routes verify-nodeport rollout rollback promote test test-fast \
  lab lab-down istio lint coverage simulate plan notebook pictures bench package clean lock

help: ## This list
	@echo "make TARGET [NAME=VALUE ...]"
	@sed -n -E 's/^([a-z-]+):.*## (.*)/\1|\2/p' Makefile | awk -F'|' '{printf "  %-15s %s\n", $$1, $$2}'

verify: $(VENV)/.run ## Does the gateway split as configured? WEIGHT=25 [HOST=http://...] [ARGS=...]
	@$(BIN)/trafficsplit verify $(if $(WEIGHT),--weight '$(WEIGHT)') $(if $(HOST)$(filter command,$(origin HOST)),--host '$(HOST)') $(ARGS)

rollout: $(VENV)/.run ## Set the lab's weights, wait until they are in force, verify: WEIGHT=40
	@$(BIN)/trafficsplit rollout --steps '$(WEIGHT)' --hold $(ARGS)

rollback: ## The same with 100/0: green is never shown
	@$(MAKE) --no-print-directory rollout WEIGHT=0

promote: ## The same with 0/100: only green
	@$(MAKE) --no-print-directory rollout WEIGHT=100

verify-routes: lab ## The lab's routes by header and by cookie: with it only green, without it never
	@set -e; verify="$(BIN)/trafficsplit verify --host $$($(BIN)/trafficsplit lab url) $(ARGS)"; set -x; \
	  $$verify --path /header --header 'want-color: green' --weight 100; \
	  $$verify --path /header --weight 0; \
	  $$verify --path /cookie --header 'Cookie: a=1; my-color=green; b=2' --weight 100; \
	  $$verify --path /cookie --header 'Cookie: my-color=greenish' --weight 0; \
	  $$verify --path /cookie --weight 0

verify-nodeport: lab ## Without Istio: the NodePort splits by replicas, 50/50, connection by connection
	@$(BIN)/trafficsplit verify --host $$($(BIN)/trafficsplit lab url color-service-np) --weight 50 \
	  --unit session $(ARGS)

lab: $(VENV)/.run ## Start the lab in the background: a real Envoy in front of real Color processes
	@$(BIN)/trafficsplit lab up

lab-down: $(VENV)/.run ## Stop it
	@$(BIN)/trafficsplit lab down

istio: $(VENV)/.dev ## Build what tests on the real Istio need, once: Go and a quarter of an hour
	@$(BIN)/trafficsplit lab build --all

plan: $(VENV)/.run ## How many requests a question needs: WEIGHT=25 [ARGS="--tolerance 1"]
	@$(BIN)/trafficsplit plan $(if $(WEIGHT),--weight '$(WEIGHT)') $(ARGS)

test: $(VENV)/.dev ## All tests, the real lab among them
	@$(PYTEST) $(ARGS)

test-fast: $(VENV)/.dev ## The tests that need no gateway: under a minute
	@$(PYTEST) $(FAST) --hypothesis-profile=fast $(ARGS)

lint: $(VENV)/.dev ## ruff, mypy strict, import-linter, codespell, lizard
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/codespell
	@$(BIN)/validate-pyproject pyproject.toml

coverage: $(VENV)/.dev ## Which lines the fast tests run: reports/coverage/
	@$(PYTEST) $(FAST) \
	  --cov=trafficsplit --cov-report=term:skip-covered --cov-report=html:reports/coverage $(ARGS)

simulate: $(VENV)/.dev ## The error rates that we claim, on simulated gateways (half an hour)
	@$(BIN)/python -m benchmarks.simulate $(RUNS) > benchmarks/results/simulate.txt
	@cat benchmarks/results/simulate.txt

notebook: $(VENV)/.dev ## Execute the notebooks: HTML in reports/notebooks/
	@$(BIN)/jupyter nbconvert --to html --execute --output-dir reports/notebooks notebooks/*.ipynb

pictures: $(VENV)/.dev ## The pictures of README and docs, from real runs (needs Chromium)
	@$(BIN)/python -m benchmarks.pictures

bench: $(VENV)/.dev ## Every figure that the documents quote
	@$(BIN)/python -m benchmarks

package: $(VENV)/.dev ## Wheel and sdist, in dist/
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation --outdir dist . > /dev/null
	@ls dist

clean: ## Remove what was built, and stop the lab
	@[ ! -x $(BIN)/trafficsplit ] || $(BIN)/trafficsplit lab down
	rm -rf $(VENV) .lab build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup: $(VENV)/.run ## Only install what verifies

setup-dev: $(VENV)/.dev ## Only install what develops, too

$(VENV)/.run: requirements.lock pyproject.toml install.sh
	@sh install.sh '$(PYTHON)' '$(VENV)' requirements.lock

$(VENV)/.dev: requirements-dev.lock requirements.lock pyproject.toml install.sh
	@sh install.sh '$(PYTHON)' '$(VENV)' requirements-dev.lock
	@touch $(VENV)/.run

lock: ## Renew the lock files from pyproject.toml (needs uv)
	uv pip compile $(LOCK) --upgrade --extra lab -o requirements.lock
	uv pip compile $(LOCK) --upgrade --constraint requirements.lock --all-extras --group dev -o requirements-dev.lock
	uv pip compile $(LOCK) --constraint requirements-dev.lock --extra gate --extra cluster --extra record -o requirements-image.lock

LOCK = pyproject.toml --group build --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-header --no-annotate --no-emit-package trafficsplit --quiet
