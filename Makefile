# make demo | test | lint | bench | chaos | serve | dashboard; each sets up what it needs first
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
, := ,
EXTRAS := train,serve,dashboard,dev$(if $(SPARK),$(,)spark)
READY  := $(VENV)/.ready-$(EXTRAS)
CORES  := $(shell nproc 2>/dev/null || echo 2)

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench same chaos serve dashboard mlflow clean

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: $(READY) ## make the virtual environment with the pinned versions
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

demo: $(READY) ## the whole line on the synthetic market: from a log to a promoted model, in minutes
	$(BIN)/bakeoff run configs/demo.yaml

test: $(READY) ## the tests (SPARK=1: on Spark too, which is half a gigabyte and wants Java)
	$(BIN)/python -m pytest -n $(CORES) --dist loadfile

lint: $(READY) ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY) ## speed against a floor or a peer measured in the same run
	$(BIN)/python -m pytest tests/benchmarks --override-ini addopts= --import-mode=importlib -q --timeout=1800

HTTP ?= 40000
same: $(READY) ## one unit, one answer: 1,000,000 units in arrays, processes, simulator, HTTP and OFREP (HTTP=1000000)
	SAME_HTTP=$(HTTP) $(BIN)/python -m pytest tests/benchmarks/test_bench_same.py --override-ini addopts= --import-mode=importlib -q -s --timeout=7200

RUNS ?= 100
chaos: $(READY) ## kill -9 the service and PostgreSQL under load (RUNS=100): nothing acknowledged is lost
	CHAOS_RUNS=$(RUNS) $(BIN)/python -m pytest tests/chaos -q -s --timeout=7200

dashboard: $(READY) ## open the dashboard on 127.0.0.1:8501
	$(BIN)/bakeoff dashboard

MODEL ?= demo
serve: $(READY) ## assign, recommend and log over HTTP (MODEL=demo) on 127.0.0.1:8000
	$(BIN)/bakeoff serve $(MODEL)

mlflow: $(READY) ## open MLflow on 127.0.0.1:5000
	$(BIN)/bakeoff mlflow

clean: ## remove the environment and everything the local home holds
	rm -rf $(VENV) && git clean -fdX mlruns
