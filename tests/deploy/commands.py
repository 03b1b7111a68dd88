#!/usr/bin/env python3
"""What deploy/ would run, held against the programs themselves and against itself.

    commands.py PROGRAMS_FOLDER REPOSITORY

Every command line in the systemd units, the compose file and the Kubernetes manifests must name a program that there is and
only options that it has; names that are resolved must be names that are defined; and what is given time to stop must
have more of it than it asks for. Prints each thing that is wrong; exits with 1 if any is."""
import glob
import os
import re
import subprocess
import sys

import yaml

programs, repository = sys.argv[1:3]
deploy = os.path.join(repository, "deploy")
wrong = []
checked = 0


def check(fine, where, what):
    global checked
    checked += 1
    if not fine:
        wrong.append(f"{where}: {what}")


def seconds(text):
    number, unit = re.fullmatch(r"([0-9.]+)(ms|s|min|m)?", str(text)).groups()
    return float(number) * {"ms": 0.001, None: 1, "s": 1, "min": 60, "m": 60}[unit]


help_texts = {}


def options_of(command):
    """The options of a program, or of a command of tether-cli, by its own --help: name -> whether it takes a value."""
    key = tuple(command)
    if key not in help_texts:
        run = subprocess.run([os.path.join(programs, command[0]), *command[1:], "--help"], capture_output=True, text=True)
        help_texts[key] = run.stdout if run.returncode == 0 else ""
    return {m[1]: bool(m[2]) for m in re.finditer(r"^  --([a-z-]+)( [A-Z:|]+)?", help_texts[key], re.M)}


def check_command(where, words):
    """Returns the options given, as lists of values."""
    given = {}
    program = os.path.basename(words[0])
    if not program.startswith("tether-"):
        check(program in ("sleep",), where, f"unknown program {words[0]}")
        return given
    check(os.access(os.path.join(programs, program), os.X_OK), where, f"there is no program {program}")
    command = [program] + (words[1:2] if program == "tether-cli" else [])
    options, rest = options_of(command), words[len(command):]
    check(options, where, f"{' '.join(command)} --help says nothing")
    while rest:
        word = rest.pop(0)
        name = word[2:]
        check(word.startswith("--") and name in options, where, f"{program} has no option {word}")
        value = rest.pop(0) if options.get(name) and rest else None
        check(not options.get(name) or value is not None, where, f"{word} lacks its value")
        given.setdefault(name, []).append(value)
    # The database by the name of a service, whose settings and password are in a file (check_database).
    for database in given.get("db", []) if program == "tether-orders" else []:
        check(re.fullmatch("service=[a-z]+", database), where, "tells where its database is, in everybody's sight")
    return given


def check_database(where, given, service_file, secrets):
    """A program that takes its database by name has libpq's service file, among the secrets it is given."""
    if given.get("db", [""])[0].startswith("service="):
        check(service_file in secrets, where, f"PGSERVICEFILE {service_file} is none of its secrets {secrets}")


def documents(path):
    with open(path, encoding="utf-8") as file:
        return [d for d in yaml.safe_load_all(file) if d]


# ---- systemd ----

def unit_of(path):
    """Section -> key -> values; continued lines are not used in ours."""
    sections, section = {}, None
    with open(path, encoding="utf-8") as file:
        for line in file.read().splitlines():
            if re.match(r"\[.*\]$", line):
                section = sections.setdefault(line[1:-1], {})
            elif line and line[0] not in "#;":
                key, value = line.split("=", 1)
                section.setdefault(key, []).append(value)
    return sections


