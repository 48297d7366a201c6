#!/bin/sh
# Saves this machine with borg or restic, and removes what is older than is kept.
# Settings: backup.conf; lists, one a line: destinations, paths, exclude.
# Credentials of a bucket (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) may stand in `credentials`,
# which, like the file with the passphrase, the machine's owner brings.
set -uf
here=/etc/bootwright/backup
TOOL='' KEY_FILE='' KEEP=''
. $here/backup.conf
if [ -r $here/credentials ]; then set -a; . $here/credentials; set +a; fi
export HOME=/root LC_ALL=C BORG_RSH='ssh -o BatchMode=yes' RESTIC_CACHE_DIR=/var/cache/restic
export BORG_PASSCOMMAND="cat $KEY_FILE" RESTIC_PASSWORD_FILE="$KEY_FILE"

stop() { echo "backup: $*" >&2; exit 1; }
[ -s "$KEY_FILE" ] || stop "$KEY_FILE is missing or empty: put the passphrase there (root only, mode 0600)"
[ -z "$(find -L "$KEY_FILE" -perm /077)" ] || stop "others can read $KEY_FILE: chmod 0600 it"

borg_to() { # REPOSITORY PATH...: its archives are named by this host
    repository=$1; shift
    borg info "$repository" >/dev/null 2>&1 ||
        borg init --make-parent-dirs --encryption=repokey-blake2 "$repository" || return
    borg create --exclude-caches --exclude-from $here/exclude \
        "$repository::{hostname}-{utcnow:%Y%m%dT%H%M%S}" "$@" || return
    if [ -z "$KEEP" ]; then return; fi
    borg prune --glob-archives '{hostname}-*' $KEEP "$repository" && borg compact "$repository"
}

restic_to() { # REPOSITORY PATH...
    repository=$1; shift
    restic --repo "$repository" cat config >/dev/null 2>&1 || restic --repo "$repository" init || return
    restic --repo "$repository" backup --exclude-caches --exclude-file $here/exclude --tag bootwright "$@" || return
    if [ -z "$KEEP" ]; then return; fi
    restic --repo "$repository" forget --prune --host "$(uname -n)" --tag bootwright $KEEP
}

set --
while read -r path; do if [ -e "$path" ]; then set -- "$@" "$path"; fi; done <$here/paths
[ $# -gt 0 ] || stop "nothing of $here/paths is there"
failed=0
while read -r destination <&3; do
    echo "backup: to $destination"
    "${TOOL}_to" "$destination" "$@" </dev/null || { echo "backup: $destination failed" >&2; failed=1; }
done 3<$here/destinations
exit $failed
