#!/usr/bin/env bash
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../node-install.sh
source "$(dirname "$0")/../node-install.sh"
