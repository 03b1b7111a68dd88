#!/usr/bin/env bash
# Builds a program outside of the tree against an installed library, once as a CMake user and once as a
# pkg-config user, and runs both: outside.sh PREFIX PACKAGE PROGRAM_FOLDER
# PACKAGE is the pkg-config name. The folder has a CMakeLists.txt with a target `program`, main.c, and, if it
# makes calls, one .proto.
set -euo pipefail
prefix=$1 package=$2 folder=$3

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$folder"/* "$work"
cd "$work"

# Moved away from where it was installed to: nothing may hold an absolute path.
cp -a "$prefix" "$work/moved"
prefix=$work/moved
libdir=$(dirname "$(find "$prefix" -name libtether-ctx.so)")
export PKG_CONFIG_PATH=$libdir/pkgconfig LD_LIBRARY_PATH=$libdir

echo "== find_package"
cmake -G Ninja -S . -B build -DCMAKE_PREFIX_PATH="$prefix" >cmake.log || { cat cmake.log; exit 1; }
cmake --build build >cmake.log || { cat cmake.log; exit 1; }
build/program

echo "== pkg-config"
sources=(main.c)
for proto in *.proto; do
  [ -e "$proto" ] || break
  protoc -I . -I "$(pkg-config --variable=protodir "$package")" --c_out=. \
    --plugin="$prefix/bin/protoc-gen-tether" --tether_out=. "$proto"
  sources+=("${proto%.proto}".*.c)
done
read -ra flags < <(pkg-config --cflags --libs "$package")
"${CC:-cc}" -Wall -Wextra -Werror -o program "${sources[@]}" -I . "${flags[@]}"
./program
