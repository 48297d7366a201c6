#!/bin/sh -eu
# nginx: do not tell the version, and do not serve Debian's own welcome page.
printf 'server_tokens off;\n' > /etc/nginx/conf.d/quiet.conf
rm -f /var/www/html/index.nginx-debian.html
