#!/usr/bin/env bash
# The one list of Debian packages, and what installs them: used by tests/run.sh and bench/run.sh.
# Usage: packages.sh build|test|bench ...     installs what is missing of these groups
#        packages.sh --list build|test|bench  only names them
# For tests/deep.sh alone: packages, which makes Debian packages and tests them; programs, which
# tests/dropin/programs/run.sh runs, 2 GB; matrix, another linker; and ways, for consumers/ways.
# And program-NAME is what bench/programs.sh needs for one of its programs, MariaDB for example.
set -euo pipefail

packages_of() {
    case $1 in
    # valgrind and systemtap-sdt-dev for their headers, libncurses-dev for mbstat: the library is built without them, too;
    # python3 for the manual pages, without which it is built, too; the next four for mbprof alone, the last for
    # traces (mbrun --record, mbreplay)
    build)
        echo gcc g++ cmake ninja-build pkg-config libc6-dev liburcu-dev libncurses-dev systemtap-sdt-dev valgrind python3
        echo libdw-dev libprotobuf-c-dev protobuf-c-compiler zlib1g-dev libzstd-dev
        ;;
    test)
        # clang and its sanitizer runtimes, the unit tests' runner, and the programs that the drop-in runs
        echo clang libclang-rt-14-dev libcriterion-dev binutils
        echo redis-server redis-tools python3 perl git sqlite3 bash linux-perf
        echo spin tcc # tests/model
        echo abigail-tools clang-tidy cppcheck # checks that run nothing
        echo gcovr # what the tests reach
        echo man-db mandoc # the manual pages
        echo heaptrack # stands in front of the drop-in
        echo libevent-dev libxxhash-dev # mbcached
        echo google-perftools protobuf-compiler # read what mbprof writes
        echo libmicrohttpd-dev prometheus tmux # mbstat, and what it and mb_stats_write write
        echo mawk gawk busybox # each awk that a machine may have
        # docs/integrate.md: libraries with allocator hooks (libevent is above, zlib in build), and meson
        echo libcurl4-openssl-dev libjansson-dev liblua5.4-dev libsqlite3-dev libssl-dev libuv1-dev libxml2-dev meson
        echo musl-tools # another C library is refused
        # those of tests/dropin/programs that are small
        echo apache2-utils gdb jq libmemcached-tools lua5.4 make memcached nginx-light openssh-client openssh-server
        echo p7zip-full php-cli ruby xz-utils zstd
        ;;
    bench)
        echo redis-server redis-tools python3 gnuplot-nox fonts-dejavu-core linux-perf binutils
        echo libevent-dev libxxhash-dev # mbcached
        # the allocators to compare with
        echo libmimalloc2.0 libjemalloc2 libtcmalloc-minimal4 libtbbmalloc2
        ;;
    packages) echo debhelper dpkg-dev lintian mmdebstrap ;; # packaging/deb.sh; tests/packages/run.sh
    programs)
        echo chromium default-jdk-headless fonts-dejavu-core ghostscript gir1.2-gtk-3.0 golang-go imagemagick
        echo libreoffice-writer-nogui mariadb-server nodejs postgresql postgresql-contrib python3-gi python3-pyqt5
        echo rustc sysbench xauth xvfb
        ;;
    aarch64) echo gcc-aarch64-linux-gnu g++-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static ;;
    aarch64-root)
        echo libc6-dev liburcu-dev libncurses-dev systemtap-sdt-dev valgrind # as in build
        echo libdw-dev libprotobuf-c-dev zlib1g-dev libzstd-dev libcriterion-dev libevent-dev libxxhash-dev
        echo bash coreutils perl-base python3-minimal sqlite3 # the drop-in runs them
        ;;
    matrix) echo lld ;;
    ways) echo rustc ;; # 370 MB
    program-nginx) echo nginx-light apache2-utils ;;
    program-mariadb) echo mariadb-server mariadb-client sysbench ;;
    program-memcached) echo memcached libmemcached-tools ;;
    program-node) echo nodejs ;;
    program-ruby | program-python3 | program-g++ | program-sqlite3 | program-perl) echo "${1#program-}" ;;
    *)
        echo "packages.sh: $1: no such group; there are build, test, bench, packages, programs, matrix, ways, aarch64 and program-NAME" >&2
        exit 2
        ;;
    esac
}

case ${1:-} in
-h | --help)
    sed -n '2,7s/^# //p' "$0"
    exit 0
    ;;
esac
list_only=
if [ "${1:-}" = --list ]; then
    list_only=1
    shift
fi
[ $# -gt 0 ] || { sed -n '3,5s/^# //p' "$0" >&2; exit 2; }
wanted=$(for group in "$@"; do packages_of "$group"; done | tr ' ' '\n' | sort -u)
if [ -n "$list_only" ]; then
    echo "$wanted"
    exit
fi

# One query: one for each package takes seconds. It complains of those that it does not know.
# shellcheck disable=SC2086 # each is a word
present=$(dpkg-query -W -f '${Status} ${Package}\n' $wanted 2>/dev/null | sed -n 's/.*ok installed //p' || true)
missing=()
for package in $wanted; do
    [[ $'\n'$present$'\n' == *$'\n'"$package"$'\n'* ]] || missing+=("$package")
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
