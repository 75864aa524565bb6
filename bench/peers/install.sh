#!/usr/bin/env bash
# Installs all peers, or those named, below $PEERS_HOME. Quick when they are installed already.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

peers=("$@")
if [[ ${#peers[@]} == 0 ]]; then
  for script in "$here"/*/install.sh; do
    peers+=("$(basename "$(dirname "$script")")")
  done
fi

failed=()
for peer in "${peers[@]}"; do
  if [[ ! $peer =~ ^[a-z-]+$ || ! -f $here/$peer/install.sh ]]; then
    echo "no peer is called $peer" >&2
    failed+=("$peer")
  elif ! "$here/$peer/install.sh"; then
    failed+=("$peer")
  fi
done
if [[ ${#failed[@]} != 0 ]]; then
  echo "not installed: ${failed[*]}" >&2
  exit 1
fi
