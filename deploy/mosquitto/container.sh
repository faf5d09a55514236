#!/bin/sh
# Mosquitto in a container: it has no systemd that tells it of a renewed certificate or a revocation,
# so look for ourselves and have it read its files again. CONFIG, FILES: other places than the image's;
# DATA: where it keeps its own.
set -eu
files=${FILES:-/etc/mosquitto/yizhan}
config=/tmp/mosquitto.$$.conf
sed "s#^persistence_location .*#persistence_location ${DATA:-/var/lib/mosquitto}/#" \
  "${CONFIG:-/etc/mosquitto/yizhan.conf}" >"$config"

sums() { cat "$files/ca.crt" "$files/server.pem" "$files/revoked.crl" 2>/dev/null | cksum; }

mosquitto -c "$config" &
broker=$!
trap 'rm -f "$config"' EXIT
trap 'kill -TERM "$broker" 2>/dev/null' TERM INT
seen=$(sums)
while kill -0 "$broker" 2>/dev/null; do
  sleep 2 &
  wait "$!" || true # a signal ends the wait, and the sleep is none of its business
  now=$(sums)
  if [ "$now" != "$seen" ]; then
    seen=$now
    kill -HUP "$broker" 2>/dev/null || true
  fi
done
wait "$broker"
