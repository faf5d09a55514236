#!/usr/bin/env bash
# Install the cabinet daemon on a Debian 12 (or newer) computer, or upgrade it, or go back.
#
#   sudo deploy/install.sh --id DH-0001                # from this checkout, with pip's usual index
#   sudo deploy/install.sh --id DH-0001 --wheels DIR   # from a folder of wheels, without a network
#   sudo deploy/install.sh --rollback                  # the release before, e.g. after a bad upgrade
#
# Every release has a folder of its own in /opt/yizhan/releases; /opt/yizhan/current names the one in
# use and changes in one step, only after the new one has read the configuration. Configuration and
# journal are never touched by an upgrade. Running it again is safe. See deploy/README.md.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
home=/opt/yizhan
etc=/etc/yizhan
id='' wheels='' rollback='' start=1

fail() { echo "install: $*" >&2; exit 1; }
say() { echo "install: $*"; }

while [ $# -gt 0 ]; do
  case "$1" in
    --id) id=${2:?--id needs the cabinet\'s id, for example DH-0001}; shift 2 ;;
    --wheels) wheels=$(cd "${2:?--wheels needs a folder}" && pwd); shift 2 ;;
    --rollback) rollback=1; shift ;;
    --no-start) start=''; shift ;;
    -h|--help) sed -n '2,11p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) echo "install: unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
done

[ "$(id -u)" -eq 0 ] || fail "needs root: run it with sudo"
case "$(uname -m)" in x86_64|aarch64) ;; *) fail "$(uname -m): only 64-bit x86 and ARM are supported" ;; esac

systemd_runs() { [ -d /run/systemd/system ]; }

use() { # make a release the current one, in one step
  ln -sfn "$1" "$home/current.new"
  mv -T "$home/current.new" "$home/current"
  ln -sfn current/bin "$home/bin"
}

restart() {
  systemd_runs || { say "systemd does not run here: start cabinetd by hand"; return; }
  systemctl daemon-reload
  udevadm control --reload || true
  [ -n "$start" ] || return 0
  systemctl enable --quiet cabinetd
  systemctl restart cabinetd
  systemctl --quiet is-active cabinetd || fail "cabinetd did not start: journalctl -u cabinetd -n 50"
}

if [ -n "$rollback" ]; then
  now=$(readlink "$home/current" 2>/dev/null) || fail "nothing is installed in $home"
  before=$(find "$home/releases" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | grep -v -x "$(basename "$now")" | awk -v n="$(basename "$now")" '$0 < n' | tail -n 1)
  [ -n "$before" ] || fail "there is no release before $(basename "$now")"
  "$home/releases/$before/bin/cabinetd" check-config "$etc/cabinet.toml" >/dev/null \
    || fail "$before does not take $etc/cabinet.toml: nothing was changed"
  use "releases/$before"
  restart
  say "back to $before"
  exit 0
fi

# --- what Debian has to bring -------------------------------------------------------------------
if ! python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  command -v apt-get >/dev/null || fail "needs python3 (3.11 or newer) with venv"
  say "installing python3-venv (Debian), for an environment of our own"
  apt-get update -q >/dev/null && apt-get install -yq --no-install-recommends python3-venv >/dev/null
  python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' \
    || fail "$(python3 -V 2>&1) is too old: 3.11 or newer is needed"
fi
if ! id cabinetd >/dev/null 2>&1; then
  say "making the user cabinetd"
  useradd --system --home-dir /var/lib/yizhan --shell /usr/sbin/nologin --groups dialout cabinetd
fi

# --- the release --------------------------------------------------------------------------------
release=$(date -u +%Y%m%dT%H%M%SZ)
place=$home/releases/$release
install -d -m 0755 "$home" "$home/releases"
trap 'rm -rf "$place"' ERR INT TERM
say "installing into $place"
python3 -m venv "$place"
if [ -n "$wheels" ]; then
  "$place/bin/pip" install --quiet --disable-pip-version-check --no-index --find-links "$wheels" 'yizhan[cabinet]'
else
  [ -f "$here/../pyproject.toml" ] || fail "no checkout around this script: name a folder with --wheels"
  "$place/bin/pip" install --quiet --disable-pip-version-check "$(cd "$here/.." && pwd)[cabinet]"
fi

# --- configuration ------------------------------------------------------------------------------
install -d -m 0750 -g cabinetd "$etc"
install -d -m 0750 -o cabinetd -g cabinetd /var/lib/yizhan /var/lib/yizhan/cabinet
if [ ! -e "$etc/cabinet.toml" ]; then
  [ -n "$id" ] || fail "a first installation needs --id, for example --id DH-0001"
  "$place/bin/cabinetd" example-config --id "$id" >"$etc/cabinet.toml.new"
  chown root:cabinetd "$etc/cabinet.toml.new"
  chmod 0640 "$etc/cabinet.toml.new"
  mv "$etc/cabinet.toml.new" "$etc/cabinet.toml"
  first=1
fi
if ! "$place/bin/cabinetd" check-config "$etc/cabinet.toml"; then
  rm -rf "$place"
  fail "the new release does not take $etc/cabinet.toml: nothing was changed"
fi
trap - ERR INT TERM

install -m 0644 "$here/cabinetd.service" /etc/systemd/system/cabinetd.service
install -d /etc/udev/rules.d /etc/tmpfiles.d
install -m 0644 "$here/udev/99-yizhan.rules" /etc/udev/rules.d/99-yizhan.rules
install -m 0644 "$here/tmpfiles.conf" /etc/tmpfiles.d/yizhan.conf
use "releases/$release"
# The three newest stay, so that there is a way back.
find "$home/releases" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | head -n -3 \
  | while read -r old; do rm -rf "${home:?}/releases/$old"; done

if [ -n "${first:-}" ]; then
  systemd_runs && systemctl daemon-reload
  say "installed. Next:"
  say "  1. put this cabinet's lines and devices into $etc/cabinet.toml, then"
  say "     $home/bin/cabinetd check-config $etc/cabinet.toml"
  say "  2. join the fleet: runuser -u cabinetd -- $home/bin/cabinetd enrol --config $etc/cabinet.toml"
  say "  3. systemctl enable --now cabinetd"
else
  restart
  say "upgraded to $release; back again with: $0 --rollback"
fi
