#!/usr/bin/env bash
# Writes a source file with one line replaced: tests/sim/mutate.sh MUTANT SOURCES OUTPUT
# A mutant is a file of four lines: what is wrong with it, the source, the line, what takes its place. The source must
# have the line exactly once, so that a mutant that has lost its place is noticed.
set -euo pipefail
mutant=$1 sources=$2 output=$3
mapfile -t lines <"$mutant"
[ ${#lines[@]} = 4 ] || {
  echo "$mutant: wants four lines" >&2
  exit 1
}
if ! OLD=${lines[2]} NEW=${lines[3]} awk '
  function trimmed(text) { gsub(/^[ \t]+|[ \t]+$/, "", text); return text }
  BEGIN { old = trimmed(ENVIRON["OLD"]) }
  trimmed($0) == old { print ENVIRON["NEW"]; found++; next }
  { print }
  END { exit found == 1 ? 0 : 1 }' "$sources/${lines[1]}" >"$output"; then
  rm -f "$output"
  echo "$mutant: ${lines[1]} has its line not at all, or more than once" >&2
  exit 1
fi
