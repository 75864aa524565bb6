#!/usr/bin/env bash
# RUSTC_WORKSPACE_WRAPPER: cargo calls this in place of rustc for crates of this workspace. Fuzzed crates are compiled with the
# coverage marks of libFuzzer; dependencies are those of the ordinary build.
set -euo pipefail
rustc=$1
shift
crate=
for ((i = 1; i <= $#; i++)); do
  if [ "${!i}" = --crate-name ]; then
    next=$((i + 1))
    crate=${!next}
  fi
done
case $crate in
  proto | engine | server | frames | requests | json)
    exec "$rustc" "$@" --cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
      -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
      -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
  *) exec "$rustc" "$@" ;;
esac
