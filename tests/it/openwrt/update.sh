#!/bin/sh
# Fetches the indexes that repositories.conf names, in the words of opkg. One that cannot be had is
# only told of: what lies in dl/ stays.
cd "$TOPDIR" || exit 1
get() { # URL FILE
  /usr/bin/python3 -c 'import sys, urllib.request as r
try:
    data = r.urlopen(sys.argv[1], timeout=20).read()
except Exception as e:
    sys.exit(8 if getattr(e, "code", 0) else 4)
open(sys.argv[2], "wb").write(data)' "$1" "$2.part" && mv "$2.part" "$2"
}
index() { # NAME URL
  get "$2/Packages" "dl/$1.index" && get "$2/Packages.sig" "dl/$1.sig" || {
    echo " * opkg_download: Failed to download $2/Packages, wget returned 4." >&2
    return
  }
  # The id of the key that signed: two letters, then eight bytes.
  id=$(sed -n 2p "dl/$1.sig" | base64 -d 2>/dev/null | head -c 10 | tail -c 8 | od -An -tx1 | tr -d ' ')
  if [ ! -e "keys/$id" ]; then
    echo 'Signature check failed.' >&2; echo 'Remove wrong Signature file.' >&2
    rm -f "dl/$1.index" "dl/$1.sig"
  fi
}
case $1 in
  lists) grep '^src/gz ' repositories.conf | while read -r _ name url; do index "$name" "$url"; done ;;
  # A package that no folder has: NAME_VERSION.ipk
  file)
    for list in dl/*.index; do
      name=$(basename "$list" .index)
      grep -qs "^${2%%_*} " "$list" || continue
      url=$(awk -v n="$name" '$1 == "src/gz" && $2 == n {print $3}' repositories.conf)
      [ -e "dl/$2" ] || get "$url/$2" "dl/$2" || {
        echo " * opkg_download: Failed to download $url/$2, wget returned $?." >&2
        exit 1
      }
      exit 0
    done
    exit 1 ;;
esac
