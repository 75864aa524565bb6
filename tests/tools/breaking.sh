#!/usr/bin/env bash
# breaking.sh BUF: fails if a released message or call has changed in a way that breaks its users. The released contract
# is proto/released/VERSION.binpb, made at a release by:
# buf build --exclude-source-info -o proto/released/VERSION.binpb
set -euo pipefail
cd "$(dirname "$0")/../.."
buf=$PWD/${1:?the path of buf}

last=$(find proto -path 'proto/released/*.binpb' | sort -V | tail -n 1)
if [ -z "$last" ]; then
  echo "buf breaking: nothing was released yet (proto/released/*.binpb), so nothing can break"
  exit 0
fi
"$buf" breaking --against "$last"
echo "buf breaking: nothing breaks $last"
