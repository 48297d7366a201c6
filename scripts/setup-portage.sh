#!/usr/bin/env bash
# Puts Gentoo's portage where docs/mirrors.md says, in the version that .ci says: Debian has no
# package of it, and installed by pip it does not find its own files.
# usage: scripts/setup-portage.sh
set -euo pipefail
cd "$(dirname "$0")/.."
place=/usr/local/lib/portage
wanted=$(cat .ci/portage.txt scripts/setup-portage.sh | sha256sum)
[ "$(cat "$place/.bootwright" 2>/dev/null)" != "$wanted" ] || exit 0

as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
echo "putting portage into $place"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-binary portage \
    --require-hashes --requirement .ci/portage.txt --dest "$work"
mkdir "$work/portage"
tar --extract --no-same-owner --strip-components=1 --directory "$work/portage" --file "$work"/portage-*.tar.gz
echo "$wanted" >"$work/portage/.bootwright"
chmod -R go=rX "$work/portage"
"${as_root[@]}" rm -rf "$place"
"${as_root[@]}" cp -r "$work/portage" "$place"
# Debian's own Python runs it.
"${as_root[@]}" /usr/bin/python3 -m compileall -q "$place/lib" "$place/bin" || true
"${as_root[@]}" ln -sfn ../lib/portage/bin/emerge /usr/local/bin/emerge
