# callers.awk: which callers met at which pool, from the output of
# `perf script -F comm,event,ip,sym,dso,trace` on the probes that contention.sh has set.
#
# Variables: every (each event stands for so many), top (callers per pool).
# A caller is the first frame outside the allocator, with the two behind it.

BEGIN { ALLOCATOR_FRAMES_MAX = 12 }

# The allocator's own functions: by the name of the library, or, in a program that it is linked to
# statically, by their names.
function is_allocator(name, object) {
    return object ~ /libmemorybucket[^\/]*\.so/ || name ~ /^(mb_|mbi_|thread_cache_|pool_|batch_)/ \
        || name ~ /^(malloc|free|calloc|realloc|operator (new|delete))/
}

function end_event(    key) {
    if (!in_event) return
    in_event = 0
    if (callers == "") callers = "(no caller outside the allocator on the stack)"
    key = slot_bytes SUBSEP callers
    if (!(key in met)) keys[++key_count] = key
    met[key] += amount
    kinds[key, kind] += amount
    total[slot_bytes] += amount
    by_kind[slot_bytes, kind] += amount
    everything += amount
}

/^$/ { end_event(); next }
/PERF_RECORD_LOST/ {
    if (match($0, /lost [0-9]+/)) lost += substr($0, RSTART + 5, RLENGTH - 5)
    next
}
/^[^\t]/ && match($0, /:(cas_retry|mutex_wait)_[0-9]+: /) {
    end_event()
    in_event = 1
    depth = frames = 0
    callers = ""
    events++
    amount = every
    kind = "wait"
    slot_bytes = argument("slot_bytes")
    if ($0 ~ /:cas_retry_/) {
        kind = argument("direction") == 0 ? "refill" : "flush"
        amount = argument("retries") * every
    }
    next
}
function argument(name) {
    if (!match($0, name "=[0-9]+")) return 0
    return substr($0, RSTART + length(name) + 1, RLENGTH - length(name) - 1) + 0
}
in_event {
    frame = $0
    sub(/^[ \t]*[0-9a-f]+ /, "", frame)
    sub(/ \(deleted\)\)$/, ")", frame)
    object = ""
    if (match(frame, / \([^()]*(\([^()]*\)[^()]*)*\)$/)) {
        object = substr(frame, RSTART + 2, RLENGTH - 3)
        frame = substr(frame, 1, RSTART - 1)
    }
    depth++
    if (depth <= ALLOCATOR_FRAMES_MAX && is_allocator(frame, object)) {
        callers = "" # all further in than this is the allocator's
        frames = 0
        next
    }
    if (frame ~ /nptl_deallocate_tsd/) { # the C library ends a thread, and so its thread cache
        callers = "(the end of a thread)"
        frames = 3
    }
    if (frames >= 3) next
    if (frame == "[unknown]") {
        sub(/^.*\//, "", object)
        frame = "[in " object "]"
    }
    callers = callers (frames++ ? " < " : "") frame
}

END {
    end_event()
    if (lost) printf "%d events were lost: perf could not keep up. --every N records each Nth only.\n\n", lost
    if (events == 0) {
        print "No retry of a transfer and no wait for a mutex: no pool was contended."
        exit
    }
    for (slot = 8; slot <= 512; slot += 8) if (slot in total) slots[++slot_count] = slot
    for (i = 2; i <= slot_count; i++) # the busiest first
        for (j = i; j > 1 && total[slots[j]] > total[slots[j - 1]]; j--) {
            swap = slots[j]; slots[j] = slots[j - 1]; slots[j - 1] = swap
        }
    printf "%-5s %18s %18s %14s %8s\n", "slot", "retries on refill", "retries on flush", "mutex waits", "share"
    for (i = 1; i <= slot_count; i++)
        printf "%-5d %18d %18d %14d %6.1f %%\n", slots[i], by_kind[slots[i], "refill"],
            by_kind[slots[i], "flush"], by_kind[slots[i], "wait"], 100 * total[slots[i]] / everything
    for (i = 1; i <= slot_count; i++) {
        printf "\nslot %d: callers (function < its caller < ...)\n", slots[i]
        for (n = 1; n <= top; n++) {
            best = ""
            for (k = 1; k <= key_count; k++) {
                split(keys[k], part, SUBSEP)
                if (part[1] + 0 == slots[i] && !(keys[k] in shown) && (best == "" || met[keys[k]] > met[best])) best = keys[k]
            }
            if (best == "") break
            shown[best] = 1
            split(best, part, SUBSEP)
            printf "%6.1f %%  %s\n", 100 * met[best] / total[slots[i]], part[2]
            text = ""
            if (kinds[best, "refill"]) text = text sprintf(", %d retries on refill", kinds[best, "refill"])
            if (kinds[best, "flush"]) text = text sprintf(", %d retries on flush", kinds[best, "flush"])
            if (kinds[best, "wait"]) text = text sprintf(", %d mutex waits", kinds[best, "wait"])
            printf "          %s\n", substr(text, 3)
        }
    }
}
