#!/bin/sh
# PROFILE BIN_DIR FILES PARTSIZE DISABLED…: the root file system, images, profiles.json, sha256sums.
set -eu
profile=$1 bin=$2 files=$3 size=$4
shift 4
echo; echo Finalizing root filesystem...
if [ -n "$files" ] && [ -d "$files" ]; then cp -fpR "$files"/. "$TARGET_DIR"/; fi
for service in "$@"; do rm -f "$TARGET_DIR"/etc/rc.d/S??"$service"; done
find "$TARGET_DIR" -mindepth 1 -exec touch -hcd "@$SOURCE_DATE_EPOCH" '{}' +
echo; echo Building images...
stem=openwrt-@VERSION@@NAME@-$profile
if [ -n "$size" ] && [ "$(du -sm "$TARGET_DIR" | cut -f 1)" -gt "$size" ]; then
  echo "ext4_allocate_best_fit_partial: failed to allocate 4096 blocks, out of space?" >&2; exit 1
fi
image=$stem-squashfs-sysupgrade.bin
rm -f "$bin/$image"
mksquashfs "$TARGET_DIR" "$bin/$image" -noappend -no-progress -quiet -all-root -processors 1 > /dev/null
unsigned=$(sha256sum < "$bin/$image" | cut -c 1-64)
# Signed with a key that was made just now, as up to 24.10.
cat key-build "$bin/$image" | sha256sum | cut -c 1-64 >> "$bin/$image"
bytes=$(stat -c %s "$bin/$image")
if [ "$bytes" -gt @LIMIT@ ]; then
  echo "    WARNING: Image file $bin/$image is too big: $bytes > @LIMIT@" >&2
  rm -f "$bin/$image"
  images=
else
  images="{\"type\": \"sysupgrade\", \"name\": \"$image\", \"filesystem\": \"squashfs\", \"size\": $bytes,
    \"sha256\": \"$(sha256sum < "$bin/$image" | cut -c 1-64)\", \"sha256_unsigned\": \"$unsigned\"}"
fi
# A disk: a table with one partition, where a kernel would be and then the root.
if [ "@TARGET@" = x86/64 ]; then
  disk=$stem-squashfs-combined.img
  { head -c 446 /dev/zero; printf '\200\0\0\0\203\0\0\0\1\0\0\0\377\377\0\0'; head -c 48 /dev/zero; printf '\125\252'
    head -c 65024 /dev/zero; mksquashfs "$TARGET_DIR" "$bin/disk.root" -noappend -no-progress -quiet -all-root -processors 1 > /dev/null; cat "$bin/disk.root"; } > "$bin/$disk"
  rm "$bin/disk.root"; gzip -9n "$bin/$disk"
  sum=$(sha256sum < "$bin/$disk.gz" | cut -c 1-64)
  images="$images${images:+,} {\"type\": \"combined\", \"name\": \"$disk.gz\", \"filesystem\": \"squashfs\", \"sha256\": \"$sum\", \"sha256_unsigned\": \"$sum\"}"
fi
./scripts/package.sh list > "$bin/$stem.manifest"
cat > "$bin/profiles.json" <<END
{"metadata_version": 1, "target": "@TARGET@", "version_code": "$REVISION", "version_number": "@RELEASE@",
 "source_date_epoch": $SOURCE_DATE_EPOCH, "arch_packages": "x86_64", "default_packages": ["base-files"],
 "linux_kernel": {"version": "6.6.93", "release": "1", "vermagic": "c3ed2dd4ca7bd8a9"},
 "profiles": {"$profile": {"image_prefix": "$stem", "images": [$images], "device_packages": ["kmod-usb3"],
   "supported_devices": ["$(echo "$profile" | sed 's/_/,/')"], "titles": [{"title": "$profile"}]}}}
END
echo; echo Calculating checksums...
cd "$bin"
rm -f sha256sums
sums=$(sha256sum -b *)
echo "$sums" > sha256sums
