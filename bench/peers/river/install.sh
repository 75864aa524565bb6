#!/usr/bin/env bash
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../stamp.sh
source "$here/../stamp.sh"
home=$PEERS_HOME/$(basename "$here")

sources=("$here/go.mod" "$here/go.sum" "$here"/*.go)
done_already "${sources[@]}" && exit 0
need go "River is a library of Go, version 1.25 or later"

mkdir -p "$home"
rm -f "$home/.stamp"
(cd "$here" && GOPROXY="${GOPROXY:-https://proxy.golang.org}" GOFLAGS=-mod=readonly go build -o "$home/bench" .) >&2
mark_done "${sources[@]}"
