# Sourced by install.sh of the peers that are Node.js packages.
# shellcheck shell=bash source-path=SCRIPTDIR source=stamp.sh
source "$(dirname "$0")/../stamp.sh"

lock=("$here/package.json" "$here/package-lock.json")
done_already "${lock[@]}" && exit 0
need npm "it comes with Node.js"
if [[ $(uname -sm) != "Linux x86_64" ]]; then
  fail "the Node.js that package.json names is for Linux on x86-64, this is $(uname -sm)"
fi

rm -rf "$home"
mkdir -p "$home"
cp "${lock[@]}" "$home/"
# Nothing in these packages has to be built, so no script of theirs runs.
npm --prefix "$home" ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
mark_done "${lock[@]}"
