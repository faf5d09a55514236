#!/usr/bin/env bash
# Make .venv with the four packages (editable) and every extra but bench's. Called by make when the stamp is old.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=${PYTHON:-python3}
extras='cabinet,fleet,simulator,dev'
started=$SECONDS

if [ -z "${NO_UV:-}" ] && uv --version >/dev/null 2>&1; then
  echo "setup: $(uv --version), packages of uv.lock into .venv"
  uv sync --locked --all-extras --no-extra bench --quiet
else
  if ! command -v "$python" >/dev/null; then
    echo "There is no $python. Install it (Debian: apt-get install python3 python3-venv)." >&2
    exit 1
  fi
  if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "$python is $("$python" -V 2>&1); Yizhan needs Python 3.11 or newer." >&2
    echo "Name another one: make setup PYTHON=/path/to/python3.11" >&2
    exit 1
  fi
  "$python" -c 'import ensurepip' 2>/dev/null || deploy/dev/packages.sh setup
  echo "setup: $("$python" -V) with pip into .venv (about half a minute; uv would take seconds)"
  [ -x .venv/bin/python ] && .venv/bin/python -m pip --version >/dev/null 2>&1 \
    || "$python" -m venv --clear .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".[$extras]"
fi
echo "setup: done in $((SECONDS - started)) s"
