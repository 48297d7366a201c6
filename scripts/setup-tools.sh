#!/usr/bin/env bash
# Installs what the tests need from PyPI and npm, in the versions that .ci says, into .test-tools/.
# usage: scripts/setup-tools.sh
set -euo pipefail
cd "$(dirname "$0")/.."
tools=.test-tools
scripts/setup-portage.sh
wanted=$(cat .ci/python-test.txt .ci/python-s3.txt .ci/node-test/package-lock.json scripts/setup-tools.sh | sha256sum)
[ "$(cat "$tools/installed" 2>/dev/null)" != "$wanted" ] || exit 0

# Node's own packages bring npm with them; Debian's do not.
command -v npm >/dev/null || scripts/setup.sh <(echo npm)
echo "installing the tests' tools into $tools"
rm -rf "$tools"
mkdir -p "$tools"
# The S3 service and the rest do not agree on the versions of what they share.
for name in test s3; do
    python3 -m venv "$tools/$name"
    "$tools/$name/bin/pip" install --quiet --disable-pip-version-check --requirement ".ci/python-$name.txt"
done
cp -r .ci/node-test "$tools/node"
(cd "$tools/node" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
echo "$wanted" >"$tools/installed"
