#!/usr/bin/env bash
# setup-venv.sh <requirements> [venv]: puts pinned Python packages into a venv below $SHOAL_CACHE:
# the project's one, or for what cannot be installed beside it the one named. A stamp of the file's
# content makes running it again free.
set -euo pipefail
requirements=$1
venv=${SHOAL_CACHE:-$HOME/.cache/shoal}/${2:-venv}
stamp="$venv/.installed-$(sha256sum "$requirements" | cut -c1-16)"
[ -f "$stamp" ] && exit 0
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
touch "$stamp"
