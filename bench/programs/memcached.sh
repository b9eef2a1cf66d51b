# memcached with 4 threads, under memcslap: values set and read, by new connections each time.
start() {
    local user=()
    [ "$(id -u)" -ne 0 ] || user=(-u "$(id -un)")
    serve memcached -l 127.0.0.1 -p "$port" -U 0 -t 4 -m 128 "${user[@]}"
}

load() { # load TEST
    timed memcslap --servers="127.0.0.1:$port" --concurrency=16 --execute-number=$((500 * scale)) --initial-load=2000 \
        --test="$1" >"$work/memcslap" 2>&1 || die "memcslap: $(tail -n 3 "$work/memcslap")"
}

# counts: what the server says that it has done, and that it answers
counts() {
    exec 8<>"/dev/tcp/127.0.0.1/$port"
    printf 'set key 0 0 5\r\nvalue\r\nget key\r\nstats\r\nquit\r\n' >&8
    tr -d '\r' <&8 | grep -E '^(STORED|VALUE|value|STAT (cmd_set|get_hits|get_misses|curr_items|evictions) )'
    exec 8>&-
}

perform() {
    local turn
    on_free_port start
    for turn in 1 2 3; do
        load set
        load get
    done
    counts
    stop TERM
}
