
# From here on: a tool that is the building host's while the initramfs is made. A hook that
# copies one gets the root's own, which lies in a folder of its own meanwhile.
own_tool()
{
	case "${1}" in
	/bin/sh | /usr/bin/sh) own=/run/own/dash ;;
	/bin/* | /usr/bin/*) own="/run/own/${1##*/}" ;;
	*) return 1 ;;
	esac
	[ -e "${own}" ]
}

copy_file()
{
	if own_tool "${2}"; then
		set -- "${1}" "${own}" "${3:-${2}}"
	fi
	copy_this_file "$@"
}

copy_exec()
{
	if own_tool "${1}"; then
		set -- "${own}" "${2:-${1}}"
	fi
	copy_this_exec "$@"
}
