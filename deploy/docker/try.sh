#!/bin/sh
# One simulated cabinet: wires, then cabinetd on them; joins the fleet where there is a token.
#   CABINET_ID   which one (default DH-0001)
#   TOKEN_FILE   what `fleetd cabinet add` printed; used once, so it may stay away afterwards
# DATA and RUN are the folders of journal and wires; WEB_PORT of the cabinet's page.
set -eu
id=${CABINET_ID:-DH-0001}
data=${DATA:-/var/lib/yizhan}
run=${RUN:-/run/yizhan}
config=$data/cabinet.toml

rm -f "$run/ready.json"
swapsim cabinet --run-dir "$run" &
wires=$!
cabinet=
# The cabinet first: it switches off what hangs on the wires.
stop() { kill -TERM "${cabinet:-$wires}" 2>/dev/null || true; }
trap stop TERM INT
tries=0
until [ -e "$run/ready.json" ]; do
  kill -0 "$wires" 2>/dev/null || { echo "try: the simulator ended" >&2; exit 1; }
  tries=$((tries + 1))
  [ "$tries" -le 600 ] || { echo "try: no wires after a minute" >&2; exit 1; }
  sleep 0.1
done

export CABINETD__CABINET__DATA_DIR="$data" CABINETD__CABINET__CLOCK=host
export CABINETD__FLEET__CREDENTIALS_DIR="$data/credentials" CABINETD__WEB__PORT="${WEB_PORT:-8080}"
[ -e "$config" ] || cabinetd example-config --id "$id" --run-dir "$run" >"$config"
if [ ! -e "$data/credentials" ]; then
  if [ -s "${TOKEN_FILE:-/nonexistent}" ]; then
    cabinetd enrol --config "$config" --token-file "$TOKEN_FILE"
  else
    echo "try: no token in TOKEN_FILE: give it what \`fleetd cabinet add $id\` prints" >&2
    kill -TERM "$wires"
    exit 1
  fi
fi
cabinetd run --config "$config" &
cabinet=$!
while :; do
  status=0
  wait "$cabinet" || status=$?
  kill -0 "$cabinet" 2>/dev/null || break # else a signal ended the wait, and it is still stopping
done
kill -TERM "$wires" 2>/dev/null || true
wait "$wires" 2>/dev/null || true
exit "$status"
