#!/usr/bin/env bash
# Takes the first program out of the README, builds it against an installed library as the README says, runs it and
# compares what it prints: readme.sh PREFIX README
set -euo pipefail
prefix=$1 readme=$2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# block LANGUAGE: the first fenced block of that language.
block() {
  awk -v fence="\`\`\`$1" '
    $0 == fence && !done { inside = 1; next }
    /^```/ && inside { inside = 0; done = 1 }
    inside { print }' "$readme"
}
block proto >"$work/greeter.proto"
block cmake >"$work/CMakeLists.txt"
block text >"$work/expected"
# A socket of its own, so that two runs at a time do not meet.
block c | sed "s|/tmp/greeter.sock|$work/greeter.sock|" >"$work/main.c"
for file in greeter.proto CMakeLists.txt expected main.c; do
  [ -s "$work/$file" ] || { echo "readme: the README has no $file" >&2; exit 1; }
done

cd "$work"
LD_LIBRARY_PATH=$(dirname "$(find "$prefix" -name libtether.so)")
export LD_LIBRARY_PATH
cmake -G Ninja -S . -B build -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_FLAGS="-Wall -Wextra -Werror"
cmake --build build
build/greeter >printed
diff expected printed
