#!/usr/bin/env bash
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../stamp.sh
source "$(dirname "$0")/../stamp.sh"

sources=("$here/Cargo.toml" "$here/Cargo.lock" "$here"/src/*.rs)
done_already "${sources[@]}" && exit 0
need cargo "apalis is a library of Rust, version 1.85 or later"

mkdir -p "$home"
rm -f "$home/.stamp"
cargo build --quiet --release --locked --manifest-path "$here/Cargo.toml" --target-dir "$home/target" >&2
mark_done "${sources[@]}"
