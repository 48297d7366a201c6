#!/usr/bin/env bash
# From this repository's own specs to a published, boot-proved release, in the folder demo/.
# usage: scripts/demo.sh BOOTWRIGHT [IMAGE...]
set -euo pipefail
cd "$(dirname "$0")/.."
bootwright=$(realpath "$1")
shift

if [ ! -e demo/bootwright.yaml ]; then
    "$bootwright" init demo --from .
fi
git -C demo init --quiet --initial-branch=main
git -C demo add --all
git -C demo diff --cached --quiet ||
    git -C demo -c user.name=demo -c user.email=demo@example.invalid -c commit.gpgsign=false \
        commit --quiet --message="This repository's own images"

cd demo
"$bootwright" plan
"$bootwright" reconcile ${1:+--only "$@"}
echo
"$bootwright" release list

image=${1:-$("$bootwright" --quiet release list | awk 'NR == 2 { print $1 }')}
folder=$(find "releases/$image" -mindepth 1 -maxdepth 1 -type d -name '[0-9]*' | sort | tail -n 1)
cat <<TEXT

Look:   demo/releases/index.html (download pages), demo/$folder/evidence/ (serial logs, screenshots)
Check:  cd demo/$folder && sha256sum -c SHA256SUMS
        cd demo && $bootwright release verify $image
Boot:   cd demo && $bootwright boot $image          (serial console; Ctrl-A X ends it)
Change: edit demo/specs/ and run make demo again: only what the change touches is built
TEXT
