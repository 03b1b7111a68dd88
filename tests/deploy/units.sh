#!/usr/bin/env bash
# Installs the programs and units into an empty root and has systemd look at them: units.sh BUILD_FOLDER
set -euo pipefail
build=$(readlink -f "$1")
most_exposed=20 # of 100, as systemd-analyze security counts
if ! command -v systemd-analyze >/dev/null; then
  echo "units.sh: not checked: no systemd-analyze (tools/install-deps test)"
  exit 77
fi

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
DESTDIR=$root cmake --install "$build" --prefix /usr --component services >/dev/null
cd "$root/usr/lib/systemd/system"
ls "$root/usr/bin" "$root/usr/lib/sysusers.d" .

# What ours name and the system brings.
mkdir -p "$root/bin"
cp /bin/kill "$root/bin"
cp /lib/systemd/system/{sysinit,basic,shutdown,network,multi-user,local-fs,swap,slices,sockets,paths,timers}.target . 2>/dev/null || true
units=(tether-load.service tether-shard@0.service tether-search.service tether-edge.service tether-orders.service)
said=$(systemd-analyze verify --man=no --root="$root" "${units[@]}" 2>&1) || { echo "$said" >&2; exit 1; }
if grep '^[^ ]*tether' <<<"$said" >&2; then
  echo "units.sh: systemd-analyze verify complains" >&2
  exit 1
fi

for unit in tether-*.service; do
  systemd-analyze security --offline=true --no-pager --threshold=$most_exposed "$unit" >"$root/security" 2>&1 || {
    cat "$root/security" >&2
    exit 1
  }
  sed -n 's/^→ //p' "$root/security"
done

# The check above can fail.
sed -i 's/^ExecStart=.*/ExecStart=relative/; s/^WatchdogSec=/WatchdogSecs=/' tether-edge.service
said=$(systemd-analyze verify --man=no --root="$root" tether-edge.service 2>&1) || true
grep -q "Unknown key.*WatchdogSecs" <<<"$said" && grep -q 'relative' <<<"$said"
