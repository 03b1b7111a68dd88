#!/usr/bin/env bash
# The package search on several hosts, with a real DNS server: hosts.sh PROGRAMS_FOLDER
#
#            10.77.0.0/24, a bridge
#   main ---+--- edge          tether-edge    --search dns:///search:9000
#   (DNS,   +--- search        tether-search  --shard dns:///shard-0:9000 --shard dns:///shard-1:9000
#   clients)+--- a0 b0 c0      tether-shard   replicas of shard 0
#           +--- a1 b1 c1                     replicas of shard 1
#
# A host is a network namespace. While clients ask all the time, replicas are added (started, then put into DNS) and removed
# (taken out of DNS, then told to drain): not one query may fail or be partial. Then links are cut and healed: queries end
# in time, a replica that vanished is left alone, and all is complete again afterwards.
#
# Needs root. Everything is inside namespaces of its own, and ends with this script.
set -euo pipefail
programs=$(readlink -f "$1")
skip() {
  echo "hosts.sh: not run: $*"
  exit 77
}

if [ "${HOSTS_INSIDE-}" != yes ]; then
  [ "$(id -u)" = 0 ] || skip "needs root, to make network namespaces"
  for tool in ip dnsmasq curl unshare; do
    command -v $tool >/dev/null || skip "no $tool (tools/install-deps test)"
  done
  isolated=(unshare --mount --net --pid --fork --kill-child --mount-proc)
  "${isolated[@]}" ip link add probe type veth peer name eborp 2>/dev/null || skip "namespaces are not permitted here"
  HOSTS_INSIDE=yes exec "${isolated[@]}" "$0" "$programs"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed() {
  echo "hosts.sh: $*" >&2
  tail -n 5 "$work"/*.log >&2
  exit 1
}

# wait_for SECONDS WHAT COMMAND...: until it succeeds.
wait_for() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    [ $SECONDS -lt $end ] || failed "in vain: $what"
    sleep 0.05
  done
}

# ---- Hosts ----

mount -t tmpfs none /run
mkdir /run/netns
ip link set lo up
ip link add br0 type bridge
ip addr add 10.77.0.1/24 dev br0
ip link set br0 up

declare -A address pid
# add_host NAME NUMBER
add_host() {
  ip netns add "$1"
  ip link add "$1" type veth peer name eth0 netns "$1"
  ip link set "$1" master br0 up
  ip -n "$1" link set lo up
  ip -n "$1" addr add "10.77.0.$2/24" dev eth0
  ip -n "$1" link set eth0 up
  address[$1]=10.77.0.$2
}
number=10
for host in edge search a0 b0 c0 a1 b1 c1; do add_host $host $((number++)); done

# on HOST LABEL PROGRAM ARGUMENT...: starts a service.
on() {
  local host=$1 label=$2 program=$3
  shift 3
  ip netns exec "$host" "$programs/$program" "$@" </dev/null >/dev/null 2>"$work/$label.log" &
  pid[$label]=$!
}

# ---- DNS ----

declare -A names # name -> its hosts
write_dns() {
  local name host
  for name in "${!names[@]}"; do
    for host in ${names[$name]}; do echo "${address[$host]} $name"; done
  done >"$work/hosts.new"
  mv "$work/hosts.new" "$work/hosts"
  [ -z "${pid[dns]-}" ] || kill -HUP "${pid[dns]}"
}
# set_dns NAME HOST...: the name's addresses from now on.
set_dns() {
  names[$1]=${*:2}
  write_dns
}
set_dns search search
set_dns shard-0 a0 b0
set_dns shard-1 a1 b1
echo "nameserver 10.77.0.1" >"$work/resolv.conf"
mount --bind "$work/resolv.conf" "$(readlink -f /etc/resolv.conf)"
dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --pid-file= --no-resolv --no-hosts \
  --addn-hosts="$work/hosts" --local-ttl=0 --listen-address=10.77.0.1 --bind-interfaces 2>"$work/dns.log" &
pid[dns]=$!
wait_for 10 "DNS" getent hosts shard-0 >/dev/null

# ---- Services ----

"$programs/tether-load" --to "$work/db" --shards 2 --from "$(dirname "$(readlink -f "$0")")/../../services/data/sample-packages" \
  >/dev/null 2>&1

start_shard() {
  local host=$1 shard=${1#?}
  on "$host" "$host" tether-shard --db "$work/db/shard-$shard.db" --listen "tcp://${address[$host]}:9000" --name "$host" --grace 10s
  wait_for 20 "$host is healthy" "$programs/tether-cli" health --url "tcp://${address[$host]}:9000" >/dev/null 2>&1
}
for host in a0 b0 a1 b1; do start_shard $host; done
on search search tether-search --listen "tcp://${address[search]}:9000" --shard dns:///shard-0:9000 \
  --shard dns:///shard-1:9000 --grace 10s
on edge edge tether-edge --listen "${address[edge]}:8080" --search dns:///search:9000 --grace 10s

url=http://${address[edge]}:8080
# ask WORDS BUDGET: the reply, and in a line of its own its status and how long it took.
ask() { curl -s -m 30 -w '\n%{http_code} %{time_total}' "$url/search?q=$1&timeout=$2"; }
is_whole() { [[ $1 == *'"partial":false'*$'\n200 '* ]]; }
whole() { is_whole "$(ask editor 2s)"; }
wait_for 20 "a whole answer" whole

# ---- Load ----

clients=4
client() {
  local reply
  while [ ! -e "$work/enough" ]; do
    reply=$(ask 'a*' 10s) || true
    echo "${reply##*$'\n'}" >>"$work/answers.$1"
    is_whole "$reply" || echo "$reply" >>"$work/failures"
  done
}
start_load() {
  local i
  rm -f "$work/enough" "$work"/answers.* "$work/failures"
  for ((i = 0; i < clients; i++)); do client $i & pid[client$i]=$!; done
}
answers() { cat "$work"/answers.* 2>/dev/null | wc -l; }
stop_load() {
  local i
  touch "$work/enough"
  for ((i = 0; i < clients; i++)); do wait "${pid[client$i]}"; done
  [ ! -s "$work/failures" ] || failed "$(wc -l <"$work/failures") of $(answers) queries failed, the first: $(head -n 1 "$work/failures")"
}

serves() { grep -q 'event=query-end' "$work/$1.log"; }
log_length() { wc -l <"$work/$1.log"; }

echo "== replicas come and go while $clients clients ask"
start_load
are_more_than() { [ "$(answers)" -gt "$1" ]; }
wait_for 20 "some answers" are_more_than 20
# add HOST: starts it, and puts it into DNS beside the others.
add() {
  start_shard "$1"
  set_dns "shard-${1#?}" "${names[shard-${1#?}]}" "$1"
  wait_for 60 "$1 is found and asked" serves "$1"
  echo "   $1 added after $(answers) answers"
}
# remove HOST: takes it out of DNS and drains it.
remove() {
  local rest=" ${names[shard-${1#?}]} "
  read -ra rest <<<"${rest/ $1 / }"
  set_dns "shard-${1#?}" "${rest[@]}"
  kill -TERM "${pid[$1]}"
  wait "${pid[$1]}" || failed "$1 does not end in good order"
  mv "$work/$1.log" "$work/$1.old.log"
  echo "   $1 drained after $(answers) answers"
}
for shard in 0 1; do
  add c$shard
  remove a$shard
  add a$shard
  remove b$shard
  remove c$shard
  add b$shard
done
wait_for 20 "more answers" are_more_than $(($(answers) + 20))
stop_load
echo "   $(answers) queries, none failed and none partial"

# ---- Links ----

# in_time COUNT: so many queries with a budget of 500 ms each are over soon after it, whatever they say; prints how they were.
in_time() {
  local i reply how took
  for ((i = 0; i < $1; i++)); do
    reply=$(ask editor 500ms) || failed "a query is not answered at all"
    how=${reply##*$'\n'} took=${reply##* }
    [ "${took%.*}" -lt 5 ] || failed "a query with 500 ms took $took s: $reply"
    if is_whole "$reply"; then echo "200, whole"; else echo "${how% *}"; fi
  done | sort | uniq -c | sed 's/^ */   /'
}
ten_whole() {
  local i
  for ((i = 0; i < 10; i++)); do whole || return 1; done
}

echo "== the link of one of two replicas is cut: deadlines hold, then the other one answers everything"
ip link set a0 down
in_time 10
wait_for 60 "whole answers without a0" ten_whole
echo "== the other one's too: late answers, none too late"
ip link set b0 down
in_time 10
! whole || failed "an answer is whole though nobody serves shard 0"
echo "== both links are healed"
ip link set a0 up
ip link set b0 up
wait_for 60 "whole answers again" ten_whole
from=$(log_length a0)
asked_again() { [ "$(log_length a0)" -gt "$from" ] || { whole && false; }; }
wait_for 60 "a0 is asked again" asked_again
echo "   recovered"

for label in edge search a0 b0 a1 b1; do kill -TERM "${pid[$label]}"; done
for label in edge search a0 b0 a1 b1; do wait "${pid[$label]}" || failed "$label does not end in good order"; done
echo "hosts.sh: ok"
