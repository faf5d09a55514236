#!/usr/bin/env bash
# Install the Debian packages that the project needs, only those that are missing, and say why.
#   deploy/dev/packages.sh setup   what `make setup` needs (python3-venv, when uv is not there)
#   deploy/dev/packages.sh tests   what `make test` needs
set -euo pipefail

# package | how to tell that it is there | why
setup_packages=(
  "python3-venv|python3 -c 'import ensurepip'|makes the virtual environment .venv"
)
tests_packages=(
  "mbpoll|command -v mbpoll|an independent Modbus client that reads the simulated cabinet"
  "libmodbus5|/sbin/ldconfig -p | grep libmodbus|the Modbus library in C, another independent client"
  "mosquitto|test -x /usr/sbin/mosquitto || command -v mosquitto|the second broker that the tests run against, on a free port"
  "prometheus|command -v promtool|its promtool checks the alert rules and what the programs export"
  "systemd|command -v systemd-analyze|its systemd-analyze checks the units and scores what they may touch"
  "debootstrap|command -v debootstrap|a clean Debian, on which the install script is tried"
  "chromium|command -v chromium|the browser that drives the rider's page"
  "fonts-noto-cjk|fc-list :lang=zh-cn 2>/dev/null | grep -q . || dpkg -s fonts-noto-cjk 2>/dev/null | grep -q '^Status: install ok installed'|Chinese letters in the browser's screenshots"
)

case "${1:-}" in
  setup) wanted=("${setup_packages[@]}") ;;
  tests) wanted=("${tests_packages[@]}") ;;
  *) echo "usage: $0 setup|tests" >&2; exit 2 ;;
esac

missing=()
for row in "${wanted[@]}"; do
  IFS='|' read -r package _ <<<"$row"
  why=${row##*|}
  probe=${row#*|}; probe=${probe%|*}
  if ! bash -c "$probe" >/dev/null 2>&1; then
    missing+=("$package")
    echo "missing: $package ($why)"
  fi
done
[ ${#missing[@]} -eq 0 ] && exit 0

command_line="apt-get install -y --no-install-recommends ${missing[*]}"
if ! command -v apt-get >/dev/null; then
  echo "This system has no apt-get. Install these with your package manager, then run make again:" >&2
  echo "  ${missing[*]}" >&2
  exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
  as_root=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  as_root=(sudo)
elif command -v sudo >/dev/null && [ -t 0 ]; then
  echo "sudo may ask for your password."
  as_root=(sudo)
else
  echo "Installing them needs root, and there is no sudo. Run this as root, then run make again:" >&2
  echo "  $command_line" >&2
  exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
run() { # quiet unless it fails
  if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "$@" >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "Failed: $*" >&2
    echo "Mend that (network? another apt running?), then run make again." >&2
    exit 1
  fi
}
echo "installing: ${missing[*]} (Debian packages, once)"
run apt-get update
# shellcheck disable=SC2086  # one word per package
run $command_line
