# Cymba. `make help` lists what there is; the first run makes .venv from the locked dependencies.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CLIENT := clients/typescript
MQTT_JS := tests/end_to_end/mqtt_js
VALIDATORS := tests/fhir/validators
APP := app
REFERENCE := clients/reference
REFERENCE_BUILT := service/page/scalar.js.gz
# What a package runs is to find this node, and no other of the machine.
NPM = PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm
APP_BUILT := service/page/app/index.html
APP_SOURCES := $(shell find $(APP)/src $(APP)/locale $(APP)/scripts $(APP)/public $(CLIENT)/src -type f -not -path "*/icons/*") \
	$(wildcard $(APP)/*.*)
# What Python tells the client and the app, and what it may rest on.
API := $(CLIENT)/openapi.json
ITEMS := $(APP)/generated/items.json
CLIENT_BUILT := $(CLIENT)/generated/paths.ts
SERVER := $(shell find cymba service ops/openapi.py ops/app_items.py -type f -not -path "service/page/*" -not -name "*.pyc")
NODE_READY := $(CLIENT)/node_modules/.ready $(CLIENT)/examples/node_modules/.ready \
	$(MQTT_JS)/node_modules/.ready $(VALIDATORS)/node_modules/.ready

# Else each process that the tests and the demo start compiles all the code anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo app reference test drill check check-style check-types check-sql check-documents \
	check-typescript bench format lock calibrate migration docs client clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

demo: $(READY) ## Run everything on this machine with a person, their past and live sessions
	@$(MAKE) --no-print-directory app || echo "The app could not be built: the demo goes on with the last build, or without an app."
	@$(MAKE) --no-print-directory reference || echo "The reference could not be built: /docs says so."
	$(BIN)/cymba demo $(ARGS)

reference: $(REFERENCE_BUILT) ## Build the page that shows the API's document at /docs

app: $(APP_BUILT) ## Build the companion, which the API serves at /app/

test: $(READY) client app reference ## Run every test, on a real PostgreSQL and over a real broker (ARGS="-k sync")
	$(BIN)/pytest -n auto --dist loadgroup --durations 20 $(ARGS)

drill: $(READY) ## Break what can break, and print what came of it: frames lost or doubled, recovery
	$(BIN)/pytest -n 0 -m drill --durations 0 --durations-min 1 $(ARGS)

check: check-style check-types check-sql check-documents check-typescript ## Run what CI runs besides the tests: format, lint, types, layers, SQL, documents

check-style: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

check-types: $(READY)
	$(BIN)/mypy

check-sql: $(READY)
	$(BIN)/cymba db upgrade --sql | $(BIN)/squawk --config .squawk.toml --stdin-filepath migrations.sql

check-documents: $(READY)
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(BIN)/python -m ops.asyncapi | diff - docs/asyncapi.json
	$(BIN)/cymba model schema | diff - docs/model.schema.json
	$(BIN)/python -m ops.api_changes

check-typescript: $(READY) client app reference
	cd $(CLIENT) && ../../$(BIN)/node node_modules/typescript/bin/tsc
	cd $(CLIENT) && ../../$(BIN)/node node_modules/typescript/bin/tsc -p examples
	$(NPM) run --prefix $(APP) --silent check

bench: $(READY) ## Measure against the floors; prints tables with ratios
	@for bench in benchmarks/bench_*.py; do \
	  echo "== $$bench"; $(BIN)/python -m benchmarks.$$(basename $$bench .py) || exit 1; done

calibrate: $(READY) ## Measure how often the insights speak of noise, and miss what is there
	$(BIN)/python -m benchmarks.calibrate $(ARGS)

format: $(READY) ## Format the code and fix what can be fixed
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

docs: $(READY) ## Write the documents that are generated from the code
	$(BIN)/python -m ops.asyncapi > docs/asyncapi.json
	$(BIN)/cymba model schema > docs/model.schema.json

client: $(CLIENT_BUILT) $(NODE_READY) ## Write the TypeScript client's types from the API's document

migration: $(READY) ## Draft the next migration from the models (NAME=add_thing)
	$(BIN)/python -m ops.draft_migration $(NAME)

COMPILE := uv pip compile --quiet --generate-hashes --no-emit-index-url --universal \
	--python-version 3.11 --custom-compile-command "make lock"

lock: $(READY) ## Lock the dependencies of pyproject.toml with their hashes
	$(BIN)/$(COMPILE) pyproject.toml -o requirements/base.txt
	$(BIN)/$(COMPILE) pyproject.toml --extra otel --group dev -c requirements/base.txt -o requirements/dev.txt
	$(BIN)/$(COMPILE) --group node -c requirements/dev.txt -o requirements/node.txt
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["otel"], sep="\n")' \
	  | $(BIN)/$(COMPILE) -c requirements/dev.txt -o requirements/otel.txt -
	echo "setuptools>=80" | $(BIN)/$(COMPILE) -c requirements/dev.txt -o requirements/build.txt -

clean: ## Remove .venv and what the tools left (the demo's data in .cymba stays)
	rm -rf $(VENV) build service/page/app $(REFERENCE_BUILT) *.egg-info .*_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(APP_BUILT): $(APP_SOURCES) $(CLIENT_BUILT) $(ITEMS) $(APP)/node_modules/.ready
	$(NPM) run --prefix $(APP) --silent build

# The last file that it writes stands for all.
$(CLIENT_BUILT): $(API) $(CLIENT)/scripts/generate.ts $(CLIENT)/node_modules/.ready
	$(BIN)/node $(CLIENT)/scripts/generate.ts $(API)

# Taken over only where it says something new: most changes of the server are none to the app.
$(API) $(ITEMS): %: %.new
	@cmp -s $< $@ || cp $< $@

$(API).new: $(SERVER) $(READY)
	$(BIN)/python -m ops.openapi > $@

$(ITEMS).new: $(SERVER) $(READY)
	@mkdir -p $(@D)
	$(BIN)/python -m ops.app_items > $@

$(REFERENCE_BUILT): $(REFERENCE)/bundle.js $(REFERENCE)/node_modules/.ready
	$(BIN)/node $<

%/node_modules/.ready: %/package-lock.json | $(READY)
	$(NPM) ci --prefix $* --no-audit --no-fund --silent
	@touch $@

$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Cymba needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	  echo "No virtual environment could be made; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
