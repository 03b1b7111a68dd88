#!/usr/bin/env python3
"""Reads Kubernetes objects and passes each through kubectl's own types where it can decode without a cluster; fails if a
field does not come back, or if they are fewer: round_trip.py COUNT"""
import json
import subprocess
import sys

import yaml


def through_kubectl(o):
    """None: kubectl has no offline command that decodes this kind into its type."""
    if o["kind"] == "Service":
        selector = ",".join(f"{k}={v}" for k, v in o["spec"]["selector"].items())
        command = ["set", "selector", "-f", "-", selector]
    elif o["kind"] in ("Deployment", "StatefulSet"):
        command = ["set", "env", "-f", "-", "ADDED=1"]
    else:
        return None
    run = subprocess.run(["kubectl", *command, "--local", "-o", "json"], input=yaml.safe_dump(o), text=True,
                         capture_output=True)
    if run.returncode != 0:
        sys.exit(f"{o['kind']} {o['metadata']['name']}: kubectl: {run.stderr}")
    return json.loads(run.stdout)


def lost(path, before, after):
    if isinstance(before, dict) and isinstance(after, dict):
        return [x for k, v in before.items() for x in (lost(f"{path}.{k}", v, after[k]) if k in after else [f"{path}.{k}"])]
    if isinstance(before, list) and isinstance(after, list):
        after = [a for a in after if a != {"name": "ADDED", "value": "1"}]  # by through_kubectl
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [x for i, v in enumerate(before) for x in lost(f"{path}[{i}]", v, after[i])]
    return [] if before == after else [f"{path}: {before} became {after}"]


problems, checked = [], 0
for manifest in yaml.safe_load_all(sys.stdin):
    decoded = through_kubectl(manifest)
    if decoded:
        checked += 1
        problems += lost(f"{manifest['kind']} {manifest['metadata']['name']}: ", manifest, decoded)
print(f"{checked} objects went through kubectl")
for problem in problems:
    print(problem, file=sys.stderr)
sys.exit(1 if problems or checked < int(sys.argv[1]) else 0)
