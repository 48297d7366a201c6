#!/bin/sh
# Runs a command again every five minutes until it succeeds.
until "$@"; do
    sleep 300
done
