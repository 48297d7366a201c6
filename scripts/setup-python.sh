#!/usr/bin/env bash
# Makes a Python environment with the packages that the given list names, in those versions.
# usage: scripts/setup-python.sh FOLDER LIST
set -euo pipefail

folder=$1 list=$2
cmp --silent "$list" "$folder/installed.txt" && exit 0
[ -x "$folder/bin/python" ] || python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check --requirement "$list"
cp "$list" "$folder/installed.txt"
