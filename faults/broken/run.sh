#!/usr/bin/env bash
# run.sh [NAME...]: proves that the checker catches missing guards. Each NAME.patch beside this removes one guard from the
# server. The patched server is built apart, put under the faults that provoke it, and must be caught by the proof of that
# guard. The same seed must be good for the unpatched program.
#
# SEEDS: how many seeds are tried for each patch. SECONDS_EACH: how long each injects faults. Builds stay in target/broken
# (or BROKEN_TARGET) for the next time.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
target=${BROKEN_TARGET:-$root/target/broken}
seeds=${SEEDS:-10}
seconds=${SECONDS_EACH:-20}
programs=$(cargo metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/debug
names=("$@")
[ ${#names[@]} -gt 0 ] || names=(no-fence cursor-by-sequence answer-before-commit)

# The proof that has to catch a patch, and the faults that provoke it.
proof_of() {
  case $1 in
    no-fence) echo results ;;
    cursor-by-sequence) echo watching ;;
    answer-before-commit) echo acknowledged ;;
    *) echo "there is no $1" >&2 && return 1 ;;
  esac
}
faults_of() {
  case $1 in
    no-fence) echo worker-stop,worker-deaf,worker-mute ;;
    cursor-by-sequence) echo link-slow,server-stop ;;
    answer-before-commit) echo commit-lost ;;
  esac
}

# build NAME: builds the sources with the patch to $target/ops-NAME. File times are kept, so that unpatched crates are built
# once for all patches.
build() {
  rm -rf "$target/tree"
  mkdir -p "$target/tree"
  git ls-files -z --cached --others --exclude-standard | tar --null --files-from - --create | tar --extract --directory "$target/tree"
  (
    cd "$target/tree"
    # Files that another patch changed are older again, and cargo would not build them anew.
    sed -n 's|^+++ b/||p' faults/broken/*.patch | sort -u | xargs touch
    # Outside of a repository, so that git applies the patch to this folder.
    GIT_CEILING_DIRECTORIES=$target git apply "faults/broken/$1.patch"
    # Changed statements are checked against a database, since .sqlx has the unpatched ones.
    "$programs/examples/with_database" migrations \
      env -u SQLX_OFFLINE CARGO_TARGET_DIR="$target" cargo build --locked --quiet --bin ops
  )
  cp "$target/debug/ops" "$target/ops-$1"
}

# seed_ends FOLDER SEED FAULTS [ARGUMENT...]: runs a seed and prints how it ended: good, broken or failed.
seed_ends() {
  local folder=$1 seed=$2 faults=$3 code=0
  shift 3
  "$programs/faults" run --seed "$seed" --seconds "$seconds" --only "$faults" --folder "$folder" "$@" \
    >"$folder.txt" 2>&1 || code=$?
  case $code in
    0) echo good ;;
    1) echo broken ;;
    *) echo failed && tail -n 5 "$folder.txt" >&2 ;;
  esac
}

# catch NAME: tries seeds until the right proof catches one.
catch() {
  local name=$1 proof faults seed end
  proof=$(proof_of "$name")
  faults=$(faults_of "$name")
  for seed in $(seq 1 "$seeds"); do
    rm -rf "$folder"/*
    end=$(seed_ends "$folder/broken" "$seed" "$faults" --ops "$target/ops-$name")
    if [ "$end" = broken ] && grep -q "^$proof: " "$folder/broken.txt"; then
      echo "$name: seed $seed is caught by '$proof':"
      sed -n "/^$proof: /,/^[^ ]/p" "$folder/broken.txt" | head -n 8 | cut -c 1-200
      end=$(seed_ends "$folder/sound" "$seed" "$faults")
      echo "$name: with the guard, seed $seed is $end"
      [ "$end" = good ] && return 0 || return 1
    fi
    echo "$name: seed $seed is $end, and not caught by '$proof'"
  done
  echo "$name: NOT caught with $seeds seeds" >&2
  return 1
}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# PostgreSQL's own user, which is not root, has to enter it.
chmod 755 "$folder"

cargo build --locked --quiet --workspace --bins --examples
failed=0
for name in "${names[@]}"; do
  proof_of "$name" >/dev/null
  echo "$name: building" && build "$name"
  catch "$name" || failed=1
done
exit $failed
