#!/usr/bin/env bash
# Runs commands.py over deploy/, and over copies that are wrong, each of which it must find: commands.sh PROGRAMS_FOLDER
set -euo pipefail
programs=$1
here=$(dirname "$(readlink -f "$0")")
repository=$(readlink -f "$here/../..")
python3 -c 'import yaml' 2>/dev/null || { echo "commands.sh: not checked: no python3-yaml (tools/install-deps test)"; exit 77; }

"$here/commands.py" "$programs" "$repository"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# finds EXPRESSION FILE TEXT: with the file changed by sed, the check fails and says TEXT.
finds() {
  rm -rf "$work/deploy"
  cp -r "$repository/deploy" "$work/deploy"
  sed -i "$1" "$work/deploy/$2"
  ! cmp -s "$repository/deploy/$2" "$work/deploy/$2" || { echo "commands.sh: '$1' changes nothing in $2" >&2; exit 1; }
  if "$here/commands.py" "$programs" "$work" >"$work/said" 2>&1 || ! grep -q -- "$3" "$work/said"; then
    echo "commands.sh: with '$1' in $2 nobody says '$3':" >&2
    cat "$work/said" >&2
    exit 1
  fi
}
finds 's/--name/--nam/' 'systemd/tether-shard@.service' 'tether-shard has no option --nam'
finds 's/TimeoutStopSec=20s/TimeoutStopSec=5s/' systemd/tether-edge.service 'killed before its grace is over'
finds 's|dns:///shard-1|dns:///shard-9|' docker/compose.yaml 'shard-9 is no service'
finds 's/"health", /"healthy", /' docker/compose.yaml 'tether-cli healthy --help says nothing'
finds 's/clusterIP: None/clusterIP: 10.0.0.1/' kubernetes/shard-0.yaml 'tether-shard-0 is not headless'
finds 's/minAvailable: 1/minAvailable: 2/' kubernetes/search.yaml 'lets no pod go'
finds 's/terminationGracePeriodSeconds: 30/terminationGracePeriodSeconds: 10/' kubernetes/edge.yaml 'killed before its grace'
finds 's/service=orders/host=db password=secret/' docker/compose.yaml "in everybody's sight"
finds 's/^LoadCredential=pg_service.conf/LoadCredential=other/' systemd/tether-orders.service 'is none of its secrets'
finds 's/secrets: .pg_service.conf./secrets: []/' docker/compose.yaml 'is none of its secrets'
finds 's|mountPath: /run/secrets/tether-orders|mountPath: /elsewhere|' kubernetes/orders/orders.yaml 'is none of its secrets'
