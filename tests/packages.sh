#!/usr/bin/env bash
# The one list of Debian packages, and what installs them: used by tests/run.sh and bench/run.sh.
# Usage: packages.sh build|test|bench ...     installs what is missing of these groups
#        packages.sh --list build|test|bench  only names them
set -euo pipefail

packages_of() {
    case $1 in
    # valgrind and systemtap-sdt-dev for their headers: the library is built without them, too
    build) echo gcc g++ cmake ninja-build pkg-config libc6-dev liburcu-dev systemtap-sdt-dev valgrind ;;
    test)
        # clang and its sanitizer runtimes, the unit tests' runner, and the programs that the drop-in runs
        echo clang libclang-rt-14-dev libcriterion-dev binutils
        echo redis-server redis-tools python3 perl git sqlite3 bash linux-perf
        echo spin # tests/model
        echo abigail-tools clang-tidy cppcheck # checks that run nothing
        echo gcovr # what the tests reach
        ;;
    bench)
        echo redis-server redis-tools gnuplot-nox fonts-dejavu-core linux-perf binutils
        # the allocators to compare with
        echo libmimalloc2.0 libjemalloc2 libtcmalloc-minimal4 libtbbmalloc2
        ;;
    *)
        echo "packages.sh: $1: no such group; there are build, test and bench" >&2
        exit 2
        ;;
    esac
}

case ${1:-} in
-h | --help)
    sed -n '2,4s/^# //p' "$0"
    exit 0
    ;;
esac
list_only=
if [ "${1:-}" = --list ]; then
    list_only=1
    shift
fi
wanted=$(for group in "$@"; do packages_of "$group"; done | tr ' ' '\n' | sort -u)
if [ -n "$list_only" ]; then
    echo "$wanted"
    exit
fi

missing=()
for package in $wanted; do
    status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
    [[ $status == *'ok installed'* ]] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "Missing Debian packages: ${missing[*]}"
become_root=()
if [ "$(id -u)" -ne 0 ]; then
    become_root=(sudo -n)
fi
if ! command -v apt-get >/dev/null || ! "${become_root[@]}" true 2>/dev/null; then
    echo "They cannot be installed from here (no apt-get, or no way to become root). As root, run:" >&2
    echo "    apt-get update && apt-get install ${missing[*]}" >&2
    exit 1
fi
echo "Installing them with apt-get (this changes the system):"
# redis-server is a tool here: its package shall not start a service.
policy=
if [ ! -e /usr/sbin/policy-rc.d ]; then
    policy=/usr/sbin/policy-rc.d
    printf '#!/bin/sh\nexit 101\n' | "${become_root[@]}" tee $policy >/dev/null
    "${become_root[@]}" chmod 755 $policy
    trap '"${become_root[@]}" rm -f $policy' EXIT
fi
apt_get() {
    "${become_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@"
}
if ! { apt_get update && apt_get install --no-install-recommends -y "${missing[@]}" >/dev/null; }; then
    echo "apt-get failed. As root, run:" >&2
    echo "    apt-get update && apt-get install ${missing[*]}" >&2
    exit 1
fi
