#!/usr/bin/env bash
# setup-venv.sh <requirements>: puts pinned Python packages into the project's one venv,
# $SHOAL_CACHE/venv. A stamp of the file's content makes running it again free.
set -euo pipefail
requirements=$1
venv=${SHOAL_CACHE:-$HOME/.cache/shoal}/venv
stamp="$venv/.installed-$(sha256sum "$requirements" | cut -c1-16)"
[ -f "$stamp" ] && exit 0
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
touch "$stamp"
