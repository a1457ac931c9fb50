#!/usr/bin/env bash
# Builds Shoal for speed, installs what its image functions and searches are compared with, and
# measures them. Arguments go to figures.py: `benchmarks/images/run.sh photos --count 400`, …
set -euo pipefail
cd "$(dirname "$0")/../.."
export SHOAL_CACHE=${SHOAL_CACHE:-$HOME/.cache/shoal}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$SHOAL_CACHE/target} SHOAL_PROFILE=${SHOAL_PROFILE:-release}
case $SHOAL_PROFILE in
    release) cargo build --release --workspace --bins ;;
    *) cargo build --workspace --bins ;;
esac
scripts/setup-venv.sh benchmarks/requirements-images.txt venv-images
# With AVX2, which Pillow-SIMD uses when compiled for it; needs a C compiler, libjpeg and zlib.
CC="cc -mavx2" PIP_NO_DEPS=1 scripts/setup-venv.sh benchmarks/requirements-pillow-simd.txt venv-pillow-simd ||
    echo "Pillow-SIMD does not build here and is left out" >&2
exec "$SHOAL_CACHE/venv-images/bin/python" benchmarks/images/figures.py "$@"
