#!/usr/bin/env bash
# Install the cabinet daemon on a Debian 12 (or newer) computer, or the fleet service on a server;
# upgrade it, or go back.
#
#   sudo deploy/install.sh --id DH-0001                # a cabinet, from this checkout, with pip's usual index
#   sudo deploy/install.sh --id DH-0001 --wheels DIR   # from a folder of wheels, without a network
#   sudo deploy/install.sh --fleet                     # the fleet server
#   sudo deploy/install.sh [--fleet] --rollback        # the release before, e.g. after a bad upgrade
#
# Every release has a folder of its own in /opt/yizhan/releases; /opt/yizhan/current names the one in
# use and changes in one step, only after the new one has read the configuration. Configuration and
# data are never touched by an upgrade; the fleet's ledger is backed up before one. Running it again
# is safe. See deploy/README.md.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
home=/opt/yizhan
etc=/etc/yizhan
backups=/var/backups/yizhan
id='' wheels='' rollback='' start=1 what=cabinet

fail() { echo "install: $*" >&2; exit 1; }
say() { echo "install: $*"; }

while [ $# -gt 0 ]; do
  case "$1" in
    --id) id=${2:?--id needs the cabinet\'s id, for example DH-0001}; shift 2 ;;
    --wheels) wheels=$(cd "${2:?--wheels needs a folder}" && pwd); shift 2 ;;
    --fleet) what=fleet; shift ;;
    --rollback) rollback=1; shift ;;
    --no-start) start=''; shift ;;
    -h|--help) sed -n '2,14p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) echo "install: unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
done

[ "$(id -u)" -eq 0 ] || fail "needs root: run it with sudo"
case "$(uname -m)" in x86_64|aarch64) ;; *) fail "$(uname -m): only 64-bit x86 and ARM are supported" ;; esac
daemon=${what}d config=$etc/$what.toml again=--rollback
[ "$what" = cabinet ] || again="--fleet --rollback"
other=cabinetd
[ "$what" = cabinet ] && other=fleetd
[ ! -e "/etc/systemd/system/$other.service" ] \
  || fail "$other is installed here: cabinet and fleet each want a computer of their own"

systemd_runs() { [ -d /run/systemd/system ]; }
as_daemon() { runuser -u "$daemon" -- "$@"; }

use() { # make a release the current one, in one step
  ln -sfn "$1" "$home/current.new"
  mv -T "$home/current.new" "$home/current"
  ln -sfn current/bin "$home/bin"
}

restart() {
  systemd_runs || { say "systemd does not run here: start $daemon by hand"; return; }
  systemctl daemon-reload
  [ "$what" = fleet ] || udevadm control --reload || true
  [ -n "$start" ] || return 0
  systemctl enable --quiet "$daemon"
  [ "$what" = cabinet ] || systemctl enable --quiet --now fleetd-backup.timer fleetd-drill.timer
  systemctl restart "$daemon"
  systemctl --quiet is-active "$daemon" || fail "$daemon did not start: journalctl -u $daemon -n 50"
}

fleetd_of() { # a release's fleetd, with what the unit gives it
  local place=$1
  shift
  local settings=()
  [ ! -e "$etc/fleet.env" ] || mapfile -t settings < <(grep -E '^[A-Z_0-9]+=' "$etc/fleet.env")
  as_daemon env "${settings[@]}" "$place/bin/fleetd" "$@"
}

if [ -n "$rollback" ]; then
  now=$(readlink "$home/current" 2>/dev/null) || fail "nothing is installed in $home"
  before=$(find "$home/releases" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | grep -v -x "$(basename "$now")" | awk -v n="$(basename "$now")" '$0 < n' | tail -n 1)
  [ -n "$before" ] || fail "there is no release before $(basename "$now")"
  "$home/releases/$before/bin/$daemon" check-config "$config" >/dev/null \
    || fail "$before does not take $config: nothing was changed"
  if [ "$what" = fleet ]; then
    fleetd_of "$home/releases/$before" schema --config "$config" >/dev/null \
      || fail "the ledger was migrated since: nothing was changed. With fleetd stopped put back the backup from before the upgrade ($backups), then run this again"
  fi
  use "releases/$before"
  restart
  say "back to $before"
  exit 0
fi

# Before anything is put onto the machine: what was installed in vain would be taken for a way back.
if [ "$what" = cabinet ] && [ ! -e "$config" ] && [ -z "$id" ]; then
  fail "a first installation needs --id, for example --id DH-0001"
fi

# --- what Debian has to bring -------------------------------------------------------------------
if ! python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  command -v apt-get >/dev/null || fail "needs python3 (3.11 or newer) with venv"
  say "installing python3-venv (Debian), for an environment of our own"
  apt-get update -q >/dev/null && apt-get install -yq --no-install-recommends python3-venv >/dev/null
  python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' \
    || fail "$(python3 -V 2>&1) is too old: 3.11 or newer is needed"
