# The commands of the project; `make` alone lists them. Everything runs in .venv, which is made when it is needed.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

VENV ?= .venv
BIN := $(VENV)/bin
PROFILE ?= $(or $(DRUMNB_PROFILE),quick)
ARCHITECTURES ?= crnn conv_transformer vit rnn cnn
PORT ?= 8888
TESTS ?= tests
NOTEBOOKS ?= nbs

# `make study` and `make test` leave the committed results and figures alone: theirs go to the git-ignored runs/.
STUDY_HOMES := DRUMNB_RESULTS=$(CURDIR)/runs/results DRUMNB_FIGURES=$(CURDIR)/runs/figures
TEST_HOMES := DRUMNB_FIGURES=$(CURDIR)/runs/test/figures
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1

.PHONY: help venv study test check test-notebooks test-python test-slow smoke lab chapters figures thesis export clean-notebooks hooks debian music clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: ## Make .venv with the exact versions of constraints.txt; redone only when they or the settings change
	@PYTHON="$(PYTHON)" bash scripts/setup.sh $(VENV)

study: venv ## Train and score all five on the embedded data set, then print the table (PROFILE=quick ARCHITECTURES='crnn vit')
	@export $(STUDY_HOMES); status=0; \
	$(BIN)/drumnb study architecture --recipe $(PROFILE) --architectures $(ARCHITECTURES) || status=$$?; \
	if [ $$status -eq 0 ] || compgen -G 'runs/results/architecture/*.csv' >/dev/null; then \
		$(BIN)/python scripts/execute.py nbs/62_architecture_study.ipynb --to runs/chapters --depends runs/results; \
		printf '\nchapter and figures\n'; printf '  %s\n' runs/chapters/62_architecture_study.ipynb runs/figures/*.png; \
	fi; \
	exit $$status

test: venv ## Run every test: the notebooks' own, tests/, and the check of sync and cleanliness
	@status=0; \
	$(MAKE) --no-print-directory test-notebooks || { status=1; echo "The notebooks' own tests failed, see above"; }; \
	$(MAKE) --no-print-directory test-python || status=1; \
	exit $$status

test-notebooks: venv ## Run the assertions inside the notebooks (NOTEBOOKS=nbs/05_onsets.ipynb for one)
	@mkdir -p runs/test
	@echo "Running the notebooks' own tests ($(NOTEBOOKS))"
	@$(TEST_HOMES) $(ONE_THREAD) DRUMNB_QUIET=1 $(BIN)/nbdev_test --path $(NOTEBOOKS) --n_workers 2 --timing --do_print \
		--skip_folder_re '^([_.].*|experiments)$$'

test-python: venv ## Run tests/ with pytest (TESTS=tests/test_onsets.py for one file)
	@$(TEST_HOMES) $(ONE_THREAD) DRUMNB_QUIET=1 $(BIN)/python -m pytest -n 2 -q --durations=8 $(TESTS)

test-slow: venv ## Run the tests that start Ray several times: killed searches, a cluster of two nodes (some minutes)
	@DRUMNB_SLOW=1 $(ONE_THREAD) DRUMNB_QUIET=1 $(BIN)/python -m pytest -q --durations=8 tests/test_search.py

smoke: venv ## Build the wheel, install it alone into an empty environment and transcribe with it
	@PYTHON=$(abspath $(BIN))/python bash scripts/smoke.sh

check: venv ## Check that notebooks, modules and figures are in sync and clean, words, and known vulnerabilities
	@status=0; for check in words sync audit; do $(BIN)/python scripts/check_$$check.py || status=1; done; exit $$status

lab: venv ## Read and edit the chapters in JupyterLab (PORT=8888)
	@$(BIN)/jupyter lab --port $(PORT) $(if $(filter 0,$(shell id -u)),--allow-root) --ServerApp.root_dir=$(CURDIR) --LabApp.default_url=/lab/tree/nbs/01_introduction.ipynb

chapters: venv
	@DRUMNB_FIGURES=$(CURDIR)/runs/chapters/figures $(ONE_THREAD) DRUMNB_QUIET=1 $(BIN)/python scripts/execute.py nbs/[0-9]*.ipynb --to runs/chapters --depends results thesis/published --workers 2 --all

figures: chapters ## Execute every chapter and redraw the committed figures/
	@cp -v runs/chapters/figures/*.png figures/ | wc -l | xargs printf '%s figures drawn into figures/\n'

thesis: chapters ## Execute every chapter and make the book: HTML pages, one HTML file and a PDF in runs/thesis/
	@$(ONE_THREAD) $(BIN)/python thesis/build.py

export: venv ## Write the library from the notebooks, and clean the notebooks
	@$(BIN)/nbdev_export
	@$(BIN)/python scripts/clean_notebooks.py

clean-notebooks: venv ## Remove outputs and stray metadata from the notebooks; tags stay
	@$(BIN)/python scripts/clean_notebooks.py

hooks: venv ## Install nbdev's git merge driver and Jupyter's clean-on-save (writes to ~/.jupyter)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/nbdev_install_hooks
	@git config merge.nbdev-merge.driver '$(CURDIR)/$(BIN)/nbdev_merge %O %A %B %P'
	@printf '#!/usr/bin/env bash\n"%s" || true\n' '$(CURDIR)/$(BIN)/nbdev_trust' > "$$(git rev-parse --git-path hooks)/post-merge"

debian: ## Install Debian's free drum kits and SoundFonts for better training material (optional)
	@bash scripts/debian-packages.sh

music: venv ## Fetch two hours of free music without drums to train with, into the data home (Debian, optional)
	@$(BIN)/python scripts/fetch_music.py "$${DRUMNB_DATA:-$$HOME/drumnb-data}/music"

clean: ## Delete runs/ and .cache/; the environment stays
	rm -rf runs .cache
