#!/bin/sh
# Install a lock file into a virtual environment, hashes checked, and the project itself, editable.
#
#   sh install.sh PYTHON VENV LOCKFILE
#
# uv does it where it is on PATH, pip otherwise. The mark is written when all of it went well. A lock
# file names everything: with --no-deps no version that came out since is looked at, as older pips do for
# a requirement with an extra, which then fails for want of a hash.
set -eu
python=$1
venv=$2
lock=$3
log=$venv/install.log
case $lock in
  requirements.lock) mark=$venv/.run ;;
  *) mark=$venv/.dev ;;
esac

refuse() {
  echo "trafficsplit: $1" >&2
  exit 2
}

# Run a command, with a line that moves on a terminal, and its last words where it fails.
quietly() {
  if [ -t 2 ]; then
    "$@" >"$log" 2>&1 &
    pid=$!
    trap 'kill $pid 2>/dev/null; exit 130' INT TERM
    seconds=0
    while kill -0 $pid 2>/dev/null; do
      printf '\r  %s s: %s' "$seconds" "$(tail -n 1 "$log" | tr -d '\r' | cut -c 1-60)" >&2
      printf '\033[K' >&2
      sleep 1
      seconds=$((seconds + 1))
    done
    printf '\r\033[K' >&2
    wait $pid || fail
  else
    "$@" >"$log" 2>&1 || fail
  fi
}

fail() {
  tail -n 5 "$log" >&2
  refuse "$lock could not be installed into $venv (all of it: $log)"
}

command -v "$python" >/dev/null 2>&1 || refuse "there is no $python: give make PYTHON=python3.13"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  refuse "Python 3.11 or newer is needed, and $python is $("$python" -V 2>&1): give make PYTHON=python3.13"

echo "Installing $lock into $venv (once) ..." >&2
if command -v uv >/dev/null 2>&1; then
  [ -x "$venv/bin/python" ] || uv venv --quiet --seed --python "$python" "$venv"
  quietly uv pip install --python "$venv/bin/python" --require-hashes --no-deps -r "$lock"
  quietly uv pip install --python "$venv/bin/python" --no-build-isolation --no-deps --editable .
else
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
  set -- "$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off
  quietly "$@" --require-hashes --no-deps -r "$lock"
  quietly "$@" --no-build-isolation --no-deps --editable .
fi
touch "$mark"
