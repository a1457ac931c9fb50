#!/usr/bin/env bash
# Builds Shoal for speed, installs what it is compared with, and prints the tables of README.md.
# Arguments go to bench.py: `benchmarks/run.sh tpch --scale 10`, `benchmarks/run.sh images`, …
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${SHOAL_CACHE:-$HOME/.cache/shoal}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target} SHOAL_PROFILE=${SHOAL_PROFILE:-release}
case $SHOAL_PROFILE in
    release) cargo build --release --workspace --bins ;;
    *) cargo build --workspace --bins ;;
esac
scripts/setup-venv.sh tests/requirements.txt
scripts/setup-venv.sh benchmarks/requirements.txt
exec "$cache/venv/bin/python" benchmarks/bench.py "$@"
