#!/usr/bin/env bash
# Has Compose itself read the compose file.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../../deploy/docker"
if docker compose version >/dev/null 2>&1; then
  compose=(docker compose)
elif command -v docker-compose >/dev/null; then
  compose=(docker-compose)
else
  echo "compose.sh: not checked: no docker compose (Debian: docker-compose)"
  exit 77
fi
"${compose[@]}" -f compose.yaml config -q

broken=$(mktemp --suffix .yaml)
trap 'rm -f "$broken"' EXIT
sed 's/stop_grace_period/stop_grace/' compose.yaml >"$broken"
if "${compose[@]}" -f "$broken" config -q 2>/dev/null; then
  echo "compose.sh: ${compose[*]} takes anything" >&2
  exit 1
fi
