#!/usr/bin/env bash
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../stamp.sh
source "$(dirname "$0")/../stamp.sh"

sources=("$here/go.mod" "$here/go.sum" "$here"/*.go)
done_already "${sources[@]}" && exit 0
need go "River is a library of Go, version 1.26 or later"

mkdir -p "$home"
rm -f "$home/.stamp"
(cd "$here" && GOPROXY="${GOPROXY:-https://proxy.golang.org}" GOFLAGS=-mod=readonly go build -o "$home/bench" .) >&2
mark_done "${sources[@]}"
