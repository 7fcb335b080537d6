# The project's commands. Each sets up .venv from requirements.lock first, if it is missing or stale.
# Variables: PYTHON (the interpreter that makes .venv), JOBS (how many notebooks run at a time).

SHELL := /bin/sh
PY := .venv/bin/python
# `python3` may be older than the book: the newest of these that is at least 3.11 makes the environment.
FIND := for p in "$$PYTHON" python3 python3.14 python3.13 python3.12 python3.11 python; do \
	[ -n "$$p" ] && command -v "$$p" >/dev/null 2>&1 && "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& exec "$$p" tools/environment.py; done; \
	echo "fromage-edu needs Python 3.11 or newer: install it, or name it with PYTHON=/path/to/python" >&2; exit 1

.DEFAULT_GOAL := help
.PHONY: help environment book test serve notebooks stills bench lint clean

help: ## list the commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r name what; do printf '%-18s %s\n' "$$name" "$$what"; done

environment: ## create or refresh .venv (every other command does this first)
	@$(FIND)

book: environment ## build the book into _build/html
	@$(PY) tools/build.py

test: environment ## build the book, then check everything
	@$(PY) tools/check.py

serve: environment ## serve the built book on 127.0.0.1
	@$(PY) tools/serve.py

notebooks: environment ## execute all notebooks and write them back slim
	@$(PY) tools/notebooks.py $(if $(JOBS),--jobs $(JOBS))

stills: environment ## save a still of each explorer to book/_theme/stills
	@$(PY) tools/stills.py

bench: environment ## measure a step of the optimizer beside others, for the book's table
	@$(PY) -m benchmarks.optimizer

lint: environment ## check style and imports
	@$(PY) -m ruff check .

clean: ## remove everything that was built (not .venv)
	rm -rf _build dist .pytest_cache .hypothesis .ruff_cache
	find fromage_edu tests tools book benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
