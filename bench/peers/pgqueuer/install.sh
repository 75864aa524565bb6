#!/usr/bin/env bash
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../stamp.sh
source "$here/../stamp.sh"
home=$PEERS_HOME/$(basename "$here")

done_already "$here/requirements.txt" && exit 0
need python3 "pgqueuer is a library of Python, version 3.11 or later"

rm -rf "$home"
mkdir -p "$home"
python3 -m venv "$home/venv" >&2
"$home/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: -r "$here/requirements.txt" >&2
mark_done "$here/requirements.txt"
