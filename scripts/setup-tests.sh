#!/usr/bin/env bash
# Installs what the end-to-end tests need and is not there yet:
#   - Debian packages: PostgreSQL, a JDK, Maven, Go (skipped where the commands exist);
#   - a Python venv with tests/requirements.txt;
#   - MinIO, a real S3 server, built once by Go;
#   - the Arrow Flight SQL JDBC driver, by Maven.
# All but the packages goes to $SHOAL_CACHE (~/.cache/shoal). Running it again costs nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${SHOAL_CACHE:-$HOME/.cache/shoal}
mkdir -p "$cache/bin" "$cache/jdbc"

packages=()
[ -n "$(ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ] || packages+=(postgresql)
command -v javac >/dev/null || packages+=(default-jdk-headless)
command -v mvn >/dev/null || packages+=(maven)
command -v go >/dev/null || [ -x "$cache/bin/minio" ] || packages+=(golang)
python3 -c 'import venv, ensurepip' 2>/dev/null || packages+=(python3-venv)
if [ ${#packages[@]} -gt 0 ]; then
    sudo=$([ "$(id -u)" -eq 0 ] || echo sudo)
    $sudo apt-get update -q
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${packages[@]}"
fi

scripts/setup-venv.sh tests/requirements.txt

if [ ! -x "$cache/bin/minio" ]; then
    echo "building MinIO (once, a few minutes)"
    GOBIN="$cache/bin" GOTOOLCHAIN=auto go install github.com/minio/minio@latest
fi

driver=org.apache.arrow:flight-sql-jdbc-driver:18.3.0
if [ ! -f "$cache/jdbc/flight-sql-jdbc-driver.jar" ]; then
    mvn -q -B dependency:copy -Dartifact="$driver" -Dmdep.stripVersion=true -DoutputDirectory="$cache/jdbc"
fi
