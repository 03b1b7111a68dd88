#!/usr/bin/env bash
# Builds the project in generate/ with tether_generate and looks at what is generated when:
# generate.sh GENERATOR CMAKE_GENERATOR
set -euo pipefail
generator=$(readlink -f "$1") build_system=$2
here=$(dirname "$(readlink -f "$0")")
repository=$(readlink -f "$here/../..")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$here/generate" "$work/project"
cd "$work"

fail() {
  echo "generate.sh: $1" >&2
  cat log >&2
  exit 1
}
# Prints the stems of what a build generates.
build() {
  cmake --build build >log 2>&1 || fail "the build failed"
  sed -n 's|.*Generating \([a-z/]*\)\.tether\..*|\1|p' log | sort | tr '\n' ' '
}
expect() {
  [ "$2" = "$3" ] || fail "$1: generated '$2' instead of '$3'"
}

configure=(cmake -G "$build_system" -S project -B build "-DGENERATOR=$generator" "-DTETHER=$repository")
"${configure[@]}" >log 2>&1 || fail "cmake failed"
if grep -q Warning log; then fail "cmake warns"; fi
expect "first build" "$(build)" "a/service a/types google/protobuf/empty user "
expect "nothing changed" "$(build)" ""

echo 'message Another {}' >>project/proto/a/types.proto
expect "an import changed" "$(build)" "a/service a/types user "
echo 'message Own {}' >>project/sub/user.proto
expect "one file changed" "$(build)" "user "

echo 'service Bad { rpc Register(Own) returns (Own); }' >>project/sub/user.proto
if cmake --build build >log 2>&1; then fail "a refused file builds"; fi
grep -q 'user.proto:8:15: rpc user.Bad.Register becomes the member' log || fail "the refusal is not shown"

echo 'tether_generate(messages missing.proto)' >>project/CMakeLists.txt
if "${configure[@]}" >log 2>&1; then fail "a missing file is configured"; fi
grep -q 'tether_generate: no missing.proto in' log || fail "the missing file is not named"