units = {os.path.basename(p): unit_of(p) for p in glob.glob(os.path.join(deploy, "systemd", "*.service"))}
check(len(units) == 5, "deploy/systemd", "there are not five units")
directories = set()
for name, unit in units.items():
    service, environment = unit["Service"], {}
    for setting in service.get("Environment", []):
        key, value = setting.strip('"').split("=", 1)
        environment[key] = value
    line = service["ExecStart"][0].replace("%i", "0")
    for key, value in environment.items():
        line = line.replace("$" + key, value)
    given = check_command(name, line.split())
    check_database(name, given, environment.get("PGSERVICEFILE"),
                   ["%d/" + c.split(":")[0] for c in service.get("LoadCredential", [])])
    for url in given.get("listen", []):
        if url.startswith("ipc://"):
            directories.add(os.path.dirname(url[len("ipc://"):]))
            check("/run/" + service["RuntimeDirectory"][0].replace("%i", "0") == os.path.dirname(url[len("ipc://"):]),
                  name, f"{url} is not in its runtime directory")
    if service["Type"] == ["notify"]:
        check(seconds(service["TimeoutStopSec"][0]) > seconds(given["grace"][0]), name, "killed before its grace is over")
        check(seconds(service["WatchdogSec"][0]) > 0, name, "no watchdog")
    for other in unit["Unit"].get("Wants", []) + unit["Unit"].get("Requires", []):
        for wanted in other.split():
            if wanted.startswith("tether"):
                check(re.sub("@.*\\.", "@.", wanted) in units, name, f"there is no {wanted}")
for name, unit in units.items():
    for url in re.findall(r"--(?:shard|search) ipc://(\S+)", str(unit["Service"])):
        check(re.sub("shard-[0-9]+", "shard-0", os.path.dirname(url)) in directories, name, f"nobody serves {url}")

# ---- compose ----

path = os.path.join(deploy, "docker", "compose.yaml")
compose = documents(path)[0]
services = compose["services"]
for name, service in services.items():
    where = f"compose.yaml, {name}"
    given = check_command(where, service["command"])
    secrets = service.get("secrets", [])
    check(set(secrets) <= set(compose.get("secrets", {})), where, f"not all of {secrets} are secrets")
    check_database(where, given, service.get("environment", {}).get("PGSERVICEFILE"), ["/run/secrets/" + s for s in secrets])
    if "grace" in given:
        check(seconds(service["stop_grace_period"]) > seconds(given["grace"][0]), where, "killed before its grace is over")
    for target in given.get("shard", []) + given.get("search", []):
        host, port = re.fullmatch(r"dns:///([^:]+):(\d+)", target).groups()
        check(host in services, where, f"{host} is no service")
        listens = services[host]["command"] if host in services else ["--listen", ""]
        check(listens[listens.index("--listen") + 1].endswith(":" + port), where, f"{host} does not listen on {port}")
    for other in service.get("depends_on", {}):
        check(other in services, where, f"depends on {other}, which is no service")
    if "healthcheck" in service:
        probe = service["healthcheck"]["test"]
        check(probe[0] == "CMD", where, "the probe is no CMD")
        check_command(where + ", probe", probe[1:])
        timeout = probe[probe.index("--timeout") + 1]
        check(seconds(timeout) < seconds(service["healthcheck"]["timeout"]), where, "the probe is killed before it gives up")
    check(service["read_only"] and service["cap_drop"] == ["ALL"], where, "not confined")
    for volume in service.get("volumes", []):
        check(volume.split(":")[0] in compose["volumes"], where, f"{volume} is no volume")

# ---- Kubernetes ----

def check_kustomization(folder, workload_count):
    at = os.path.relpath(folder, deploy)
    kustomization = documents(os.path.join(folder, "kustomization.yaml"))[0]
    listed = {os.path.join(folder, r) for r in kustomization["resources"]}
    there = set(glob.glob(os.path.join(folder, "*.yaml"))) - {os.path.join(folder, "kustomization.yaml")}
    check(listed == there, f"{at}/kustomization.yaml", f"lists {sorted(listed ^ there)} or lacks it")
    by_kind = {}
    for o in [d for p in sorted(there) for d in documents(p)]:
        by_kind.setdefault(o["kind"], {})[o["metadata"]["name"]] = o
    check(kustomization["namespace"] in by_kind["Namespace"], at, "its namespace is not made")
    workloads = {**by_kind.get("Deployment", {}), **by_kind.get("StatefulSet", {})}
    check(len(workloads) == workload_count, at, f"there are not {workload_count} workloads")
    check_selectors(by_kind, workloads)
    for name, workload in workloads.items():
        check_workload(f"{workload['kind']} {name}", name, workload["spec"], by_kind)


def selects(workloads, labels):
    return [n for n, w in workloads.items() if labels.items() <= w["spec"]["template"]["metadata"]["labels"].items()]


