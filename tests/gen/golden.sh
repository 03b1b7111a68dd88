#!/usr/bin/env bash
# Compares what the generator writes with what is kept in golden/: golden.sh GENERATOR [--refresh]
# --refresh replaces what is kept; look at the difference before committing it.
set -euo pipefail
generator=$(readlink -f "$1")
cd "$(dirname "$(readlink -f "$0")")"
repository=$(readlink -f ../..)
golden=$PWD/golden

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cd golden
mapfile -t protos < <(find . -name '*.proto' -printf '%P\n' | sort)
protoc --plugin=protoc-gen-tether="$generator" -I . -I "$repository/proto" --tether_out="$out" "${protos[@]}"

if [ "${2-}" = --refresh ]; then
  find . -name '*.tether.[ch]' -delete
  cp -r "$out"/. .
  exit
fi
# Both ways: a file too many is a difference as well.
mkdir "$out/kept"
find . -name '*.tether.[ch]' -exec cp --parents -t "$out/kept" {} +
mkdir "$out/written"
(cd "$out" && find . -path ./kept -prune -o -path ./written -prune -o -name '*.tether.[ch]' \
  -exec cp --parents -t written {} +)
if ! diff -ru "$out/kept" "$out/written"; then
  echo "golden.sh: differs from $golden; if that is meant, run golden.sh GENERATOR --refresh" >&2
  exit 1
fi
