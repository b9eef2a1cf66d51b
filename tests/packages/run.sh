#!/usr/bin/env bash
# Makes the Debian packages in a clean root, with what debian/control says that they are built with and nothing else:
# twice, in other folders, with another umask, time zone, language and number of processes, and they have the same bytes.
# lintian finds neither errors nor warnings in them. Then a second clean root, with what the packages depend on:
# in_root.sh installs them there, uses them, and takes them away without a trace. For another architecture than the
# machine's they are cross-built and looked at only. Wants root's rights, and a Debian mirror.
# Usage: run.sh [amd64|arm64]
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin
here=$(realpath "$(dirname "$0")")
source=$(realpath "$here/../..")
native=$(dpkg --print-architecture)
arch=${1:-$native}
[ $# -le 1 ] && [[ $arch = amd64 || $arch = arm64 ]] || { sed -n '7s/^# //p' "$0" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "tests/packages/run.sh: only root can make a clean root" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Each step says how long it took.
began=$SECONDS
done_with() {
    echo "$1: ok, $((SECONDS - began)) s"
    began=$SECONDS
}
# quietly COMMAND...: what it prints is shown where it fails
quietly() {
    "$@" >"$work/log" 2>&1 || { tail -n 40 "$work/log" >&2; exit 1; }
}
# clean_root NAME PACKAGES OPTIONS...: of this machine's release
clean_root() {
    quietly mmdebstrap --variant=minbase --dpkgopt=force-unsafe-io --include="$2" "${@:3}" "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$work/$1"
}
# in_root NAME COMMAND...: in namespaces of its own, which take mounts and processes with them; without a network
in_root() {
    unshare --mount --pid --net --fork sh -c 'mount -t proc proc "$1/proc" && root=$1 && shift &&
        exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"' sh "$work/$1" "${@:2}"
}

tools=build-essential
[ "$arch" = "$native" ] || tools+=,crossbuild-essential-$arch
parts=(CMakeLists.txt LICENSE include src docs packaging)
[ ! -e "$source/CHANGELOG.md" ] || parts+=(CHANGELOG.md)
mkdir "$work/sources"
(cd "$source" && cp -r "${parts[@]}" "$work/sources")
clean_root builder "$tools" --architectures="$native$([ "$arch" = "$native" ] || echo ",$arch")" \
    --customize-hook="cp -r '$work/sources' \"\$1/sources\"" \
    --customize-hook="chroot \"\$1\" apt-get -qq -y --no-install-recommends -a$arch build-dep /sources/packaging"
done_with "a root to build in"

time=1750000000
in_root builder SOURCE_DATE_EPOCH=$time /sources/packaging/deb.sh --arch "$arch" /packages >/dev/null
done_with "packages for $arch"
in_root builder bash -c "umask 077 && cp -r /sources '/other sources' && mkdir -p /other/scratch && cd /other &&
    export SOURCE_DATE_EPOCH=$time TMPDIR=/other/scratch TZ=Asia/Kathmandu LC_ALL=C DEB_BUILD_OPTIONS=parallel=1 &&
    '/other sources/packaging/deb.sh' --arch $arch" >/dev/null
for package in "$work"/builder/packages/*.deb; do
    cmp "$package" "$work/builder/other sources/build/packages/${package##*/}"
done
done_with "a second build, the same bytes"

mv "$work/builder/packages" "$work/packages"
# The first upload to Debian answers a bug of Debian's, of which there is none.
lintian --allow-root --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs "$work"/packages/*.changes
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
clean_root user "$depends,gcc,libc6-dev,cmake,ninja-build,pkg-config"
mkdir "$work/user/packages"
cp "$work"/packages/*.deb "$here/in_root.sh" "$work/user/packages"
awk '/^```c$/ { inside = 1; next } /^```$/ { if (inside) exit } inside' "$source/README.md" >"$work/user/packages/example.c"
done_with "a root to use them in"
in_root user bash /packages/in_root.sh
done_with "installed, used, removed"