def check_selectors(by_kind, workloads):
    for kind, labels_of in (("Service", lambda o: o["spec"]["selector"]),
                            ("PodDisruptionBudget", lambda o: o["spec"]["selector"]["matchLabels"]),
                            ("NetworkPolicy", lambda o: o["spec"]["podSelector"]["matchLabels"])):
        for name, o in by_kind[kind].items():
            check(selects(workloads, labels_of(o)) == [name], f"{kind} {name}", "does not select the workload of its name")
    for name, budget in by_kind["PodDisruptionBudget"].items():
        check(budget["spec"]["minAvailable"] < workloads[name]["spec"]["replicas"], f"PodDisruptionBudget {name}",
              "lets no pod go")
    for name, policy in by_kind["NetworkPolicy"].items():
        for rule in policy["spec"]["ingress"]:
            for peer in rule.get("from", []):
                labels = peer["podSelector"]["matchLabels"]
                # The clients of the orders are not ours.
                check(selects(workloads, labels) or labels == {f"{name}-client": "true"}, f"NetworkPolicy {name}",
                      "lets nobody in")
    for name, workload in workloads.items():
        where = f"{workload['kind']} {name}"
        check(selects(workloads, workload["spec"]["selector"]["matchLabels"]) == [name], where, "does not select its own pods")
        check(all(name in by_kind[k] for k in ("Service", "PodDisruptionBudget", "NetworkPolicy")), where,
              "lacks a Service, PodDisruptionBudget or NetworkPolicy")


def check_container(where, pod, container):
    """Returns the options given."""
    given = check_command(where, container["command"])
    check(container["image"] == "tether-search", where, "another image")
    confined = container["securityContext"]
    check(confined["readOnlyRootFilesystem"] and confined["capabilities"]["drop"] == ["ALL"], where, "not confined")
    volumes, secrets = {v["name"]: v for v in pod.get("volumes", [])}, []
    for mount in container.get("volumeMounts", []):
        check(mount["name"] in volumes, where, f"no volume {mount['name']}")
        if "secret" in volumes.get(mount["name"], {}):
            secrets.append(mount["mountPath"])
    environment = {e["name"]: e.get("value", "") for e in container.get("env", [])}
    check_database(where, given, os.path.dirname(environment.get("PGSERVICEFILE", "")), secrets)
    return given


def check_workload(where, name, spec, by_kind):
    pod = spec["template"]["spec"]
    for container in pod.get("initContainers", []) + pod["containers"]:
        given = check_container(where, pod, container)
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    for port in by_kind["Service"][name]["spec"]["ports"]:
        check(port["targetPort"] in ports, where, f"its Service wants port {port['targetPort']}")
    check(given["listen"][0].endswith(":" + str(list(ports.values())[0])), where, "listens elsewhere")
    check([r["ports"][0]["port"] for r in by_kind["NetworkPolicy"][name]["spec"]["ingress"]] == list(ports.values()),
          where, "its NetworkPolicy opens another port")
    pause = container["lifecycle"]["preStop"]["exec"]["command"]
    check_command(where + ", preStop", pause)
    check(float(pause[1]) + seconds(given["grace"][0]) < pod["terminationGracePeriodSeconds"], where,
          "killed before its grace is over")
    for kind in ("readinessProbe", "livenessProbe"):
        probe = container[kind]
        if "exec" in probe:
            command = probe["exec"]["command"]
            check_command(f"{where}, {kind}", command)
            check(seconds(command[command.index("--timeout") + 1]) < probe["timeoutSeconds"], where,
                  f"the {kind} is killed before it gives up")
        else:
            check((probe.get("httpGet") or probe["tcpSocket"])["port"] in ports, where, f"the {kind} asks another port")
    for target in given.get("shard", []) + given.get("search", []):
        host, port = re.fullmatch(r"dns:///([^:]+):(\d+)", target).groups()
        service = by_kind["Service"].get(host)
        check(service, where, f"{host} is no Service")
        check(service and service["spec"].get("clusterIP") == "None", where, f"{host} is not headless: one address is no balancing")
        check(service and int(port) in [p["port"] for p in service["spec"]["ports"]], where, f"{host} has no port {port}")


check_kustomization(os.path.join(deploy, "kubernetes"), 4)
check_kustomization(os.path.join(deploy, "kubernetes", "orders"), 1)

for line in wrong:
    print(line, file=sys.stderr)
print(f"{checked} checks, {len(wrong)} failed")
sys.exit(1 if wrong else 0)
