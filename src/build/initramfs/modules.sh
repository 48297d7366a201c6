
# From here on: how Bootwright has modules collected. Which modules are wanted stays with
# the functions above, the hooks and modprobe. But a wanted module becomes an empty file
# only: the archive beside this one has its content. Copying one takes five processes, and
# most are asked for many times over.
manual_add_modules()
{
	local prefix kmod options

	if [ $# -eq 0 ]; then
		return
	fi

	# shellcheck disable=SC2034
	{ /sbin/modprobe --all --set-version="${version?}" --ignore-install --quiet --show-depends "$@";
	  /sbin/modprobe --all --set-version="${version}" --quiet --show-depends "$@"; } |
	while read -r prefix kmod options; do
		[ "${prefix}" = insmod ] || continue
		case "${kmod}" in /lib/*) kmod="/usr${kmod}" ;; esac
		[ -e "${DESTDIR}${kmod}" ] || [ -e "${DESTDIR}${kmod%.ko.*}.ko" ] && continue
		[ -d "${DESTDIR}${kmod%/*}" ] || mkdir -p "${DESTDIR}${kmod%/*}"
		case "${kmod}" in
		*.ko) : > "${DESTDIR}${kmod}" ;;
		# mkinitramfs decompresses what it finds, so it has to be there.
		*) cp -p "${kmod}" "${DESTDIR}${kmod}" ;;
		esac
	done
}

# mkinitramfs runs depmod when all hooks are done. It shall see the modules, through links,
# but the archive shall not have them; and this is the time for the firmware they name.
depmod()
{
	local firmware

	if [ -z "${DESTDIR:-}" ]; then
		command depmod "$@"
		return
	fi
	(
		cd "${DESTDIR}/usr/lib/modules" &&
		find . -name '*.ko' -type f -empty -printf '/usr/lib/modules/%P\n' > /run/out/modules &&
		find . -name '*.ko' -type f -empty -delete &&
		xargs -r -d '\n' cp --symbolic-link --parents --target-directory="${DESTDIR}" < /run/out/modules &&
		command depmod "$@" &&
		find . -name '*.ko*' -print0 | xargs -0r modinfo -F firmware | LC_ALL=C sort -u > /run/out/firmware &&
		find . -name '*.ko' -type l -delete &&
		find . -mindepth 2 -type d -empty -delete
	) || exit 1
	while read -r firmware; do
		add_firmware "${firmware}" || continue
	done < /run/out/firmware
	rm /run/out/firmware
}
