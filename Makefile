# Everything a developer types. `make help` lists it.

# Build products and test tools stay outside the tree, so that fresh clones share them.
SHOAL_CACHE ?= $(HOME)/.cache/shoal
CARGO_TARGET_DIR ?= $(SHOAL_CACHE)/target
export SHOAL_CACHE CARGO_TARGET_DIR

VENV := $(SHOAL_CACHE)/venv
# What development builds have beside the default, so that tests find it in the one build there is. The
# quickstart takes the same: with other features, half of the crates would be compiled a second time.
FEATURES := shoal-models/onnxruntime
PYTEST_ARGS ?=
BENCH_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help build quickstart test test-rust test-e2e setup-tests lint fmt doc deny bench bench-images fuzz clean-data

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

build: ## build every binary (development profile)
	cargo build --workspace --bins --features $(FEATURES)

quickstart: ## build, take in the photos of examples/, compute features, query them
	cargo build --workspace --bin shoal --features $(FEATURES)
	scripts/quickstart.sh

test: setup-tests test-rust test-e2e ## set up what tests need and run all of them

setup-tests: ## install what the tests need (Debian packages, Python venv, MinIO, JDBC driver)
	scripts/setup-tests.sh

test-rust: ## run the tests that stand in the crates
	SHOAL_TEST_ONNXRUNTIME=$$(echo $(VENV)/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so.*) \
		cargo test --workspace --features $(FEATURES)

test-e2e: build ## run the end-to-end tests; PYTEST_ARGS="-k jdbc" picks some
	$(VENV)/bin/pytest tests $(PYTEST_ARGS)

lint: ## check formatting, clippy, spelling and the licenses of dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --workspace --all-targets --features $(FEATURES) -- -D warnings
	scripts/setup-lint.sh
	$(VENV)/bin/typos
	$(MAKE) deny

fmt: ## format the code
	cargo fmt --all

doc: ## build the API documentation; a broken link fails
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

deny: ## check licenses and sources of dependencies
	$(SHOAL_CACHE)/bin/cargo-deny --log-level error check bans licenses sources

bench: ## measure everything in benchmarks/README.md
	benchmarks/run.sh

bench-images: ## measure image functions and vector search; BENCH_ARGS=--write keeps the figures
	benchmarks/images/run.sh $(BENCH_ARGS)

fuzz: ## feed every image decoder mutated files; SECONDS=60 is the time for each
	SECONDS_EACH=$(or $(SECONDS),60) fuzz/run.sh

clean-data: ## remove what a local Shoal keeps below ./data
	rm -rf data