fi
if ! id "$daemon" >/dev/null 2>&1; then
  say "making the user $daemon"
  if [ "$what" = cabinet ]; then
    useradd --system --home-dir /var/lib/yizhan --shell /usr/sbin/nologin --groups dialout cabinetd
  else
    useradd --system --home-dir /var/lib/yizhan-fleet --shell /usr/sbin/nologin fleetd
  fi
fi

# --- the release --------------------------------------------------------------------------------
release=$(date -u +%Y%m%dT%H%M%SZ)
place=$home/releases/$release
install -d -m 0755 "$home" "$home/releases"
trap 'rm -rf "$place"' ERR INT TERM
say "installing into $place"
python3 -m venv "$place"
if [ -n "$wheels" ]; then
  "$place/bin/pip" install --quiet --disable-pip-version-check --no-index --find-links "$wheels" "yizhan[$what]"
else
  [ -f "$here/../pyproject.toml" ] || fail "no checkout around this script: name a folder with --wheels"
  "$place/bin/pip" install --quiet --disable-pip-version-check "$(cd "$here/.." && pwd)[$what]"
fi

# --- configuration ------------------------------------------------------------------------------
install -d -m 0750 -g "$daemon" "$etc"
if [ "$what" = cabinet ]; then
  install -d -m 0750 -o cabinetd -g cabinetd /var/lib/yizhan /var/lib/yizhan/cabinet
else
  install -d -m 0700 -o fleetd -g fleetd /var/lib/yizhan-fleet /var/cache/yizhan-fleet "$backups"
  [ -e "$etc/fleet.env" ] || install -m 0640 -g fleetd "$here/fleet.env" "$etc/fleet.env"
fi
if [ ! -e "$config" ]; then
  if [ "$what" = cabinet ]; then
    "$place/bin/cabinetd" example-config --id "$id" >"$config.new"
  else
    "$place/bin/fleetd" example-config >"$config.new"
  fi
  chown "root:$daemon" "$config.new"
  chmod 0640 "$config.new"
  mv "$config.new" "$config"
  first=1
fi
if ! "$place/bin/$daemon" check-config "$config"; then
  rm -rf "$place"
  fail "the new release does not take $config: nothing was changed"
fi
if [ "$what" = fleet ] && [ -z "${first:-}" ] && [ -e "$home/current" ]; then
  # The way back: the new release may migrate the ledger, which the old one could then not read.
  if [ "$(fleetd_of "$home/current" schema --json --config "$config" | grep -c '"database": null')" -eq 0 ]; then
    fleetd_of "$home/current" backup --dir "$backups" --keep 14 --config "$config" \
      || { rm -rf "$place"; fail "no backup could be taken before the upgrade: nothing was changed"; }
  fi
fi
trap - ERR INT TERM

install -d /etc/systemd/system /etc/tmpfiles.d
if [ "$what" = cabinet ]; then
  install -m 0644 "$here/cabinetd.service" /etc/systemd/system/cabinetd.service
  install -d /etc/udev/rules.d
  install -m 0644 "$here/udev/99-yizhan.rules" /etc/udev/rules.d/99-yizhan.rules
  install -m 0644 "$here/tmpfiles.conf" /etc/tmpfiles.d/yizhan.conf
else
  install -m 0644 "$here"/fleetd.service "$here"/fleetd-{backup,drill}.{service,timer} /etc/systemd/system/
  install -m 0644 "$here/fleet.tmpfiles.conf" /etc/tmpfiles.d/yizhan-fleet.conf
  install -d /etc/sysusers.d
  install -m 0644 "$here/fleet.sysusers.conf" /etc/sysusers.d/yizhan-fleet.conf
fi
use "releases/$release"
# The three newest stay, so that there is a way back.
find "$home/releases" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | head -n -3 \
  | while read -r old; do rm -rf "${home:?}/releases/$old"; done

if [ -z "${first:-}" ]; then
  restart
  say "upgraded to $release; back again with: $0 $again"
  exit 0
fi
if systemd_runs; then
  systemctl daemon-reload
  if [ "$what" = cabinet ]; then # its folder, and names for adapters that are plugged in already
    systemd-tmpfiles --create /etc/tmpfiles.d/yizhan.conf || true
    { udevadm control --reload && udevadm trigger --subsystem-match=tty; } || true
  fi
fi
say "installed. Next:"
if [ "$what" = cabinet ]; then
  say "  1. put this cabinet's lines and devices into $config, then"
  say "     $home/bin/cabinetd check-config $config"
  say "  2. join the fleet: runuser -u cabinetd -- $home/bin/cabinetd enrol --config $config"
  say "  3. systemctl enable --now cabinetd"
else
  say "  1. set http.public_url, enrol and broker hosts in $config, then"
  say "     $home/bin/fleetd check-config $config"
  say "  2. systemctl enable --now fleetd fleetd-backup.timer fleetd-drill.timer"
  say "  3. keep a copy of /var/lib/yizhan-fleet/pki and its keys apart: they are in no backup"
fi
