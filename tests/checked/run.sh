#!/usr/bin/env bash
# Plants memory faults, one a run, and checks what checked mode says of each.
# Usage: run.sh FORM PROGRAM    FORM names the form in messages: shared, static or dropin
# CHECK_DROPIN: a library to preload; CHECK_BUILD: how it was built; CHECK_LARGE=1: faults of large objects alone
set -euo pipefail
[ $# = 2 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
form=$1 program=$2 dropin=${CHECK_DROPIN:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ulimit -c 0
status=0
first='' where=''
declare -A told=()
complain() {
    echo "$form: $*" >&2
    sed 's/^/    /' "$work/stderr" | head -n 12 >&2
    status=1
}

# What a fault left in the files is looked at by bash itself: a process for each look takes longer than the faults.
said=() printed=() # lines of stderr and of stdout

# plant CHECK CONTINUE FAULT [pools]: runs it, its exit status in $ended
plant() {
    ended=0
    { # whose own stderr is bash's, which tells of every abort
        timeout 300 env LD_PRELOAD="$dropin" MB_CHECK="$1" MB_CHECK_CONTINUE="$2" "$program" "${@:3}" \
            >"$work/stdout" 2>"$work/stderr" || ended=$?
    } 2>/dev/null
    mapfile -t said <"$work/stderr"
    mapfile -t printed <"$work/stdout"
}

# went_on: the program came to its end
went_on() {
    local line
    for line in "${printed[@]}"; do [ "$line" != 'went on' ] || return 0; done
    return 1
}

# says KIND FUNCTION...: the first line has the kind, each function is in some stack; who allocated and freed is no
# function of the library
says() {
    local kind=$1 function line before='' text=$'\n' pattern
    shift
    first=${said[0]-}
    [[ $first == "memorybucket: $kind: "* ]] || { complain "$fault: says '$first', not '$kind'"; return; }
    for line in "${said[@]}"; do text+=$line$'\n'; done
    for function in "$@"; do
        pattern=$'\n'"    #[0-9]+ $function\\+0x[0-9a-f]+ \\("
        [[ $text =~ $pattern ]] || complain "$fault: no stack has $function"
    done
    pattern=" (allocate_here|free_here|free_again|$fault)\\+"
    for line in "${said[@]}"; do
        ! [[ $before =~ ^\ \ (allocated|freed)\ by\ thread && $line == '    #0 '* && ! $line =~ $pattern ]] ||
            complain "$fault: an object has its stack from $line"
        before=$line
    done
}

# home CHECKS PLACE SIZE: where such an object is, in the report's words, in $where
home() {
    local checks=$1 place=$2 size=$3 step=8 slot behind=0
    [ "$form" != dropin ] || step=16 # malloc aligns more
    case ,$checks, in
    *,1,* | *,overflow,*) behind=1 ;; # a byte to be looked at
    esac
    where='of the system allocator'
    case $place,$checks, in
    ,1,* | ,*overflow,* | ,*use_after_free,*)
        slot=$(((size + step - 1) / step * step))
        [ "$size" -gt 512 ] || where="on a guarded page (pool $((slot / 8 - 1)) serves it)"
        return ;;
    esac
    slot=$(((size + behind + step - 1) / step * step))
    [ $slot -gt 512 ] || where="in a slot of $slot of pool $((slot / 8 - 1))"
}

# names CHECKS PLACE: the first report names what the program told, in this order, and no more
names() {
    local checks=$1 place=$2 key value line number=1 expected reported=''
    told=()
    while read -r key value; do told[$key]=$value; done <"$work/stdout"
    expected="  pointer ${told[pointer]-}"$'\n'"  done by thread ${told[fault]-}:"
    if [[ ${told[object]-} =~ ,\ ([0-9]+)\ bytes ]]; then
        home "$checks" "$place" "${BASH_REMATCH[1]}"
        expected+=$'\n'"  object  ${told[object]} $where"
        [ -z "${told[freed]-}" ] || expected+=$'\n'"  freed by thread ${told[freed]}:"
        expected+=$'\n'"  allocated by thread ${told[allocated]}:"
    fi
    # Without the frames; by line 3 the pointer was freed, written, found: that depends on the place.
    for line in "${said[@]:1}"; do
        number=$((number + 1))
        [[ $line != memorybucket:* ]] || break
        [[ $line != '    '* ]] || continue
        [[ $number != 3 || ! $line =~ ^\ \ [a-z\ ]+\ by(.*) ]] || line="  done by${BASH_REMATCH[1]}"
        reported+=${reported:+$'\n'}$line
    done
    [[ $reported == "$expected" && $first == *": "*"${told[says]-}"* ]] ||
        complain "$fault $place, MB_CHECK=$checks: expected, with '${told[says]-}' above:"$'\n'"$expected"
}

