#!/usr/bin/env bash
# run.sh OPTION...: builds each fuzz target and runs it with these options of libFuzzer, such as -runs=1000 or
# -max_total_time=60. It starts with the committed inputs; new interesting inputs go to the build's folder. An input that
# breaks something is written to fuzz/artifacts: commit it to the corpus, with a unit test.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
# The whole workspace and an example, so that dependencies have the same features as for the tests.
RUSTC_WORKSPACE_WRAPPER=$PWD/fuzz/instrument.sh cargo build --locked --workspace --features fuzz/libfuzzer --examples \
  --bin frames --bin requests --bin json
for target in frames requests json; do
  found=$folder/fuzz/$target
  mkdir -p "$found" "fuzz/artifacts/$target"
  options=(-artifact_prefix="fuzz/artifacts/$target/" -max_len=8192 -timeout=10 -verbosity=0)
  [ ! -f "fuzz/$target.dict" ] || options+=(-dict="fuzz/$target.dict")
  echo "fuzz: $target $*"
  # Leaves out the lines that libFuzzer prints about itself.
  "$folder/debug/$target" "${options[@]}" "$@" "$found" "fuzz/corpus/$target" 2>&1 |
    awk '!/^(INFO|WARNING|######)|NEW_FUNC|# Uses:/'
done
