#!/usr/bin/env bash
# Makes the Debian packages twice, in other folders, with another umask, time zone, language and number of processes:
# the same bytes. lintian finds neither errors nor warnings in them. Then a fresh root, with what the packages depend on
# and nothing else: in_root.sh installs them there, uses them, and takes them away without a trace. For another
# architecture than the machine's they are made and looked at only. Wants root, for the fresh one.
# Usage: run.sh [ARCH]
set -euo pipefail
[ $# -le 1 ] && [[ ${1:-} != -* ]] || { sed -n '6s/^# //p' "$0" >&2; exit 2; }
here=$(realpath "$(dirname "$0")")
source=$(realpath "$here/../..")
native=$(dpkg --print-architecture)
arch=${1:-$native}
[ "$(id -u)" = 0 ] || { echo "tests/packages/run.sh: a fresh root can be made by root only" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export SOURCE_DATE_EPOCH=1750000000

# Each step says how long it took.
began=$SECONDS
done_with() {
    echo "$1: ok, $((SECONDS - began)) s"
    began=$SECONDS
}

"$source/packaging/deb.sh" --arch "$arch" "$work/packages" >/dev/null
done_with "packages for $arch"

mkdir -p "$work/another folder" "$work/another_folder/scratch"
(
    umask 077
    export TMPDIR=$work/another_folder/scratch TZ=Asia/Kathmandu LC_ALL=C.UTF-8 DEB_BUILD_OPTIONS=parallel=1
    cd "$work/another folder"
    cp -r "$source"/{CMakeLists.txt,LICENSE,include,src,docs,packaging} .
    [ ! -e "$source/CHANGELOG.md" ] || cp "$source/CHANGELOG.md" .
    packaging/deb.sh --arch "$arch" >/dev/null
)
for package in "$work"/packages/*.deb; do
    cmp "$package" "$work/another folder/build/packages/${package##*/}"
done
done_with "a second build, the same bytes"

# The first upload to Debian answers a bug of Debian's, of which there is none.
lintian --allow-root --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs \
    "$work"/packages/*.changes
done_with "lintian"

for package in "$work"/packages/*.deb; do
    dpkg-deb -x "$package" "$work/files"
done
machine=$([ "$arch" = arm64 ] && echo AArch64 || echo X86-64)
while read -r file; do
    readelf -h "$file" | grep -q "Machine: .*$machine" || { echo "$file is not for $arch" >&2; exit 1; }
done < <(find "$work/files/usr/bin" "$work/files/usr/lib" -type f \( -perm -100 -o -name '*.so*' \))
[ "$arch" = "$native" ] || exit 0

# What they depend on, but for each other and for versions; and what compiles the example.
depends=$(for package in "$work"/packages/*.deb; do dpkg-deb -f "$package" Depends; done |
    tr ',' '\n' | sed -E 's/ *\(.*\)//; s/ //g' | grep -v memorybucket | sort -u | paste -sd,)
. /etc/os-release
mmdebstrap --quiet --variant=minbase --include="$depends,gcc,libc6-dev,cmake,ninja-build,pkg-config" \
    "$VERSION_CODENAME" "$work/root" 2>"$work/log" || { tail -n 20 "$work/log" >&2; exit 1; }
done_with "a fresh root"

mkdir "$work/root/packages"
cp "$work"/packages/*.deb "$here/in_root.sh" "$work/root/packages"
cp -r "$source/tests/consumers/install/consumer" "$work/root/packages"
awk '/^```c$/ { inside = 1; next } /^```$/ { if (inside) exit } inside' "$source/README.md" >"$work/root/packages/example.c"
# In namespaces of its own, which take mounts and processes with them; there is no network.
unshare --mount --pid --net --fork sh -c "mount -t proc proc '$work/root/proc' &&
    exec chroot '$work/root' env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 bash /packages/in_root.sh"
done_with "installed, used, removed"
