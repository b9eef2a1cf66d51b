#!/usr/bin/env bash
# The ways in of docs/integrate.md: the files that it shows, as a user would use them.
# Usage: run.sh installed|add_subdirectory|fetch_content|meson|cpp|rust|python SOURCE_DIR BUILD_DIR
# With TEST_LONG=1 fetch_content also builds, as add_subdirectory does. Status 77: the way's tool is missing.
set -euo pipefail
[ $# -eq 3 ] || { sed -n '3,4s/^# //p' "$0" >&2; exit 2; }
way=$1 source=$(realpath "$2") build=$(realpath "$3")
examples=$source/docs/examples
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
says='served from the pools up to 512'

fail() {
    echo "$way: $*" >&2
    exit 1
}
needs() { type -P "$1" >/dev/null || { echo "$1 is missing"; exit 77; }; }
# runs PROGRAM shared|static: it says what it should, and is linked so
runs() {
    local needed form=static
    [ "$("$1")" = "$says" ] || fail "$1 does not say '$says'"
    needed=$(objdump -p "$1")
    [[ ! $needed =~ NEEDED\ +libmemorybucket\. ]] || form=shared
    [ $form = "$2" ] || fail "$1 is linked to the $form library"
    echo "$way, $2: ok"
}
# project: the example's files with hello.c among them, in $work/project
project() {
    mkdir "$work/project"
    cp -r "$examples/$way/." "$examples/hello.c" "$work/project"
}
# quick: not optimised, which takes a third of the time; what is found and linked is the same
quick=(-G Ninja -DCMAKE_C_FLAGS=-O0)

installed() {
    cmake --install "$build" --prefix "$work/prefix" >/dev/null
    local libraries
    libraries=$(dirname "$(find "$work/prefix" -name libmemorybucket.a)")
    way=find_package project
    cmake -S "$work/project" -B "$work/cmake" "${quick[@]}" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
    cmake --build "$work/cmake" >/dev/null
    way=find_package runs "$work/cmake/hello" shared
    export PKG_CONFIG_PATH=$libraries/pkgconfig LD_LIBRARY_PATH=$libraries
    (cd "$work/project" && bash -e "$examples/pkg_config.sh")
    way=pkg_config runs "$work/project/hello" shared
    way=pkg_config runs "$work/project/hello_static" static
    way="pkg_config --static" runs "$work/project/hello_all_static" static
    ! readelf -d "$work/project/hello_all_static" | grep NEEDED || fail "a library is left out of hello_all_static"
    MB_CHECK=1 "$work/project/hello_all_static" >/dev/null || fail "hello_all_static fails in checked mode"
    type -P meson >/dev/null || return 0
    cp "$examples/meson/meson.build" "$work/project"
    command meson setup "$work/meson" "$work/project" >"$work/log" 2>&1 || fail "$(<"$work/log")"
    ninja -C "$work/meson" >/dev/null
    way="meson, installed" runs "$work/meson/hello" shared
}

# The project around it has settings of its own, also the name of a package that this one uses within. It finds all as
# it was: variables, those that are cached too, properties of its folder, and the targets and tests that it has.
add_subdirectory() {
    project
    ln -s "$source" "$work/project/memorybucket"
    cat >"$work/around.cmake" <<'END'
set(CMAKE_C_STANDARD 90)
set(CMAKE_POSITION_INDEPENDENT_CODE OFF)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/programs)
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(URCU REQUIRED IMPORTED_TARGET zlib) # not ours
enable_testing()
set(kept COMPILE_DEFINITIONS COMPILE_OPTIONS INCLUDE_DIRECTORIES LINK_DIRECTORIES LINK_OPTIONS BUILDSYSTEM_TARGETS
         IMPORTED_TARGETS TESTS)
macro(state variables properties)
    get_cmake_property(${variables} VARIABLES)
    list(FILTER ${variables} EXCLUDE REGEX
         "^(MEMORYBUCKET_|MemoryBucket_|pkgcfg_lib_MEMORYBUCKET_|_|before|after|values?$|line$|ARG)")
    set(values "")
    foreach(line ${${variables}})
        string(APPEND values "${line}=${${line}}\n")
    endforeach()
    set(${variables} "${values}")
    set(${properties} "")
    foreach(line ${kept})
        get_property(value DIRECTORY PROPERTY ${line})
        string(APPEND ${properties} "${line}: ${value}\n")
    endforeach()
endmacro()
macro(compare what)
    if(NOT "${before_${what}}" STREQUAL "${after_${what}}")
        file(WRITE ${PROJECT_BINARY_DIR}/before "${before_${what}}")
        file(WRITE ${PROJECT_BINARY_DIR}/after "${after_${what}}")
        execute_process(COMMAND diff ${PROJECT_BINARY_DIR}/before ${PROJECT_BINARY_DIR}/after)
        message(FATAL_ERROR "the ${what} of the project around it are others")
    endif()
endmacro()
END
    sed -e 's|^project(hello|& VERSION 1.2|; s|^project.*|&\ninclude(../around.cmake)\nstate(before_variables before_properties)|' \
        -e 's|^add_subdirectory.*|&\nstate(after_variables after_properties)\ncompare(variables)\ncompare(properties)|' \
        "$examples/$way/CMakeLists.txt" >"$work/project/CMakeLists.txt"
    cat >>"$work/project/CMakeLists.txt" <<'END'
get_property(targets DIRECTORY memorybucket PROPERTY BUILDSYSTEM_TARGETS)
list(FILTER targets EXCLUDE REGEX "^memorybucket")
get_property(folders DIRECTORY memorybucket PROPERTY SUBDIRECTORIES)
get_property(languages GLOBAL PROPERTY ENABLED_LANGUAGES)
if(targets OR folders OR NOT languages STREQUAL "C")
    message(FATAL_ERROR "targets without its name: ${targets}; folders: ${folders}; languages: ${languages}")
endif()
END
    cmake -S "$work/project" -B "$work/build" "${quick[@]}" -DCMAKE_EXPORT_COMPILE_COMMANDS=ON >"$work/log" 2>&1 ||
        fail "$(<"$work/log")"
    [[ $(<"$work/log") != *Warning* ]] || fail "$(<"$work/log")"
    local command
    command=$(grep 'hello\.c -\|-c .*hello\.c' "$work/build/compile_commands.json" | grep command)
    [[ $command == *"-isystem $source/include"* || $command == *"-I$work/project/memorybucket/include"* ]] ||
        fail "no folder of headers: $command"
    [[ $command == *-std=gnu90* && $command != *-fPIC* && $command != *-f[av]* && $command != *' -W'* && $command != *' -D'* ]] ||
        fail "flags have come from it: $command"
    cmake --build "$work/build" --target hello >/dev/null
    runs "$work/build/programs/hello" static
    cmake --install "$work/build" --component Unspecified --prefix "$work/prefix" >/dev/null
    [ "$(find "$work/prefix" -type f)" = "$work/prefix/bin/hello" ] ||
        fail "it installs of its own: $(find "$work/prefix" -type f)"
}

