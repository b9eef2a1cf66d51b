#!/usr/bin/env bash
# What programs that are compiled already depend on is as the files beside this script say: symbols, the types
# of functions, the layouts of structs, macros. A change that is meant is made with update.sh.
# Usage: check.sh SOURCE_DIR DROPIN [LIBRARY]    the drop-in and the library that are built from these sources; without
# LIBRARY, or where it has no debug information, it is built for this
set -euo pipefail
source=$(realpath "$1")
expected=$source/tests/static/abi
found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT
"$expected/describe.sh" "$source" "$found" "${@:2}"

status=0
for file in libmemorybucket.abi inline.abi; do
    if ! report=$(abidiff --no-corpus-path --harmless "$expected/$file" "$found/$file" 2>&1); then
        printf '%s: the binary interface has changed:\n%s\n' "$file" "$report" >&2
        status=1
    fi
done
for file in macros.txt libmemorybucket-malloc.symbols; do
    if ! report=$(diff "$expected/$file" "$found/$file"); then
        printf '%s: before (<) and now (>) differ:\n%s\n' "$file" "$report" >&2
        status=1
    fi
done
if [ $status -ne 0 ]; then
    cat >&2 <<'END'
Programs that are linked to an older library may fail on this one. If the change is meant: run tests/static/abi/update.sh,
read its diff, and commit it with the change. What removes or alters something also raises the major version in
memorybucket.h; what alters the layout in inline.h raises the number in mb_inline_cache_v3 as well.
END
fi
exit $status
