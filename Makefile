# The commands people type. Each is a line or two; the logic is in scripts/ and xtask/. `make help` lists them.
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help run build assets test lint fmt unit suites storms browser e2e bench clean

help: ## list the commands
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: ## install what is missing, build everything, start a demo
	@scripts/setup run && scripts/build release && exec target/release/weir demo

build: ## the release program, at $$CARGO_TARGET_DIR/release/weir and ./target/release/weir
	@scripts/setup run && scripts/build release

assets: ## the console's client, styles and public files
	@scripts/setup build && scripts/build assets

test: ## everything CI runs: lints, unit tests, black-box suites on both stores, browser
	@scripts/setup test && scripts/test

lint: ## format check and clippy, native and wasm32
	@scripts/setup build && scripts/test fmt guards clippy wasm

fmt: ## format the sources
	@. scripts/env.sh && cargo fmt --all

unit: ## unit tests and doc tests
	@scripts/setup test && scripts/test unit doc

suites: ## black-box suites on SQLite and PostgreSQL
	@scripts/setup test && scripts/test program suites

storms: ## crash and fairness suites in a larger size: WEIR_SUITE_SIZE=ci (ten minutes, the default) or release (an hour)
	@scripts/setup test && scripts/test program storms

browser e2e: ## the console in a real browser
	@scripts/setup test && scripts/test program browser

bench: ## figures beside a bare handler and the bare store: requests, shapes, growth, templates, turns, sleepers
	@scripts/setup run && scripts/build release && scripts/bench

clean: ## remove what was built for this checkout (the cache of tools stays)
	@. scripts/env.sh && cargo clean
