#!/bin/sh
# init DATA: makes this machine's own databases where there are none; root of the system is root
# of the server, without a password.
# run DATA ARGUMENT...: makes them and runs the server, as the account `mysql`.
set -eu
verb=$1 data=$2
shift 2
server=$(command -v mariadbd || command -v mysqld || echo /usr/sbin/mysqld)

if [ ! -d "$data/mysql" ]; then
    # Made beside it and renamed: half of it is never taken for the whole.
    rm -rf "$data.new"
    install -d -o mysql -g mysql -m 0755 "${data%/*}"
    install -d -o mysql -g mysql -m 0700 "$data.new"
    if command -v mariadb-install-db >/dev/null; then
        mariadb-install-db --user=mysql --datadir="$data.new" --auth-root-authentication-method=socket \
            --skip-test-db </dev/null
    else
        echo "INSTALL PLUGIN auth_socket SONAME 'auth_socket.so';" >/run/mysql-first.sql
        echo "ALTER USER 'root'@'localhost' IDENTIFIED WITH auth_socket;" >>/run/mysql-first.sql
        "$server" --no-defaults --initialize-insecure --user=mysql --datadir="$data.new" \
            --init-file=/run/mysql-first.sql </dev/null
        rm /run/mysql-first.sql
    fi
    if [ -d "$data" ]; then rmdir "$data"; fi
    mv "$data.new" "$data"
fi
if [ "$verb" = init ]; then exit; fi
install -d -o mysql -g mysql -m 0755 /run/mysqld
exec "$server" --user=mysql --datadir="$data" "$@"
