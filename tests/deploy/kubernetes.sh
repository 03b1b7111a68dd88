#!/usr/bin/env bash
# Has kubectl read the manifests, without a cluster: kustomize takes them all, and what kubectl writes back of Services and
# workloads, decoded into its own types, has every field that the manifest has. A misspelt field would be gone.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
cd "$here/../../deploy/kubernetes"
if ! command -v kubectl >/dev/null; then
  echo "kubernetes.sh: not checked: no kubectl (Debian: kubernetes-client)"
  exit 77
fi
python3 -c 'import yaml' 2>/dev/null || { echo "kubernetes.sh: not checked: no python3-yaml (tools/install-deps test)"; exit 77; }

kubectl kustomize . | "$here/round_trip.py" 8
kubectl kustomize orders | "$here/round_trip.py" 2
kubectl kustomize . | sed 's/clusterIP: None/clusterIp: None/' | "$here/round_trip.py" 8 >/dev/null 2>&1 && exit 1
kubectl kustomize . | sed 's/periodSeconds: 2$/periodSecond: 2/' | "$here/round_trip.py" 8 >/dev/null 2>&1 && exit 1
exit 0
