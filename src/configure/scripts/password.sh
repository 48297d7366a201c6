#!/bin/sh
# FILE OWNER [WORD]: writes WORD and 32 random hexadecimal digits into a file of the owner's that is
# not there yet: each machine has a password of its own.
set -eu
file=$1 owner=$2 word=${3:-}
if [ -s "$file" ]; then exit; fi
umask 077
password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
printf '%s\n' "${word:+$word }$password" >"$file.new"
chown "$owner" "$file.new"
mv "$file.new" "$file"
