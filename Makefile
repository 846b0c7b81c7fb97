# What there is to do here.  `make help` lists it.  Everything needed is installed into .venv and .venvs on first use.

PYTHON   ?= $(shell command -v python3.11 || command -v python3)
DURATION ?= 20
SECONDS  ?= 60
WORKERS  ?= 2
BIN      := .venv/bin
PIP      := -m pip install -qq --disable-pip-version-check

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test interop peers check style types imports proto-check fuzz bench docs pictures interpreters proto clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/has-demo ## See spans and metrics reach an agent: make demo DURATION=10
	$(BIN)/puremux demo --duration $(DURATION)

test: .venv/has-test ## Every test that needs no server of others
	$(BIN)/pytest -n $(WORKERS) --dist worksteal --ignore=tests/interop --ignore=tests/browser $(ARGS)

interop: .venv/has-test peers ## Tests with what others wrote: agents, exporters, proxies, a Prometheus, a browser
	$(BIN)/pytest tests/interop tests/browser $(ARGS)

check: style types imports proto-check docs ## All that can be said without running the tests

style: .venv/has-check
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/has-check
	$(BIN)/mypy

imports: .venv/has-check
	$(BIN)/lint-imports

proto-check: .venv/has-check
	$(BIN)/python -m proto_gen.generate --check

docs: .venv/has-docs ## The documentation, as docs/_build/index.html
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs docs/_build

pictures: .venv/has-test ## The pictures in the documentation, as a Chromium shows the pages
	$(BIN)/python -m tools.screenshots $(NAMES)

fuzz: .venv/has-test .venv/has-fuzz ## Each harness in fuzz/ for a while: make fuzz SECONDS=600
	$(BIN)/python -m tools.fuzz --seconds $(SECONDS)

bench: .venv/has-bench ## puremux beside its peers, as one table
	$(BIN)/python -m bench

interpreters: .venv/has-test ## A small job on every Python that we promise
	$(BIN)/python -m tools.interpreters

proto: .venv/has-check ## Write puremux/proto/ from the .proto files
	$(BIN)/python -m proto_gen.generate

clean: ## Remove what was installed and built here
	rm -rf .venv .venvs .cache build dist docs/_build puremux.egg-info

# .venv/has-X says that .venv holds what the extra X of setup.cfg names.  A change of setup.cfg installs again.

$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv/has-%: setup.cfg | $(BIN)/python
	$(BIN)/python $(PIP) --editable '.[$*]'
	touch $@

# opencensus declares compiled wheels that it never imports: its own way in.
.venv/has-opencensus: setup.cfg | $(BIN)/python
	$(BIN)/python $(PIP) --editable '.[opencensus]'
	$(BIN)/python $(PIP) --no-deps opencensus==0.11.4
	touch $@

.venv/has-demo .venv/has-test .venv/has-check .venv/has-bench: .venv/has-opencensus

# The peers of the interop tests: an agent and exporters that others wrote.  Debian's are installed by .ci/run.

PEERS := .cache/peers/otelcol-oc .cache/peers/goexporter .venvs/ocagent/ready .venvs/otlp/ready

peers: $(PEERS) ## Build what the interop tests run against
	$(BIN)/python -m tests.interop.grpc_peers.install

.cache/peers/otelcol-oc: $(wildcard tests/interop/collector/*.go tests/interop/collector/go.*)
	cd tests/interop/collector && CGO_ENABLED=0 go build -mod=readonly -buildvcs=false -trimpath -o $(CURDIR)/$@ .

.cache/peers/goexporter: $(wildcard tests/interop/goexporter/*.go tests/interop/goexporter/go.*)
	cd tests/interop/goexporter && CGO_ENABLED=0 go build -mod=readonly -buildvcs=false -trimpath -o $(CURDIR)/$@ .

# The last Python, protobuf and grpcio where opencensus-ext-ocagent runs at its best.
.venvs/ocagent/ready: tests/interop/pyexporters/ocagent.txt | $(BIN)/python
	"$$($(BIN)/python -m tools.pythons 3.10)" -m venv --clear $(@D)
	$(@D)/bin/python $(PIP) -r $<
	touch $@

.venvs/otlp/ready: tests/interop/pyexporters/otlp.txt | $(BIN)/python
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python $(PIP) -r $<
	touch $@
