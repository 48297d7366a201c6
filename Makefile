# `make demo` and `make test` work on a bare Debian 12 with Rust, as root (or with sudo).

SHELL := /bin/bash
TARGET := $(or $(CARGO_TARGET_DIR),target)
BOOTWRIGHT := $(TARGET)/release/bootwright
CARGO_FLAGS := --locked
# Images that `make demo` builds; all of specs/ when empty, which takes three times as long.
IMAGES := edge-gateway
BENCH_FLAGS :=
SCALE_FLAGS :=
FLASH_FLAGS :=
# How long each parser is fuzzed.
SECONDS := 600

.PHONY: setup setup-test release demo test test-images bench bench-firmware bench-flash bench-images bench-scale bench-specs fuzz fmt lint doc clean-demo

setup:
	@scripts/setup.sh .ci/packages.txt .ci/packages-build.txt

setup-test: setup
	@scripts/setup.sh .ci/packages-test.txt
	@scripts/setup-tools.sh

release: setup
	cargo build --release $(CARGO_FLAGS)

demo: release
	scripts/demo.sh $(BOOTWRIGHT) $(IMAGES)

# Everything that CI runs. The tests come last, so that the last lines are their verdict.
test: setup-test lint doc
	cargo test $(CARGO_FLAGS) --quiet --doc
	@if cargo nextest --version >/dev/null 2>&1; then set -x; cargo nextest run $(CARGO_FLAGS); \
	else set -x; cargo test $(CARGO_FLAGS) --lib --bins --tests; fi

# The tests that build and boot whole images, with those that CI has no time for.
test-images: setup-test
	cargo test $(CARGO_FLAGS) --test it -- --include-ignored --test-threads=1 verify:: pipeline:: images::

# BENCH_FLAGS: see cargo bench --bench iso -- --help.
bench: setup
	@scripts/setup.sh .ci/packages-bench.txt
	cargo bench $(CARGO_FLAGS) --bench iso -- $(BENCH_FLAGS)

# What each image of this repository costs, and which layers they share. Fetches packages.
bench-images: setup
	cargo bench $(CARGO_FLAGS) --bench images -- $(BENCH_FLAGS)

# SCALE_FLAGS: see cargo bench --bench scale -- --help.
bench-scale: setup
	cargo bench $(CARGO_FLAGS) --bench scale -- $(SCALE_FLAGS)

# 1,000 specs checked and resolved: fails over 1 s or 200 MiB.
bench-specs:
	cargo bench $(CARGO_FLAGS) --bench specs

# Twenty devices on one Image Builder of the tests, and how long one that is there takes to be found.
bench-firmware: setup-test
	cargo bench $(CARGO_FLAGS) --bench firmware

# Images on cards in memory with dd, bmaptool, etcher-sdk and Bootwright; FLASH_FLAGS: see the file.
bench-flash: setup-test
	cargo bench $(CARGO_FLAGS) --bench flash -- $(FLASH_FLAGS)

# Looks for input that breaks a parser; FUZZ_TARGETS names some of them.
fuzz: setup
	scripts/fuzz.sh $(SECONDS) $(FUZZ_TARGETS)

fmt:
	cargo fmt

lint: setup-test
	cargo fmt --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings
	@# The fuzzers are a package of their own: nothing else would say that its lock is out of date.
	cargo metadata $(CARGO_FLAGS) --manifest-path fuzz/Cargo.toml --format-version 1 >/dev/null

doc: setup-test
	RUSTDOCFLAGS="-D warnings" cargo doc $(CARGO_FLAGS) --no-deps --quiet

clean-demo:
	rm -rf demo
