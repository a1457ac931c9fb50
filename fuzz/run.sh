#!/usr/bin/env bash
# Builds the fuzz targets with the stable toolchain and runs each for SECONDS_EACH (60) seconds:
# fuzz/run.sh [target …]. What libFuzzer learns stays in $SHOAL_CACHE/fuzz, an input that breaks
# something in $SHOAL_CACHE/fuzz/artifacts; without arguments all targets run.
set -euo pipefail
cd "$(dirname "$0")"

cache=${SHOAL_CACHE:-$HOME/.cache/shoal}
seconds=${SECONDS_EACH:-60}
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(probe exif jpeg png tiff gif webp bmp)

# What `cargo fuzz build -s none` passes: coverage for libFuzzer without a sanitizer, which would
# need a nightly toolchain. Safe Rust needs none; memory is bounded by -rss_limit_mb below.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1"
export CARGO_TARGET_DIR=$cache/target-fuzz
# With --target, the flags do not reach build scripts and macros, which do not link libFuzzer.
triple=$(rustc -vV | sed -n 's/^host: //p')
cargo build --release --target "$triple" "${targets[@]/#/--bin=}"

# Seeds: one small file of each variant, and the example photos that are not large.
seeds=$cache/fuzz/seeds
rm -rf "$seeds"
mkdir -p "$seeds"/{probe,exif,jpeg,png,tiff,gif,webp,bmp} "$cache/fuzz/artifacts"
variants=../images/tests/formats
cp "$variants"/*.png "$seeds/png"
cp "$variants"/*.tif "$seeds/tiff"
cp "$variants"/*.tif "$seeds/exif"
cp "$variants"/*.gif "$seeds/gif"
cp "$variants"/*.webp "$seeds/webp"
cp "$variants"/*.bmp "$seeds/bmp"
find ../examples/photos -iname '*.jp*g' -size -128k -exec cp {} "$seeds/jpeg" \;
cp "$seeds"/{jpeg,png,tiff,gif,webp,bmp}/* "$seeds/probe"

broken=0
for target in "${targets[@]}"; do
    echo "== $target"
    mkdir -p "$cache/fuzz/corpus/$target"
    "$CARGO_TARGET_DIR/$triple/release/$target" "$cache/fuzz/corpus/$target" "$seeds/$target" \
        -max_total_time="$seconds" -rss_limit_mb=512 -malloc_limit_mb=48 -timeout=10 -max_len=65536 \
        -artifact_prefix="$cache/fuzz/artifacts/$target-" -print_final_stats=1 -verbosity=0 || broken=1
done
exit $broken
