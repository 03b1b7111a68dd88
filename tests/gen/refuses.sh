#!/usr/bin/env bash
# Checks what the generator says to a .proto it must refuse, to the letter: refuses.sh GENERATOR FILE
# The file says itself what to expect and how to run protoc, at the start of lines:
#   // expect LINE    a line of the message, in order
#   // import DIR     an import directory before the usual ones
#   // option TEXT    for --tether_opt
set -euo pipefail
generator=$(readlink -f "$1")
cd "$(dirname "$(readlink -f "$0")")"
repository=$(readlink -f ../..)
cd bad

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
arguments=()
while read -r dir; do arguments+=(-I "$dir"); done < <(sed -n 's|^// import ||p' "$2")
while read -r option; do arguments+=("--tether_opt=$option"); done < <(sed -n 's|^// option ||p' "$2")
sed -n 's|^// expect ||p' "$2" >"$out/expected"
[ -s "$out/expected" ] || { echo "refuses.sh: $2 expects nothing" >&2; exit 1; }

mkdir "$out/files"
status=0
protoc --plugin=protoc-gen-tether="$generator" "${arguments[@]}" -I . -I "$repository/proto" \
  --tether_out="$out/files" "$2" 2>"$out/said" || status=$?
sed -i '1s/^--tether_out: //' "$out/said"
diff -u "$out/expected" "$out/said"
[ "$status" = 1 ] || { echo "refuses.sh: protoc ended with $status" >&2; exit 1; }
[ -z "$(ls -A "$out/files")" ] || { echo "refuses.sh: files were written" >&2; exit 1; }
