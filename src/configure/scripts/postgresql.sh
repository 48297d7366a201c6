#!/bin/sh
# init DATA: makes this machine's own cluster where there is none.
# run DATA ARGUMENT...: makes it and runs the server, as the account `postgres`.
set -eu
verb=$1 data=$2
shift 2
bin=/usr/bin
for folder in /usr/lib/postgresql/*/bin /usr/libexec/postgresql* /usr/lib/psql*/bin /usr/lib64/postgresql-*/bin; do
    if [ -x "$folder/initdb" ]; then bin=$folder; fi
done

if [ ! -s "$data/PG_VERSION" ]; then
    # Made beside it and renamed: half a cluster is never taken for a whole one.
    rm -rf "$data.new"
    install -d -o postgres -g postgres -m 0700 "${data%/*}" "$data.new"
    su -s /bin/sh postgres -c "$bin/initdb --auth-local=peer --auth-host=scram-sha-256 \
        --encoding=UTF8 --locale=C.UTF-8 --data-checksums -D $data.new" </dev/null
    if [ -d "$data" ]; then rmdir "$data"; fi
    mv "$data.new" "$data"
fi
if [ "$verb" = init ]; then exit; fi

if [ "$(id -u)" != 0 ]; then exec "$bin/postgres" -D "$data" "$@"; fi
install -d -o postgres -g postgres -m 2775 /run/postgresql
if setpriv --version >/dev/null 2>&1; then
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$bin/postgres" -D "$data" "$@"
fi
exec su -s /bin/sh postgres -c "exec $bin/postgres -D $data $*"
