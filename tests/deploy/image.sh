#!/usr/bin/env bash
# The packages that the Dockerfile installs beside the programs are those that the programs' libraries come from, no more
# and no less: image.sh PROGRAMS_FOLDER
set -euo pipefail
programs=$1
dockerfile=$(dirname "$(readlink -f "$0")")/../../deploy/docker/Dockerfile
if ! grep -qx 'VERSION_CODENAME=bookworm' /etc/os-release; then
  echo "image.sh: not checked: the image is Debian 12, this is something else"
  exit 77
fi

needed=$(for program in load shard search edge orders cli; do
  ldd "$programs/tether-$program"
done | awk '$2 == "=>" { print $1, $3 }' | sort -u)
direct=$(for program in load shard search edge orders cli; do
  objdump -p "$programs/tether-$program" | awk '$1 == "NEEDED" { print $2 }'
done | sort -u)
# Of the libraries that programs name themselves; what those need in turn, their packages depend on.
packages=$(for library in $direct; do
  path=$(awk -v l="$library" '$1 == l { print $2 }' <<<"$needed")
  # Known to dpkg as /lib/... or /usr/lib/..., whatever it is here.
  [ -z "$path" ] || dpkg-query -S "*/$(basename "$(dirname "$path")")/$(basename "$path")" | sed 's/[,:].*//' | head -n 1
done | sort -u | grep -vx 'libc6')
installed=$(sed -n '/^FROM debian:12-slim$/,$p' "$dockerfile" | tr '\\\n' '  ' |
  sed 's/.*--no-install-recommends \(.*\) && rm -rf.*/\1/' | tr -s ' ' '\n' | grep . | sort -u)
diff <(echo "$packages") <(echo "$installed") || {
  echo "image.sh: '<' is needed and not in the Dockerfile, '>' is there for nothing" >&2
  exit 1
}
echo "$(wc -l <<<"$needed") libraries, $(wc -l <<<"$packages") packages"
