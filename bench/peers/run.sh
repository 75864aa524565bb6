#!/usr/bin/env bash
# run.sh NAME DATABASE_URL: measures one peer on an empty database and prints one line of JSON.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ $# != 2 ]]; then
  echo "usage: run.sh NAME DATABASE_URL" >&2
  exit 2
fi
if [[ ! $1 =~ ^[a-z-]+$ || ! -f $here/$1/run.sh ]]; then
  echo "no peer is called $1" >&2
  exit 2
fi
exec "$here/$1/run.sh" "$2"
