# Sourced by run.sh and compare.sh, which run in the project's folder: where results go, the build,
# the machine, and the frame of the JSON files.
build=build/bench-release out=build/bench

die() {
    echo "$0: $*" >&2
    exit 1
}

bad_option() { # bad_option OPTION ACCEPTED
    echo "$0: $1: no such option, or no value for it; there are $2" >&2
    exit 2
}

bad_value() {
    echo "$0: $*" >&2
    exit 2
}

# What will be written shall have room, and no other run shall write it: better to say so now than
# after minutes of measuring.
prepare_output() {
    mkdir -p "$out" || die "$PWD/$out cannot be made"
    if ! { head -c 1000000 /dev/zero >"$out/.room"; } 2>/dev/null || ! : >>"$out/.lock"; then
        rm -f "$out/.room"
        die "$PWD/$out cannot be written by $(id -un), or has less than 1 MB left"
    fi
    rm -f "$out/.room"
    exec 9>"$out/.lock"
    flock -n 9 || die "another run writes to $PWD/$out: wait for it"
}

build_release() {
    echo "Building the release (log: $PWD/$out/build.log)"
    if ! { run cmake --preset release -B "$build" -DMEMORYBUCKET_TESTS=OFF && run cmake --build "$build"; } >"$out/build.log" 2>&1; then
        tail -n 30 "$out/build.log"
        die "the build failed; all of it is in $PWD/$out/build.log"
    fi
}

# A run that is cut short leaves no half results (the files named), and nothing running.
clean_up_at_exit() {
    half_results=("$@")
    trap 'rm -f "${half_results[@]}"; [ -z "$(jobs -p)" ] || { kill $(jobs -p) 2>/dev/null && wait; } || true' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# In the background and waited for, so that a signal to the script alone is acted upon at once.
run() {
    "$@" 9>&- &
    wait $!
}

cpu=$(awk -F': ' '/^model name/ { print $2; exit }' /proc/cpuinfo)
machine="${cpu:-$(uname -m)}, $(nproc) cores, Linux $(uname -r)"

json_string() { printf '"%s"' "$(printf '%s' "$1" | tr -d '\000-\037' | sed 's/[\\"]/\\&/g')"; }

# write_json ROWS FILE: the rows, one JSON object a line, with the machine before them
write_json() {
    {
        printf '{"machine": {"cpu": %s, "cores": %s, "memory_bytes": %s, "kernel": %s, "system": %s, "compiler": %s, "date": %s},\n' \
            "$(json_string "$cpu")" "$(nproc)" "$(awk '/^MemTotal/ { printf "%.0f", $2 * 1024 }' /proc/meminfo)" \
            "$(json_string "$(uname -r)")" "$(json_string "$(. /etc/os-release && echo "$PRETTY_NAME")")" \
            "$(json_string "$(gcc --version | head -n 1)")" "$(json_string "$(date -u +%Y-%m-%dT%H:%M:%SZ)")"
        printf '"results": [\n'
        sed '$!s/$/,/' "$1"
        printf ']}\n'
    } >"$2.new" || die "$2 cannot be written"
    mv "$2.new" "$2"
}
