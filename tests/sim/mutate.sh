#!/usr/bin/env bash
# Writes a source file with a line or more replaced: tests/sim/mutate.sh MUTANT SOURCES OUTPUT
# A mutant is a file of what is wrong with it, the source, and in turn a line and what takes its place. The source must
# have each such line exactly once, so that a mutant that has lost its place is noticed.
set -euo pipefail
mutant=$1 sources=$2 output=$3
mapfile -t lines <"$mutant"
if [ ${#lines[@]} -lt 4 ] || [ $((${#lines[@]} % 2)) != 0 ]; then
  echo "$mutant: wants two lines, and then pairs of lines" >&2
  exit 1
fi
cp "$sources/${lines[1]}" "$output"
for ((i = 2; i < ${#lines[@]}; i += 2)); do
  if ! OLD=${lines[i]} NEW=${lines[i + 1]} awk '
    function trimmed(text) { gsub(/^[ \t]+|[ \t]+$/, "", text); return text }
    BEGIN { old = trimmed(ENVIRON["OLD"]) }
    trimmed($0) == old { print ENVIRON["NEW"]; found++; next }
    { print }
    END { exit found == 1 ? 0 : 1 }' "$output" >"$output.next"; then
    rm -f "$output" "$output.next"
    echo "$mutant: ${lines[1]} has line $i of it not at all, or more than once" >&2
    exit 1
  fi
  mv "$output.next" "$output"
done
