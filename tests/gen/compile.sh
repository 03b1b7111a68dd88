#!/usr/bin/env bash
# Compiles what the generator and protoc-c write for golden/ with every warning an error, as C11 and as GNU C11, and
# each generated header alone, two also as C++ (the others have names that C++ reserves, or their messages do):
# compile.sh GENERATOR COMPILER
set -euo pipefail
generator=$(readlink -f "$1") compiler=$2
cd "$(dirname "$(readlink -f "$0")")"
repository=$(readlink -f ../..)

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cd golden
mapfile -t protos < <(find . -name '*.proto' -printf '%P\n' | sort)
protoc --plugin=protoc-gen-tether="$generator" -I . -I "$repository/proto" --tether_out="$out" --c_out="$out" \
  "${protos[@]}" google/protobuf/empty.proto

cd "$out"
read -ra flags < <(pkg-config --cflags libprotobuf-c)
flags+=(-Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wshadow -Wvla -O1 -I . -I "$repository/include")
mapfile -t headers < <(find . -name '*.tether.h' -printf '%P\n' | sort)
for header in "${headers[@]}"; do
  echo "#include \"$header\"" >"${header%.h}.alone.c"
done
mapfile -t sources < <(find . -name '*.c' -printf '%P\n' | sort)
for standard in c11 gnu11; do
  for source in "${sources[@]}"; do
    "$compiler" -std=$standard "${flags[@]}" -c -o "${source%.c}.o" "$source"
  done
done
if echo | "$compiler" -x c++ -fsyntax-only - 2>/dev/null; then
  for header in no_package streaming; do
    "$compiler" -x c++ -Wall -Wextra -Werror -fsyntax-only -I . -I "$repository/include" $header.tether.alone.c
  done
fi
# Names defined twice would show here.
mapfile -t objects < <(find . -name '*.o' | sort)
"$compiler" -r -nostdlib -o all.o "${objects[@]}"
echo "${#sources[@]} sources, ${#headers[@]} headers"
