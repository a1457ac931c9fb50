#!/usr/bin/env bash
# Installs the tools that `make lint` runs beside cargo's own: typos (a wheel in the venv) and
# cargo-deny (built once). Running it again costs nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${SHOAL_CACHE:-$HOME/.cache/shoal}
scripts/setup-venv.sh scripts/requirements-lint.txt
[ -x "$cache/bin/cargo-deny" ] || CARGO_TARGET_DIR="$cache/cargo-deny" \
    cargo install --quiet --debug --locked --root "$cache" cargo-deny@0.20.2
