# Two commands matter: `make demo` and `make test`. Both make the environment that they need.
PYTHON ?= python3
BROWSER ?= chromium
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
# Servers that only tests need; where they cannot be had the tests say so.
SERVERS := $(VENV)/.servers
# Dozens of processes are started by the tests: each compiles nothing that another one has compiled.
export PYTHONDONTWRITEBYTECODE :=
# Test files are shared out among workers, one a processor, four at most: each file stays with one,
# and the longest come first.
SHARED := --dist loadfile --no-loadscope-reorder
WORKERS := -n auto --maxprocesses 4 $(SHARED)
# A deployment is six processes and more, so two workers are enough.
DEPLOYMENT_WORKERS := -n 2 $(SHARED)

# Layers and types are checked beside the tests: both are finished, and either one's failure counts.
define beside_types
	@said=$$(mktemp); \
	{ $(BIN)/lint-imports; layers=$$?; $(BIN)/mypy && [ $$layers -eq 0 ]; } >"$$said" 2>&1 & \
	types=$$!; \
	echo '$(1)'; $(1); tests=$$?; \
	wait $$types; types=$$?; cat "$$said"; rm -f "$$said"; \
	[ $$tests -eq 0 ] && [ $$types -eq 0 ]
endef

.PHONY: help env protos demo picture test test-long check mutants bench bench-privacy clean

help:
	@echo "make demo   form shared segments between four processes over TLS on this machine;"
	@echo "            make demo STAY=1 leaves them running, with two consoles, until Ctrl-C"
	@echo "make test   everything that CI checks"
	@echo "make test-long  the same with the full random counts and every benchmark, from a seed that"
	@echo "            it prints; then ten mutants of each guarded place (hours)"
	@echo "make check  the fast checks: format, lint, types, imports, quick tests"
	@echo "make mutants  which small changes of the code no quick test notices (hours);"
	@echo "            of one module alone: make mutants MODULE=protocol/ring.py;"
	@echo "            fifty of each, drawn at random: make mutants SAMPLE=50"
	@echo "make bench  measure; prints ratios against named baselines"
	@echo "make bench-privacy  compare clustering under privacy with peers, on the sets in ../shared/data"
	@echo "make picture  draw the README's picture anew from a demo's report (needs chromium, or BROWSER=...)"
	@echo "make protos  make the control plane's stubs anew from its .proto"
	@echo "make env    only make the environment in $(VENV)"

env: $(STAMP) $(SERVERS)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("fedseg needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; call make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(SERVERS): $(STAMP)
	$(BIN)/python -m tests.partner_node.mariadb_package
	@touch $@

# The same bytes with the pinned grpcio-tools: tests/control/test_stubs.py compares them.
protos: $(STAMP)
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. protocol/control/v1/control.proto

demo: $(STAMP)
	$(BIN)/fedseg-simulate demo --out demo-out $(if $(STAY),--stay)

# A browser refuses to run for root unless it is told to.
picture: demo
	$(BROWSER) --headless --hide-scrollbars $(if $(filter 0,$(shell id -u)),--no-sandbox) \
		--window-size=1100,1000 --screenshot=docs/report.png file://$(CURDIR)/demo-out/report.html

test: $(STAMP) $(SERVERS)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(call beside_types,$(BIN)/pytest $(WORKERS) --ignore tests/end_to_end)
	$(BIN)/pytest $(DEPLOYMENT_WORKERS) tests/end_to_end

test-long: export FEDSEG_TEST_EFFORT := long
# The score of the mutants is for people to read: it fails nothing.
test-long: test
	$(BIN)/python -m tests.mutants --sample 10

check: $(STAMP) $(SERVERS)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(call beside_types,$(BIN)/pytest $(WORKERS) -m "not slow and not browser" -x -q)

mutants: $(STAMP)
	$(BIN)/python -m tests.mutants $(MODULE) $(if $(SAMPLE),--sample $(SAMPLE))

bench: $(STAMP)
	$(BIN)/python -m benchmarks

bench-privacy: $(STAMP)
	$(BIN)/python -m benchmarks.clustering_under_privacy

clean:
	rm -rf $(VENV) demo-out .mutants .pytest_cache .mypy_cache .ruff_cache .hypothesis
