#!/bin/sh -eu
# The dashboard takes the place of Debian's welcome page, which wants the same port.
rm -f /etc/nginx/sites-enabled/default
