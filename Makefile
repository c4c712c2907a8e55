# What one does with this repository; `make help` lists it.

.DEFAULT_GOAL := help
.PHONY: help setup build release demo test test-all test-other localstack lint lint-text lint-infra fuzz attack bench format schemas image up down logs clean

CARGO ?= cargo
LINT_TOOLS := target/lint-tools
SQL_TOOLS := target/sql-tools
BENCH_TOOLS := target/bench-tools
DOCKER ?= docker
# The plug-in of today, or the program of its own that Debian 12 has.
COMPOSE ?= $(shell $(DOCKER) compose version >/dev/null 2>&1 && echo $(DOCKER) compose || echo docker-compose) --project-name millrace
PROFILE ?= release
# The adapters of AWS, and one body end to end.
OTHER_TESTS := package(aws) & test(/^(sqs|firehose|s3|reply_queue)::/) \
	| package(table) & test(/^athena::/) \
	| package(e2e) & test(=faults::aws::poisoned_messages_go_to_the_dead_letters_and_delay_nobody)

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install the system packages that the build needs (or name them)
	@tools/setup.sh build

build: setup ## build everything: target/debug/millrace
	$(CARGO) build --workspace --bins

release: setup ## build optimised: target/release/millrace
	$(CARGO) build --release --package millrace

demo: build ## a fake camera, the receiver, a model, a table; SECONDS=30 ends it by itself
	target/debug/millrace demo $(if $(SECONDS),--seconds $(SECONDS))

test: ## run all tests, those on AWS against LocalStack or moto; SKIP_AWS=1, SKIP_PLAYERS=1, … leave some out
	@tools/setup.sh build test
	$(CARGO) build --workspace --bins
	@$(if $(SKIP_AWS),,localstack/run with) $(MAKE) --no-print-directory test-all

test-all: $(SQL_TOOLS)/ready
	@export SQL_TEST_PYTHON=$(CURDIR)/$(SQL_TOOLS)/bin/python; \
	if $(CARGO) nextest --version >/dev/null 2>&1; \
	then python3 tools/tests_told.py $(CARGO) nextest run --workspace && $(CARGO) test --workspace --doc; \
	else $(CARGO) test --workspace --exclude e2e -- --show-output && $(CARGO) test --package e2e -- --show-output --test-threads=1; fi

test-other: ## run the adapters' tests on the emulator of AWS that `make test` does not take
	@localstack/run with-other python3 tools/tests_told.py $(CARGO) nextest run --workspace -E '$(OTHER_TESTS)'

localstack: ## start S3, SQS, Firehose and Athena on this machine; prints what to eval ("localstack/run stop" ends it)
	@localstack/run start

lint: lint-text ## check format, lints, spelling, licences, Python, shell
	$(CARGO) clippy --workspace --all-targets -- --deny warnings

# What needs no compiler.
lint-text: $(LINT_TOOLS)/ready
	$(CARGO) fmt --all --check
	$(LINT_TOOLS)/bin/typos
	$(LINT_TOOLS)/bin/ruff check .
	$(LINT_TOOLS)/bin/ruff format --check .
	$(LINT_TOOLS)/bin/shellcheck $$(git grep -lE '^#!.*bash')
	python3 tools/check_dependencies.py
	python3 tools/check_names.py

lint-infra: ## check Terraform, images, composition, Kubernetes manifests, shell scripts
	terraform/check
	deploy/check

fuzz: ## run the fuzz targets for FUZZ_SECONDS each (60), with the nightly toolchain; FUZZ=mp4 runs one
	@fuzz/run $(FUZZ)

attack: release ## attack the release build with hostile cameras and more, and say what it costs a good one
	$(CARGO) build --release --package fake-camera
	bench/attack/run.py --programs target/release

bench: release $(BENCH_TOOLS)/ready ## measure against peers on the same input: REPEATS (5) times, ROWS (10000000) of the table
	$(BENCH_TOOLS)/bin/python bench/sql/run.py target/release/millrace target/bench

format: $(LINT_TOOLS)/ready ## format Rust and Python
	$(CARGO) fmt --all
	$(LINT_TOOLS)/bin/ruff format .

schemas: ## write docs/schema and the golden files anew
	UPDATE_SCHEMAS=1 INSTA_UPDATE=always $(CARGO) test --workspace

image: ## build the container images; PROFILE=dev builds sooner, PREBUILT=target/release compiles nothing
	@PROFILE=$(PROFILE) PREBUILT=$(PREBUILT) DOCKER="$(DOCKER)" deploy/docker/images

up: image ## start camera, receiver, two workers on LocalStack in containers; ends when all are healthy
	DOCKER_BUILDKIT=1 COMPOSE_DOCKER_CLI_BUILD=1 $(COMPOSE) up --detach
	@COMPOSE="$(COMPOSE)" DOCKER="$(DOCKER)" deploy/compose/wait

down: ## stop and remove them with all that they hold
	$(COMPOSE) down --volumes

logs: ## follow what they log
	$(COMPOSE) logs --follow --tail 100

clean: ## remove what was built
	$(CARGO) clean

$(LINT_TOOLS)/ready: tools/lint-requirements.txt
$(SQL_TOOLS)/ready: table/tests/sql/requirements.txt
$(BENCH_TOOLS)/ready: bench/sql/requirements.txt
$(LINT_TOOLS)/ready $(SQL_TOOLS)/ready $(BENCH_TOOLS)/ready:
	@tools/setup.sh python
	python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@
