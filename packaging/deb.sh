#!/usr/bin/env bash
# Makes the Debian packages, with debhelper, of the sources as they are: library, development files, tools, and debug
# symbols of each. The same sources give the same bytes, in any folder. docs/packaging.md says more.
# Usage: deb.sh [--arch ARCH] [OUTPUT_DIR]
#     ARCH: amd64 or arm64, by default the machine's; OUTPUT_DIR: build/packages by default, emptied of older packages
# SOURCE_DATE_EPOCH is the time that all files get; by default that of the last commit, or of the newest source.
set -euo pipefail
usage() { sed -n '4,6s/^# //p' "$0"; }
source=$(realpath "$(dirname "$0")/..")
arch='' output=''
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage; exit 0 ;;
    --arch)
        arch=${2:-}
        [[ $arch = amd64 || $arch = arm64 ]] || { echo "deb.sh: --arch '$arch': amd64 or arm64 is accepted" >&2; exit 2; }
        shift
        ;;
    -*) echo "deb.sh: $1: no such option" >&2; usage >&2; exit 2 ;;
    *)
        [ -z "$output" ] || { echo "deb.sh: $1: one folder is enough" >&2; usage >&2; exit 2; }
        output=$1
        ;;
    esac
    shift
done
command -v dh dpkg-buildpackage >/dev/null || {
    echo "deb.sh: debhelper and dpkg-dev are missing: 'apt-get build-dep ./packaging' installs all that is needed" >&2
    exit 1
}
arch=${arch:-$(dpkg --print-architecture)}
output=${output:-$source/build/packages}
mkdir -p "$output"
output=$(realpath "$output")
umask 022
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

version=$(awk '/^#define MB_VERSION_/ { text = text dot $3; dot = "." } END { print text }' \
    "$source/include/memorybucket/memorybucket.h")
newest() { find "$source/include" "$source/src" "$source/packaging" -type f -printf '%T@\n' | sort -n | tail -n 1; }
time=${SOURCE_DATE_EPOCH:-$(git -C "$source" log -1 --format=%ct 2>/dev/null || newest | cut -d. -f1)}
maintainer=$(sed -n 's/^Maintainer: //p' "$source/packaging/debian/control")

tree=$work/memorybucket-$version
mkdir "$tree"
for part in CMakeLists.txt LICENSE CHANGELOG.md include src docs; do
    [ ! -e "$source/$part" ] || cp -r "$source/$part" "$tree"
done
cp -r "$source/packaging/debian" "$tree"
cat >"$tree/debian/changelog" <<END
memorybucket ($version-1) unstable; urgency=medium

  * MemoryBucket $version.

 -- $maintainer  $(LC_ALL=C date -u -R -d "@$time")
END
{
    printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n'
    printf 'Files: *\n%s\nLicense: MIT\n' "$(sed -n 's/^Copyright (c) /Copyright: /p' "$source/LICENSE")"
    sed -e '1,/^Copyright/d' "$source/LICENSE" | sed -e 1d -e 's/^$/./' -e 's/^/ /'
} >"$tree/debian/copyright"

options=(--build=binary --unsigned-changes --unsigned-buildinfo --host-arch "$arch")
(cd "$tree" && DEB_BUILD_OPTIONS="terse ${DEB_BUILD_OPTIONS:-}" SOURCE_DATE_EPOCH=$time dpkg-buildpackage "${options[@]}") >"$work/log" 2>&1 || {
    tail -n 40 "$work/log" >&2
    echo "deb.sh: the packages could not be built" >&2
    exit 1
}
rm -f "$output"/*_"$arch".{deb,changes,buildinfo}
mv "$work"/*_"$arch".{deb,changes,buildinfo} "$output"
(cd "$output" && ls -- *_"$arch".deb) | sed "s|^|$output/|"
