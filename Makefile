# What people and CI run. Each target installs what it lacks (scripts/setup) and says so.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory

TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))
# The one executable. Tests that run it find it by this name.
export ONCILLA_BIN := $(TARGET_DIR)/x86_64-unknown-linux-musl/release/oncilla

.PHONY: help build demo test lint bench fuzz soak ci

help: ## What can be made here
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null \
	  || sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1: \2/p' Makefile

build: ## The static executable, its man pages and completions, in target/x86_64-unknown-linux-musl/release
	@scripts/setup build
	@scripts/build

demo: ## Play the founding story on real pods (needs root)
	@scripts/setup build
	@scripts/build --quiet
	@"$(ONCILLA_BIN)" demo

test: ## Every test, then the conformance cases at three levels (needs root)
	@scripts/setup test
	@scripts/test

lint: ## Format, clippy, tidy, documentation links
	@scripts/setup lint
	@scripts/lint

bench: ## Measure; writes target/bench.jsonl (needs root and a quiet machine)
	@scripts/setup test
	@scripts/build --quiet
	@echo "== bench: optimised build of the benches, then the measurements"
	@cargo build --locked --profile bench -p oncilla-bench
	@"$(TARGET_DIR)/release/oncilla-bench" --output "$(TARGET_DIR)/bench.jsonl"

fuzz: ## Arbitrary input for ten minutes a target (ONCILLA_FUZZ_SECONDS says otherwise)
	@scripts/setup test
	@scripts/fuzz

soak: ## The tests that can be long, at full length: trouble and death at every call to the kernel, churn (needs root)
	@scripts/setup test
	@scripts/soak

ci: lint test ## What CI runs
