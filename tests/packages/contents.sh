#!/usr/bin/env bash
# Each file that CMake installs is in one of the Debian packages, by packaging/debian/*.install, and each line there
# names some. What they are built with is in the list of tests/packages.sh. run.sh builds and installs them.
# Usage: contents.sh SOURCE_DIR BUILD_DIR
set -euo pipefail
. "$(dirname "$0")/../support/of_build.sh"

cmake --install "$build" --prefix "$work/usr" >/dev/null
# Debian's own folder of libraries is one deeper than CMake's, outside /usr.
files=$(cd "$work" && find usr ! -type d | sed -E 's|^usr/lib/[^/]*-linux-gnu/|usr/lib/|' | sort)
patterns=$(grep -H . "$source"/packaging/debian/*.install | sed -E 's|.*/([^/]*)\.install:|\1 |; s|usr/lib/\*/|usr/lib/|')
while read -r file; do
    packages=()
    while read -r package pattern; do
        [[ $file != $pattern && $file != $pattern/* ]] || packages+=("$package")
    done <<<"$patterns"
    [ ${#packages[@]} -eq 1 ] || complain "$file is in ${#packages[@]} packages: ${packages[*]}"
done <<<"$files"
while read -r package pattern; do
    found=
    while read -r file; do
        [[ $file != $pattern && $file != $pattern/* ]] || found=1
    done <<<"$files"
    [ -n "$found" ] || complain "$package.install: $pattern names no file that CMake installs"
done <<<"$patterns"

listed=$("$source/tests/packages.sh" --list build packages)
for package in $(sed -n '/^Build-Depends:/,/^[A-Z]/s/^ \([a-z0-9.+-]*\).*/\1/p' "$source/packaging/debian/control"); do
    [ "$package" != debhelper-compat ] || package=debhelper
    grep -qxF "$package" <<<"$listed" || complain "packaging/debian/control is built with $package, which tests/packages.sh does not list"
done
exit $status
