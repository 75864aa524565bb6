#!/usr/bin/env bash
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../stamp.sh
source "$(dirname "$0")/../stamp.sh"

done_already "$here/requirements.txt" && exit 0
need python3 "pgqueuer is a library of Python, version 3.11 or later"

rm -rf "$home"
mkdir -p "$home"
python3 -m venv "$home/venv" >&2
"$home/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: -r "$here/requirements.txt" >&2
mark_done "$here/requirements.txt"
