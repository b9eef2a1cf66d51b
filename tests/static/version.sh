#!/usr/bin/env bash
# The version of memorybucket.h is everywhere: the library's file name and SONAME, what mb_version and --version of the
# programs say, pkg-config, CMake, manual pages, the newest entry of CHANGELOG.md. No other file of the sources has a
# version of its own.
# Usage: version.sh SOURCE_DIR BUILD_DIR
set -euo pipefail
. "$(dirname "$0")/../support/of_build.sh"
# is WHAT FOUND EXPECTED
is() {
    [ "$2" = "$3" ] || complain "$1 is '$2', and '$3' by memorybucket.h"
}
version=$(awk '/^#define MB_VERSION_/ { text = text dot $3; dot = "." } END { print text }' \
    "$source/include/memorybucket/memorybucket.h")
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || { echo "memorybucket.h has no version: '$version'" >&2; exit 1; }
major=${version%%.*}

library=$build/lib/libmemorybucket.so
is "the library's file" "$(basename "$(realpath "$library")")" "libmemorybucket.so.$version"
is "the library's SONAME" "$(objdump -p "$library" | awk '$1 == "SONAME" { print $2 }')" "libmemorybucket.so.$major"
printf '#include <memorybucket/memorybucket.h>\nint main(void) { return puts(mb_version()) < 0; }\n' >"$work/print.c"
gcc "$work/print.c" -I"$source/include" -o "$work/print" -L"$build/lib" -lmemorybucket -Wl,-rpath,"$build/lib"
is "mb_version()" "$("$work/print")" "$version"
for program in mbrun mbstat mbprof mbreplay; do
    [ -x "$build/bin/$program" ] || continue # built where its libraries are
    is "$program --version" "$("$build/bin/$program" --version)" "$program (MemoryBucket) $version"
    is "$program -V" "$("$build/bin/$program" -V)" "$program (MemoryBucket) $version"
done
is "pkg-config's version" "$(PKG_CONFIG_PATH=$build pkg-config --modversion memorybucket)" "$version"
is "CMake's version" "$(sed -n 's/^set(PACKAGE_VERSION "\(.*\)")/\1/p' "$build/MemoryBucketConfigVersion.cmake")" "$version"
if [ -d "$build/man" ]; then
    is "the manual pages' version" "$(sed -nE '1s/.*"MemoryBucket ([^"]*)".*/\1/p' "$build/man/man7/memorybucket.7")" "$version"
fi
if [ -e "$source/CHANGELOG.md" ]; then
    is "the newest version of CHANGELOG.md" "$(sed -nE '/^## [0-9]/{s/^## //;p;q}' "$source/CHANGELOG.md")" "$version"
fi
# The packages are named after the SONAME.
is "the library's package" "$(sed -nE 's/^Package: (libmemorybucket[0-9]+)$/\1/p' "$source/packaging/debian/control")" \
    "libmemorybucket$major"
exit $status