# expect FAULT KIND CHECKS FUNCTION...: reported and aborted, on a guarded page under MB_CHECK=1 and in a pool under
# MB_CHECK=CHECKS; reported and gone on from under MB_CHECK_CONTINUE=1; nothing of the kind when it is not checked for
expect() {
    fault=$1
    local kind=$2 checks=$3 others line
    shift 3
    for place in '' pools; do
        asked=1
        [ -z "$place" ] || asked=$checks
        plant $asked 0 "$fault" $place
        [ $ended = 134 ] || complain "$fault $place, MB_CHECK=$asked: exit status $ended, and not of an abort"
        says "$kind" "$@"
        [ "$kind" = leak ] || names $asked "$place"
        plant "$checks" 1 "$fault" $place
        [ $ended = 0 ] && went_on || complain "$fault $place: did not go on (exit status $ended)"
        says "$kind" "$@"
        [ "$kind" = leak ] || names "$checks" "$place"
        # Guarded pages find an overflow and a use after free alike.
        others=,double_free,overflow,use_after_free,size,leak,
        others=${others/",$checks,"/,}
        others=${others#,} others=${others%,}
        case $place$kind in
        'overflow' | 'use after free') continue ;;
        esac
        [[ $kind == 'invalid '* ]] || [[ $fault == *_large ]] || {
            plant "$others" 1 "$fault" $place
            for line in "${said[@]}"; do
                [[ $line != "memorybucket: $kind:"* ]] || complain "$fault $place: reported under MB_CHECK=$others"
            done
        }
    done
}

# Wherever the border is, objects above 512 bytes are watched as the system allocator's are.
expect double_free_large 'double free' double_free double_free_large allocate_here
expect invalid_free_inside_large 'invalid free' double_free free_here allocate_here
expect overflow_large overflow overflow free_here overflow_large allocate_here
expect use_after_free_large 'use after free' use_after_free free_here allocate_here use_after_free_large
[ -z "${CHECK_LARGE:-}" ] || exit $status
expect double_free 'double free' double_free free_here free_again allocate_here
expect double_free_interleaved 'double free' double_free free_here free_again allocate_here
expect double_free_in_thread 'double free' double_free free_here free_in_thread free_again allocate_here
[ "$(printf '%s\n' "${told[allocated]-}" "${told[freed]-}" "${told[fault]-}" | sort -u | wc -l)" = 3 ] ||
    complain "$fault: not three threads"
expect double_free_by_realloc 'double free' double_free double_free_by_realloc free_here allocate_here
expect measured_after_free 'use after free' use_after_free measure_here free_here allocate_here
expect measured_inside 'invalid pointer' double_free measure_here allocate_here
expect measured_static 'invalid pointer' double_free measure_here
expect invalid_free_inside 'invalid free' double_free free_here allocate_here
# With a canary, and no guarded page, it is the system allocator's.
for checks in double_free overflow; do
    expect invalid_free_inside_largest_small 'invalid free' $checks free_here allocate_here
done
expect invalid_free_neighbour 'invalid free' double_free free_here
expect invalid_free_static 'invalid free' double_free free_here
expect invalid_free_stack 'invalid free' double_free free_here
expect invalid_free_thread_stack 'invalid free' double_free free_here free_stack_in_thread
expect invalid_free_unmapped 'invalid free' double_free free_here
if [ "$form" = dropin ]; then # the library's may be the system allocator's
    expect invalid_free_mapped 'invalid free' double_free free_here
    expect invalid_free_other_stack 'invalid free' double_free free_here free_stack_of_main
fi
expect overflow overflow overflow overflow allocate_here
expect overflow_by_zero overflow overflow overflow_by_zero allocate_here
expect overflow_in_slack overflow overflow free_here overflow_in_slack allocate_here
expect overflow_largest_small overflow overflow overflow_largest_small allocate_here
expect overflow_realloc overflow overflow overflow_realloc allocate_here
expect overflow_at_exit overflow overflow allocate_here
expect use_after_free_write 'use after free' use_after_free free_here allocate_here
expect use_after_free_write_at_exit 'use after free' use_after_free free_here allocate_here
expect size_mismatch 'size mismatch' size size_mismatch allocate_here
expect size_within_slot 'size mismatch' size size_within_slot allocate_here
expect leak leak leak allocate_here leak main

