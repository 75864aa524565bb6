#!/usr/bin/env bash
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../stamp.sh
source "$here/../stamp.sh"
home=$PEERS_HOME/$(basename "$here")

sources=("$here/Cargo.toml" "$here/Cargo.lock" "$here"/src/*.rs)
done_already "${sources[@]}" && exit 0
need cargo "apalis is a library of Rust, version 1.85 or later"

mkdir -p "$home"
rm -f "$home/.stamp"
cargo build --quiet --release --locked --manifest-path "$here/Cargo.toml" --target-dir "$home/target" >&2
mark_done "${sources[@]}"
