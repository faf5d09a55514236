#!/bin/sh
# Make the passwords that compose.yml reads, each in a file of its own; those that are there stay.
# The folder is closed to others; the files are open within it, since containers have users of their own.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
for name in postgres-password fleet-db-password grafana-password; do
  [ -s "secrets/$name" ] || head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"secrets/$name"
done
[ -e secrets/cabinet-token ] || : >secrets/cabinet-token
chmod 0700 secrets
chmod 0444 secrets/*-password secrets/cabinet-token