# A read leaves no trace: it is found on guarded pages only.
fault=use_after_free_read
for asked in 1 use_after_free; do
    plant "$asked" 0 use_after_free_read
    [ $ended = 134 ] || complain "$fault: exit status $ended"
    says 'use after free' use_after_free_read free_here allocate_here
    names "$asked" ''
done
grep -q 'read of byte 11 of an object of 40 bytes' "$work/stderr" || complain "$fault: not told as a read"

fault=use_after_free_on_signal_stack
plant 1 1 $fault
[ $ended = 0 ] && grep -qx 'went on' "$work/stdout" || complain "$fault: did not go on (exit status $ended)"
says 'use after free' use_after_free_read free_here allocate_here
fault=overflow_aligned
plant 1 0 $fault
[ $ended = 134 ] || complain "$fault: exit status $ended"
says overflow $fault free_here
grep -q '^  object  0x[0-9a-f]*000, 40 bytes on a guarded page (no pool serves it)$' "$work/stderr" ||
    complain "$fault: not told as what no pool serves"
# What lies beside an object is a slot of its own in a pool.
for fault in invalid_free_before invalid_free_behind; do
    plant 1 0 $fault
    [ $ended = 134 ] || complain "$fault: exit status $ended"
    says 'invalid free' $fault free_here allocate_here
    names 1 ''
done

# The biggest leak comes first, with the sum of its place; the other is the object that each fault begins with.
fault=leak
plant 1 0 leak
grep -qx 'went on' "$work/stdout" || complain "$fault: what stdout held is lost"
grep -qx '  300 bytes in 3 objects, .*' <(sed -n 2p "$work/stderr") || complain "$fault: the biggest is not first"
grep -qE '^  40 bytes in 1 objects' "$work/stderr" || complain "$fault: the second place is missing"
# Whoever closes stderr wants no more of it; a full disk is another matter.
leak_to() { # STDERR: - closes it; the exit status in $ended
    ended=0
    { (
        [ "$1" = - ] && exec 2>&- || exec 2>"$1"
        timeout 300 env LD_PRELOAD="$dropin" MB_CHECK=leak "$program" leak >/dev/null
    ) || ended=$?; } 2>/dev/null
}
leak_to -
[ $ended = 0 ] || complain "$fault: exit status $ended with stderr closed"
leak_to /dev/full
[ $ended = 134 ] || complain "$fault: exit status $ended with stderr on a full disk"
# leaked SIZE: the object that stands for its place is one of those that the program told
leaked() {
    local named
    home 1 '' "$1"
    named=$(sed -nE "s/^  .* objects, such as (0x[0-9a-f]+) of $1 \((pool [0-9]+)\)$/\1 \2/p" "$work/stderr")
    [[ $where == *"(${named#* } serves it)" ]] &&
        grep -qx "object ${named%% *}, $1 bytes" "$work/stdout" ||
        complain "$fault: of $1 bytes names '$named'"
}
leaked 100
leaked 40
thread=$(sed -n 's/^allocated //p' "$work/stdout" | sort -u)
[ "$(grep -c "^  allocated by thread $thread:" "$work/stderr")" = 2 ] || complain "$fault: names another thread"

# What is right is not reported, and MB_CHECK=0 checks nothing.
fault=nothing
for place in '' pools; do
    plant 1 0 nothing $place
    [ $ended = 0 ] && [ ! -s "$work/stderr" ] || complain "$fault $place: exit status $ended, or something was said"
done
# Where the library is compiled with -O2 (src/check/stacks.h).
[ "${CHECK_BUILD:-}" != Release ] || {
    fault=unwind_tables
    plant 1 0 $fault
    [ $ended = 0 ] && [ ! -s "$work/stderr" ] || complain "$fault: exit status $ended, or something was said"
}
plant 0 0 overflow_in_slack
[ $ended = 0 ] && [ ! -s "$work/stderr" ] || complain "MB_CHECK=0: exit status $ended, or something was said"

# Bad values: one line that says what is accepted, and no checking.
for bad in 2 overflow, ,leak overflows 'double_free;leak' ''; do
    plant "$bad" 0 nothing
    [ $ended = 0 ] && [ "$(grep -c '^memorybucket: MB_CHECK=.* accepted: 0, 1, or a list of double_free' "$work/stderr")" = 1 ] ||
        complain "MB_CHECK='$bad': exit status $ended"
done
exit $status