fetch_content() {
    project
    cmake -S "$work/project" -B "$work/build" "${quick[@]}" -DFETCHCONTENT_SOURCE_DIR_MEMORYBUCKET="$source" \
        >"$work/log" 2>&1 || fail "$(<"$work/log")"
    [[ $(ninja -C "$work/build" -t commands hello | tail -n 1) == *' -o hello '*libmemorybucket.so* ]] || fail "not linked"
    [ -n "${TEST_LONG:-}" ] || { echo "$way: configured"; return; }
    cmake --build "$work/build" --target hello >/dev/null
    runs "$work/build/hello" shared
}

meson() {
    needs meson
    project
    ln -s "$source" "$work/project/subprojects/memorybucket"
    cat >>"$work/project/meson.build" <<'END'
executable('hello_static', 'hello.c',
           dependencies: cmake.subproject('memorybucket', options: options).dependency('memorybucket_static'))
END
    sed -i "s/dependency('memorybucket', /dependency('', /" "$work/project/meson.build" # one may be installed here
    command meson setup "$work/build" "$work/project" -Doptimization=0 >"$work/log" 2>&1 || fail "$(<"$work/log")"
    ninja -C "$work/build" >"$work/log" 2>&1 || fail "$(<"$work/log")"
    runs "$work/build/hello" shared
    runs "$work/build/hello_static" static
    local library=$work/build/subprojects/memorybucket/libmemorybucket.so exported
    exported=$(nm -D --defined-only "$library" | awk '$3 !~ /^mb_/ { print $3 }')
    [ -z "$exported" ] || fail "exported by accident: $exported"
    [[ $(readelf -d "$library") == *NODELETE* ]] || fail "it can be unloaded"
}

cpp() {
    g++ -std=c++17 -O1 -Wall -Wextra -Werror -I"$source/include" "$examples/objects.cpp" -o "$work/objects" \
        -L"$build/lib" -lmemorybucket -Wl,-rpath,"$build/lib"
    [[ $(MB_STATS=1 "$work/objects" 2>&1) == *' 16 '* ]] || fail "pools served nothing"
    MB_CHECK=1 "$work/objects" || fail "it fails, or checked mode complains"
    echo "$way: ok"
}

# MB_STATS tells that pools served, MB_CHECK that pointers and sizes were right. Rust's runtime keeps some objects.
rust() {
    needs rustc
    rustc -O "$examples/rust.rs" -L native="$build/lib" -o "$work/rust" 2>"$work/log" || fail "$(<"$work/log")"
    export LD_LIBRARY_PATH=$build/lib
    [[ $(MB_STATS=1 "$work/rust" 2>&1) =~ 4000\ words.*has\ 24.*reserved.*\ 8\ +[0-9]{4} ]] || fail "pools served little"
    MB_CHECK=double_free,overflow,use_after_free,size "$work/rust" >/dev/null || fail "checked mode complains"
    echo "$way: ok"
}

python() {
    export LD_LIBRARY_PATH=$build/lib
    local printed
    printed=$(env -u PYTHONUNBUFFERED /usr/bin/python3 "$examples/python.py")
    [[ $printed == '4950 104'*'"live":1'* ]] || fail "$printed"
    MB_CHECK=1 /usr/bin/python3 "$examples/python.py" >/dev/null || fail "checked mode complains"
    echo "$way: ok"
}

case $way in
installed | add_subdirectory | fetch_content | meson | cpp | rust | python) $way ;;
*) fail "no such way" ;;
esac
