#!/usr/bin/env bash
# need.sh NAME: makes sure that the machine has the tool NAME. Installs it from Debian's or Ubuntu's packages if that needs
# no password; otherwise prints what is missing and the command that installs it.
set -euo pipefail

RUST=1.95

has_postgres() {
  [ -n "${OPS_PG_BIN:-}" ] && { [ -x "$OPS_PG_BIN/postgres" ]; return; }
  local folder
  for folder in "$(pg_config --bindir 2>/dev/null)" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
    /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin; do
    [ -x "$folder/postgres" ] && [ -x "$folder/initdb" ] && return 0
  done
  command -v postgres >/dev/null && command -v initdb >/dev/null
}

# A venv with pip; Debian packages both apart from Python.
has_python() { python3 -c 'import ensurepip, venv' 2>/dev/null; }

# Whether cargo is installed and new enough.
has_cargo() {
  local version
  version=$(cargo --version 2>/dev/null | cut -d' ' -f2) || return 1
  [ -n "$version" ] && [ "$(printf '%s\n' "$RUST" "$version" | sort -V | head -n 1)" = "$RUST" ]
}

# aws-lc-rs, the TLS library, is written in C.
has_cc() { command -v cc >/dev/null; }

# Splits debug information from a release.
has_objcopy() { command -v objcopy >/dev/null; }

# libFuzzer, for `make fuzz`, is written in C++.
has_cxx() { command -v c++ >/dev/null; }

has_go() { command -v go >/dev/null; }
has_npm() { command -v npm >/dev/null; }

# The programs that stand between services, for `make environments`. Debian has them in /usr/sbin, which is not in everybody's PATH.
has_pgbouncer() { PATH=$PATH:/usr/sbin command -v pgbouncer >/dev/null; }
has_nginx() { PATH=$PATH:/usr/sbin command -v nginx >/dev/null; }
has_haproxy() { PATH=$PATH:/usr/sbin command -v haproxy >/dev/null; }

# The library that gives a program another time.
has_faketime() {
  local library
  for library in /usr/lib/*/faketime/libfaketime.so.1 /usr/lib/faketime/libfaketime.so.1; do
    [ -e "$library" ] && return 0
  done
  return 1
}

# The file that keeps Debian's packages from starting their services.
POLICY=/usr/sbin/policy-rc.d

# program NAME TEST PACKAGE...: as install, without starting what is installed: the tests start it themselves.
program() {
  local sudo=()
  [ "$(id -u)" = 0 ] || sudo=(sudo -n)
  if [ ! -e "$POLICY" ] && command -v apt-get >/dev/null && "${sudo[@]}" true 2>/dev/null; then
    printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$POLICY" >/dev/null
    "${sudo[@]}" chmod 755 "$POLICY"
    # shellcheck disable=SC2064 # The words are known now.
    trap "${sudo[*]} rm -f $POLICY" EXIT
  fi
  install "$@"
}

# install NAME TEST PACKAGE...: installs Debian packages, or prints how, and tests again.
install() {
  local name=$1 test=$2
  shift 2
  local command="apt-get install -y --no-install-recommends $*"
  if command -v apt-get >/dev/null; then
    local sudo=()
    [ "$(id -u)" = 0 ] || sudo=(sudo -n)
    if [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; then
      echo "$name is missing: $command" >&2
      "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2
      # shellcheck disable=SC2086 # The command is words.
      "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive $command >&2
      "$test" && return 0
    fi
    echo "$name is missing. Install it with: sudo apt-get update && sudo $command" >&2
  else
    echo "$name is missing. Install it with your system's packages (Debian's are: $*)" >&2
  fi
  exit 1
}

case "${1:?a name}" in
  cargo)
    has_cc || install "A C compiler" has_cc gcc libc6-dev
    has_cargo && exit 0
    echo "Rust $RUST or newer is missing. Install it with rustup (https://rustup.rs): rustup toolchain install stable" >&2
    exit 1
    ;;
  objcopy) has_objcopy || install "objcopy" has_objcopy binutils ;;
  cxx) has_cxx || install "A C++ compiler" has_cxx g++ ;;
  postgres) has_postgres || install "PostgreSQL" has_postgres postgresql ;;
  go) has_go || install "Go, which builds grpcurl," has_go golang-go ;;
  python3) has_python || install "Python with venv" has_python python3 python3-venv ;;
  pgbouncer) has_pgbouncer || program "PgBouncer" has_pgbouncer pgbouncer ;;
  nginx) has_nginx || program "nginx" has_nginx nginx ;;
  haproxy) has_haproxy || program "HAProxy" has_haproxy haproxy ;;
  faketime) has_faketime || program "libfaketime" has_faketime libfaketime ;;
  npm) has_npm || install "npm, which brings buf," has_npm npm ;;
  *)
    echo "need.sh: unknown tool: $1" >&2
    exit 2
    ;;
esac
