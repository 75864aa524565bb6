#!/usr/bin/env bash
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${PEERS_HOME:?set PEERS_HOME to the folder that the peers are installed below}"

DATABASE_URL=$1 exec "$here/../measure.py" --workers "${WORKERS:-2}" apalis-postgres -- \
  "$PEERS_HOME/apalis-postgres/target/release/peer-apalis-postgres"
