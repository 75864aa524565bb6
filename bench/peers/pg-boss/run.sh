#!/usr/bin/env bash
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../node-run.sh
source "$(dirname "$0")/../node-run.sh"
