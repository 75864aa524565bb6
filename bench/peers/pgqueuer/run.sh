#!/usr/bin/env bash
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${PEERS_HOME:?set PEERS_HOME to the folder that the peers are installed below}"

DATABASE_URL=$1 PYTHONDONTWRITEBYTECODE=1 exec "$here/../measure.py" --workers "${WORKERS:-2}" pgqueuer -- \
  "$PEERS_HOME/pgqueuer/venv/bin/python" "$here/bench.py"
