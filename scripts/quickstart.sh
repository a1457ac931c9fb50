#!/usr/bin/env bash
# The main job of Shoal in one process: photos in, features, nearest neighbors, SQL.
# `make quickstart` builds `shoal` and calls this. Needs nothing but bash and that binary.
set -euo pipefail
cd "$(dirname "$0")/.."

shoal="${CARGO_TARGET_DIR:-target}/debug/shoal"
config=examples/quickstart.yaml
log=data/quickstart/serve.log
# Not a server that the surroundings may name.
unset SHOAL_URL SHOAL_USER SHOAL_TOKEN

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -z "${NO_COLOR:-}" ] && [ -t 1 ] || say() { printf '\n%s\n' "$*"; }
show() { printf '%s\n' "$1"; "$shoal" sql -c "$1"; }

say "1. Start Shoal: $shoal serve --config $config"
mkdir -p data/quickstart
exec 3< <("$shoal" serve --config "$config" 2>"$log")
server=$!
# TERM lets it finish what it does and remove its shuffle files.
trap 'kill -TERM $server 2>/dev/null && wait $server || true' EXIT
# It prints a line once it listens, and none if it cannot.
if read -r listening <&3; then
    echo "$listening"
else
    cat "$log" >&2
    exit 1
fi

say "2. Take in the photos: shoal ingest images examples/photos"
"$shoal" ingest images examples/photos
show "SELECT regexp_replace(filename, '.*/', '') AS photo, mime_type, metadata.width, metadata.height, size
FROM raw.images ORDER BY photo LIMIT 8"
show "SELECT regexp_replace(path, '.*/', '') AS file, reason, detail
FROM raw.images_rejected ORDER BY file"

say "3. Compute features and find the nearest neighbors: shoal sql -f examples/quickstart.sql"
"$shoal" sql -f examples/quickstart.sql
show "SELECT regexp_replace(filename, '.*/', '') AS photo, classification AS looks_like, round(confidence, 3) AS similarity
FROM curated.analytics JOIN raw.images ON id = image_id
ORDER BY photo"

say "Done. The tables are Delta tables below data/quickstart. To go on:"
cat <<NEXT
  $shoal serve --config $config     # in one terminal
  $shoal shell                      # in another; then type \\d or any SQL
  $shoal sql -c "SHOW FUNCTIONS"    # what can be computed
NEXT
