#!/usr/bin/env bash
# sqlx.sh write|check: prepares the SQL statements that sqlx's macros check at compile time, against a temporary database
# with the schema of migrations/. `write` stores them in .sqlx, so that builds need no database; `check` fails if .sqlx is
# not up to date.
set -euo pipefail
cd "$(dirname "$0")/../.."
what=${1:?write or check}
made=$PWD/.tools/sqlx
source=engine/src/lib.rs

rm -rf "$made"
mkdir -p "$made"

# The macros write a statement when they compile it, and cargo compiles only files that are newer than its last build. The
# file's time is restored afterwards, so that other builds stay valid.
times=$(mktemp)
cp -p "$source" "$times"
trap 'if cmp -s "$source" "$times"; then touch -r "$times" "$source"; fi; rm -f "$times"' EXIT
touch "$source"

# Built first, so that the temporary database does not wait for it. With an example in the build, cargo gives dependencies
# the same features as for the tests, and does not compile them twice.
SQLX_OFFLINE=true cargo build --locked --quiet --workspace --example with_database
SQLX_OFFLINE=true cargo run --locked --quiet --example with_database -- migrations \
  env -u SQLX_OFFLINE SQLX_OFFLINE_DIR="$made" \
  cargo check --locked --workspace --lib --examples

if [ "$what" = write ]; then
  rm -rf .sqlx
  mv "$made" .sqlx
  echo "$(find .sqlx -name 'query-*.json' | wc -l) statements are prepared in .sqlx"
elif diff -r .sqlx "$made" >"$made.diff"; then
  rm -rf "$made" "$made.diff"
  echo "all $(find .sqlx -name 'query-*.json' | wc -l) prepared statements are up to date"
else
  sed "s|$made|new|" "$made.diff" | head -n 40 >&2
  echo "the statements in .sqlx are not those of the code and the schema: run \`make sqlx\` and commit .sqlx" >&2
  exit 1
fi
