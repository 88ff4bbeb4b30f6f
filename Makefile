# The two commands a newcomer needs: `make quickstart` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: quickstart test lint emulated-root clean

# Set everything up and run the main job on this machine: build two models, prove them, time them.
quickstart: $(VENV)/.installed-all
	$(BIN)/edgepose bench litepose-xs rtmpose-t --device local

# Set up what the tests need, Debian packages included, and run all of them.
test: $(VENV)/.installed-dev
	scripts/install-debian-packages tests
	$(BIN)/python scripts/build-native-runners
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/.installed-%: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) -e '.[$*]'
	touch $@

clean:
	rm -rf $(VENV) build dist
