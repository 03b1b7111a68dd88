#!/usr/bin/env bash
# The generator run by hand, on what is no request: it says why on standard error, writes nothing to standard output
# and exits with 1: no_request.sh GENERATOR
set -euo pipefail
generator=$1
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# check NAME ARGUMENT...: runs the generator on $out/in.
check() {
  local status=0
  "$generator" "${@:2}" <"$out/in" >"$out/out" 2>"$out/err" || status=$?
  if [ $status != 1 ] || [ -s "$out/out" ] || ! grep -q '^protoc-gen-tether: ' "$out/err"; then
    echo "no_request.sh: $1: status $status, standard error:" >&2
    cat "$out/err" >&2
    exit 1
  fi
}

: >"$out/in"
check "nothing"
check "an argument" greeter.proto
echo 'syntax = "proto3";' >"$out/in"
check "a .proto"
head -c 100000 /dev/zero >"$out/in"
check "zeros"
printf '\x7a\xff\xff\xff\xff\x0f' >"$out/in"
check "a length of 4 GiB"
"$generator" --version | grep -Eq '^protoc-gen-tether [0-9.]+$'
# Standard output that takes nothing.
printf '\x0a\x01x\x7a\x03\x0a\x01x' >"$out/in"
"$generator" <"$out/in" >"$out/out"
[ -s "$out/out" ]
status=0
"$generator" <"$out/in" >/dev/full 2>"$out/err" || status=$?
[ $status = 1 ] && grep -q 'cannot write' "$out/err"
