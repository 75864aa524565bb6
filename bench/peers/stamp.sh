# Sourced by every peer's install.sh: what it installs in $home carries a stamp of the files that it was made from.
# shellcheck shell=bash

: "${PEERS_HOME:?set PEERS_HOME to the folder to install the peers below, outside the repository}"
here=$(cd "$(dirname "$0")" && pwd)
peer=$(basename "$here")
home=$PEERS_HOME/$peer

# fail SENTENCE: ends the installation.
fail() {
  echo "$peer: $1" >&2
  exit 1
}

# need TOOL WHY: fails with the name of a tool that is missing.
need() {
  command -v "$1" >/dev/null || fail "$1 is missing: $2"
}

# stamp_of FILE..: one line that changes when a file does.
stamp_of() {
  cat "$@" | sha256sum | cut -d ' ' -f 1
}

# done_already FILE..: whether $home was installed from these very files.
done_already() {
  [[ -f $home/.stamp && $(<"$home/.stamp") == "$(stamp_of "$@")" ]]
}

# mark_done FILE..: to be called last.
mark_done() {
  stamp_of "$@" >"$home/.stamp"
}
