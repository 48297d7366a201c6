#!/bin/sh
# Fuzzes every parser for SECONDS each: fuzz.sh SECONDS [TARGET…]. Found cases go to
# tests/data/fuzz/TARGET/, where the test suite runs them from then on.
set -eu
seconds=$1
shift
root=$(cd "$(dirname "$0")/.." && pwd)
# libFuzzer wants to see which branches are taken; these flags work with a stable compiler.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 \
 -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
 -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
# With a target of its own name: build scripts, which are no fuzzers, are compiled without them.
host=$(rustc -vV | sed -n 's/^host: //p')
fuzz=${FUZZ_BINARY:-$root/fuzz/target/$host/debug/fuzz}
if [ -z "${FUZZ_BINARY:-}" ]; then
    (cd "$root/fuzz" && cargo build --locked --target "$host")
fi
if [ $# -eq 0 ]; then
    set -- $(sed -n 's/^ *Target { name: "\([a-z-]*\)".*/\1/p; s/^ *name: "\([a-z-]*\)",$/\1/p' "$root/fuzz/targets.rs")
fi
for target in "$@"; do
    corpus=$root/fuzz/corpus/$target
    found=$root/tests/data/fuzz/$target
    mkdir -p "$corpus" "$found"
    echo "== $target, $seconds s"
    BOOTWRIGHT_FUZZ=$target BOOTWRIGHT_FUZZ_CORPUS=$corpus "$fuzz" "$corpus" "$found" -artifact_prefix="$found/" \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1
    rmdir --ignore-fail-on-non-empty "$found"
done
