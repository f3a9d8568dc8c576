# `make` alone lists the targets. CATALOG=folder chooses another catalog, PYTHON=python3.12 another Python than the one
# that the environment has or python3, BUILD=cpu or BUILD=cuda another vLLM than the machine suggests.
PYTHON ?= $(or $(shell .venv/bin/python -c 'import sys; print(sys._base_executable)' 2>/dev/null),python3)
ifdef CATALOG
export ROTA_CATALOG := $(CATALOG)
endif

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## Make the environments, install vLLM for this machine, fetch the catalog's models
	@$(PYTHON) bin/install.py all $(if $(BUILD),--build $(BUILD))
	@.venv/bin/python bin/download_models.py --all

.venv-ready:
	@$(PYTHON) bin/install.py proxy

vllm:  ## Install vLLM for this machine into .venv-vllm
	@$(PYTHON) bin/install.py vllm $(if $(BUILD),--build $(BUILD))

run: setup  ## Start everything, ask three agent types, and print the answers
	@bin/manage_vllm.sh start-service
	@.venv/bin/python bin/first_light.py

stop:  ## End the proxy, all engines and supervisord
	@bin/manage_vllm.sh stop-service

status:  ## Show devices, engines and who waits
	@bin/manage_vllm.sh status

render: .venv-ready  ## Write supervisor.d/engine-*.conf and the catalog's JSON Schemas
	@bin/manage_vllm.sh render

docs: .venv-ready  ## Write the parts of docs/ that are made from the code
	@.venv/bin/python -m proxy.reference

test: setup  ## All tests, also those that start real vLLM
	FUZZ_EXAMPLES=7000 AUDIT_KILLS=200 .venv/bin/pytest -n 2 --dist loadfile --ignore=tests/faults -m "not vllm"
	.venv/bin/pytest -n 2 --dist loadfile tests/e2e -m vllm
	@.venv/bin/python -m tests.faults

test-faults: setup  ## Kill, stop, starve and confuse everything, and print what survived
	@.venv/bin/python -m tests.faults

check: .venv-ready  ## Linters, types and the rules of who may import whom
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && .venv/bin/lint-imports

format: .venv-ready  ## Format the code
	.venv/bin/ruff check --fix . && .venv/bin/ruff format .

# Where `make install` puts what; see docs/install.md.
PREFIX ?= /opt/rota
SYSCONFDIR ?= /etc/rota
STATEDIR ?= /var/lib/rota
UNITDIR ?= /etc/systemd/system
SERVICE_USER ?= rota
DEPLOY = $(PYTHON) bin/deploy.py --prefix "$(PREFIX)" --sysconfdir "$(SYSCONFDIR)" --statedir "$(STATEDIR)" \
	--unitdir "$(UNITDIR)" --user "$(SERVICE_USER)" --destdir "$(DESTDIR)" $(DEPLOY_OPTIONS)

install:  ## Install into PREFIX (/opt/rota), with a systemd unit; over what is there it is an upgrade
	@$(DEPLOY) install $(if $(BUILD),--build $(BUILD))

uninstall:  ## Remove what `make install` put there; configuration, keys, audit and models stay
	@$(DEPLOY) uninstall

bench-swap: setup  ## What Rota adds to a cold start, beside bare `vllm serve`
	.venv/bin/python -m tests.bench.swap

bench-coldstart: setup  ## Cold starts: bare `vllm serve`, through Rota, parked, parked and forked
	@.venv/bin/python -m tests.bench.coldstart

bench-cycles: setup  ## A hundred cycles of park, start, ask and stop: what is left over
	@.venv/bin/python -m tests.bench.cycles

bench-loading: setup  ## How long weights are read from this disk, by each way that vLLM has: MODEL=demo-chat
	@.venv/bin/python -m tests.bench.loading $(if $(MODEL),--model $(MODEL))

bench-scheduler: .venv-ready  ## The scheduler in simulated time, beside four baselines and the optimum
	@.venv/bin/python -m tests.bench.scheduler $(if $(TRACE),--trace $(TRACE))

bench-proxy: setup  ## What a request and an event cost in the proxy, beside nginx, vllm-router, LiteLLM and others
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/pip install -q vllm-router==0.1.17 "litellm[proxy]==1.108.7" || echo "some peers could not be installed"
	@.venv/bin/python -m tests.bench.proxy

bench-page: setup  ## What the page costs: an hour of events in a browser, and the proxy while one is open
	@.venv/bin/python -m tests.bench.page

bench-idle: setup  ## What a stream costs in memory on which nothing comes, with 5,000 of them
	@.venv/bin/python -m tests.bench.proxy.idle

bench-workers: setup  ## Whether a second forwarding process would serve more on this machine
	@.venv/bin/python -m tests.bench.proxy.workers

.PHONY: help setup .venv-ready vllm run stop status render docs test test-faults check format install uninstall bench-swap bench-coldstart bench-cycles bench-loading bench-scheduler bench-proxy bench-page bench-idle bench-workers
.DEFAULT_GOAL := help
