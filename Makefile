# Parley's commands. `make help` lists them. Needs make, git and Python 3.11 or newer, no more.

# Words for `parley up`, for example: make run ARGS="--port 9000"
ARGS ?=
# Seed for `make simulate` and `make chaos`; who fails prints the one to repeat it with.
SEED ?=
# How often `make chaos` kills the vLLM actor that is writing.
ROUNDS ?= 20

BOOTSTRAP := sh ops/bootstrap/python.sh -m ops.bootstrap
PYTEST := .venv/bin/pytest

.DEFAULT_GOAL := help
.PHONY: help run install test check lint types layering web unit property simulation integration \
	chaos e2e fuzz simulate bugs bench lock model clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9]+( [a-z0-9 ]+)?:.*## / {sub("lint .*", "STAGE", $$1); printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## install what is missing, start everything here, print the address (ARGS="--port 9000")
	@exec $(BOOTSTRAP) run $(ARGS)

install: ## install what is missing, tests' packages included, and build the page
	@$(BOOTSTRAP) install --test && $(BOOTSTRAP) page

test: ## everything that this machine can run, and what it could not and why
	@$(BOOTSTRAP) test

check: ## the quick part: lint, types, layering, unit, property
	@$(BOOTSTRAP) test lint types layering unit property

lint types layering web unit property simulation integration e2e: ## one stage: lint, types, layering, web, unit, property, simulation, integration, e2e
	@$(BOOTSTRAP) test $@

chaos: install ## kill, pause and cut off everything, many times, with figures (ROUNDS=20 SEED=7)
	@PARLEY_CHAOS_ROUNDS=$(ROUNDS) PARLEY_CHAOS_SEED=$(SEED) $(PYTEST) -s tests/chaos; \
	status=$$?; cat .cache/chaos/report.md; exit $$status

fuzz: install ## requests made from the API's own description, right and wrong (CASES=5000 SEED=1)
	@PARLEY_FUZZ_CASES=$(or $(CASES),5000) PARLEY_FUZZ_SEED=$(or $(SEED),1) \
	$(PYTEST) -s tests/integration/edge/test_fuzz.py

simulate: install ## the simulated world: one seed with its log (SEED=7), or many (SEED="0 999")
	@.venv/bin/python -m tests.simulation $(or $(SEED),0 99)

bugs: install ## plant each known bug in the code and let the simulated world find it
	@.venv/bin/python -m tests.simulation.catching

bench: install ## Parley beside vLLM's own server, same model and client (ARGS="--help")
	@.venv/bin/parley bench serve $(ARGS)

lock: ## recompile the pinned packages (UPGRADE=1 takes newer ones)
	@$(BOOTSTRAP) lock $(if $(UPGRADE),--upgrade)

model: install ## train the small model again (under an hour on two cores)
	@.venv/bin/python -m ops.training

clean: ## remove the environment, the page and the caches; chats in .parley stay
	@$(BOOTSTRAP) clean
