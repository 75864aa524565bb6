# Sourced by every install.sh: what is installed below $PEERS_HOME carries a stamp of the files that it was made from.
# shellcheck shell=bash

: "${PEERS_HOME:?set PEERS_HOME to the folder to install the peers below, outside the repository}"

# need TOOL WHY: fails with the name of a toolchain that is missing.
need() {
  command -v "$1" >/dev/null || {
    echo "$(basename "$here"): $1 is missing: $2" >&2
    exit 1
  }
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
