#!/usr/bin/env bash
# Runs in the fresh root that run.sh makes: installs the packages of /packages, builds and runs the README's example
# with pkg-config and with CMake, runs the tools, and removes all of it. Nothing is left that was not there before.
set -euo pipefail
cd /packages
die() {
    echo "$*" >&2
    exit 1
}

# Everything in the root, with its contents: but for what dpkg keeps of packages that it once had.
traces() {
    find / \( -path /proc -o -path /dev -o -path /packages -o -path /tmp -o -path '/var/lib/dpkg/status*' \
        -o -path /var/log -o -path /var/cache/ldconfig \) -prune \
        -o ! -path /var/lib/dpkg/lock ! -path '/var/lib/dpkg/triggers/*' -printf '%y %m %u:%g %p %l\n' | sort
    find /etc /usr -type f -print0 | sort -z | xargs -0 sha256sum
}
traces >/tmp/before

dpkg --install ./*.deb >/dev/null
[ -z "$(dpkg --audit)" ] || die "dpkg --audit: $(dpkg --audit)"
for package in libmemorybucket1 libmemorybucket-dev memorybucket-tools; do
    [ -z "$(dpkg --verify $package)" ] || die "dpkg --verify $package"
    ls /usr/share/doc/$package/{copyright,changelog.Debian.gz} >/dev/null
done
ldconfig -p | grep -q 'libmemorybucket\.so\.1 ' || die "the loader does not know the library"

# expect WHAT EXPECTED COMMAND...
expect() {
    local printed
    printed=$("${@:3}" 2>&1) || die "$1: status $?: $printed"
    [[ $printed == $2 ]] || die "$1 prints '$printed'"
    echo "  $1: ok"
}
example='1000 points, the last at y = 1998'
cd /tmp
gcc /packages/example.c $(pkg-config --cflags --libs memorybucket) -o example
expect "README's example, pkg-config" "$example" ./example
gcc /packages/example.c $(pkg-config --cflags memorybucket) \
    "$(pkg-config --variable=libdir memorybucket)/libmemorybucket.a" $(pkg-config --libs liburcu-bp) -pthread -o example
expect "README's example, static" "$example" ./example
cat >CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.25)
project(example LANGUAGES C)
find_package(MemoryBucket 1.0 REQUIRED)
foreach(form memorybucket memorybucket_static)
    add_executable(example_${form} /packages/example.c)
    target_link_libraries(example_${form} PRIVATE MemoryBucket::${form})
endforeach()
END
{ cmake -G Ninja -S . -B build && cmake --build build; } >log 2>&1 || die "$(cat log)"
expect "README's example, find_package" "$example" build/example_memorybucket
expect "README's example, find_package, static" "$example" build/example_memorybucket_static

expect "mbrun ls" "*/packages*" mbrun ls -d /packages
expect "mbrun ls, statistics" $'/packages\nMemoryBucket: reserved*' env MB_STATS=1 mbrun ls -d /packages
expect "LD_PRELOAD without a folder" $'/packages\nMemoryBucket: reserved*' \
    env MB_STATS=1 LD_PRELOAD=libmemorybucket-malloc.so ls -d /packages
env MB_EXPORT=1 mbrun sleep 600 &
for tries in {1..1200}; do
    [[ $(mbstat --list 2>/dev/null) != *sleep* ]] || break
    sleep 0.1
done
expect "mbstat --once" '*sleep*' mbstat --once $!
kill $!
wait $! 2>/dev/null || true
env MB_PROFILE=1 MB_PROFILE_FILE=/tmp/heap mbrun ls -d /packages >/dev/null
expect "mbprof top" '*ls*' mbprof top -m alloc_space heap

mbrun --record trace ls -d /packages >/dev/null
expect "mbreplay" '*memorybucket*' mbreplay --rounds 1 --allocators memorybucket trace
version=$(pkg-config --modversion memorybucket)
for program in mbrun mbstat mbprof mbreplay; do
    expect "$program --version" "$program (MemoryBucket) $version" $program --version
done

# Debuggers find the symbols by the build's number.
for file in /usr/bin/mb* /usr/lib/*/libmemorybucket.so.1 /usr/lib/*/libmemorybucket-{malloc,record}.so; do
    number=$(readelf -n "$file" | awk '/Build ID/ { print $3 }')
    readelf -S "/usr/lib/debug/.build-id/${number:0:2}/${number:2}.debug" 2>/dev/null | grep -q '\.debug_info' ||
        die "$file has no debug symbols"
done
echo "  debug symbols: ok"

dpkg --purge $(dpkg-query -W -f '${Package}\n' '*memorybucket*') >/dev/null
traces >/tmp/after
diff /tmp/before /tmp/after >/tmp/left || die "left behind, or changed: $(cat /tmp/left)"
echo "  nothing left: ok"
