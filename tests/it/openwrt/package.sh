#!/bin/sh
# Installs packages in the words of opkg (@FAMILY@ = opkg) or apk.
# packages/index: NAME VERSION SHA256 DEPENDENCY,… CONFLICT,… (a dot for none)
set -u; cd "$TOPDIR" || exit 1
db="$TARGET_DIR/usr/lib/db"
field() { awk -v n="$1" -v f="$2" '$1 == n {print $f; exit}' packages/index dl/*.index 2>/dev/null; }
fail() { printf '%s\n' "$@" >&2; exit 1; }
missing() { # NAME ASKER
  if [ @FAMILY@ = apk ]; then fail 'ERROR: unable to select packages:' "  $1 (no such package):" "    required by: $2[$1]"; fi
  if [ "$2" = world ]; then fail "Unknown package '$1'." 'Collected errors:' " * opkg_install_cmd: Cannot install package $1."; fi
  fail 'Collected errors:' " * pkg_hash_check_unresolved: cannot find dependency $1 for $2" \
    " * pkg_hash_fetch_best_installation_candidate: Packages for $2 found, but incompatible with the architectures configured" \
    " * opkg_install_cmd: Cannot install package $2."
}
install() { # NAME ASKER
  [ -e "$db/$1" ] && return 0
  version=$(field "$1" 2)
  [ -n "$version" ] || missing "$1" "$2"
  for dependency in $(field "$1" 4 | tr ',' ' '); do [ "$dependency" = . ] || install "$dependency" "$1"; done
  version=$(field "$1" 2) file="packages/$1_$(field "$1" 2).ipk"
  if [ ! -e "$file" ]; then
    file="dl/$1_$version.ipk"; ./scripts/update.sh file "$1_$version.ipk" || fail " * opkg_install_cmd: Cannot install package $1."
  fi
  for other in $(field "$1" 5 | tr ',' ' '); do
    if [ "$other" != . ] && [ -e "$db/$other" ] && [ @FAMILY@ = apk ]; then
      fail 'ERROR: unable to select packages:' "  $1-$version:" "    conflicts: $other" "    satisfies: world[$1]"
    fi
  done
  if [ "$(sha256sum < "$file" | cut -c 1-64)" != "$(field "$1" 3)" ]; then
    if [ @FAMILY@ = apk ]; then fail "ERROR: $1-$version: file integrity error"; fi
    fail "Collected errors:" " * opkg_install_pkg: Checksum or size mismatch for package $1." " * opkg_install_cmd: Cannot install package $1."
  fi
  for path in $(tar -xzOf "$file" ./data.tar.gz | tar -tzf - | grep -v '/$'); do
    owner=$(grep -lsxF "$path" "$db"/*.files 2>/dev/null | head -n 1)
    [ -z "$owner" ] && continue || owner=$(basename "$owner" .files)
    if [ @FAMILY@ = apk ]; then fail "ERROR: $1-$version: trying to overwrite ${path#./} owned by $owner."; fi
    fail "Collected errors:" " * check_data_file_clashes: Package $1 wants to install file ${path#.}" "	But that file is already provided by package  * $owner" " * opkg_install_cmd: Cannot install package $1."
  done
  echo "Installing $1 ($version) to root..."; mkdir -p "$db"
  tar -xzOf "$file" ./data.tar.gz | tar -xzf - -C "$TARGET_DIR" || exit 1
  tar -xzOf "$file" ./data.tar.gz | tar -tzf - > "$db/$1.files"
  echo "$version" > "$db/$1"
  # What the package manager of the device will know.
  if [ @FAMILY@ = apk ]; then
    mkdir -p "$TARGET_DIR/lib/apk/db"
    printf 'C:Q1\nP:%s\nV:%s\nA:all\n\n' "$1" "$version" >> "$TARGET_DIR/lib/apk/db/installed"
  else
    mkdir -p "$TARGET_DIR/usr/lib/opkg"
    printf 'Package: %s\nVersion: %s\nStatus: install user installed\nArchitecture: all\n\n' "$1" "$version" >> "$TARGET_DIR/usr/lib/opkg/status"
  fi
  if tar -xzOf "$file" ./control.tar.gz | tar -xzOf - ./postinst > "$TOPDIR/build_dir/postinst" 2>/dev/null; then
    sh "$TOPDIR/build_dir/postinst" || fail "postinst script ./usr/lib/opkg/info/$1.postinst has failed with exit code $?"
  fi
}
case $1 in
  list) # STRIP_ABI: libraries without the version of their binary interface
    for file in "$db"/*; do
      name=$(basename "$file")
      case ${2:-}$name in *.files) continue ;; 1lib*) name=$(echo "$name" | sed 's/[0-9]*$//') ;; esac
      echo "$name - $(cat "$file")"
    done ;;
  install) shift; for name in "$@"; do install "$name" world; done ;;
esac
