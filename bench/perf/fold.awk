# fold.awk: from the output of `perf script -F comm,period,ip,sym,dso` to one line per stack:
#   command;outermost;...;innermost WEIGHT
# The weight is the sum of the samples' periods (nanoseconds or cycles). With -v self=FILE also a
# line per function: its own weight, the function, the object it is in (tabs between).

function end_sample(    stack, i) {
    if (!in_sample) return
    in_sample = 0
    samples++
    stack = command
    for (i = depth; i >= 1; i--) stack = stack ";" name[i]
    if (depth == 0) {
        stack = stack ";[no stack]"
        object[1] = name[1] = "[no stack]"
    }
    weight[stack] += period
    own[name[1] "\t" object[1]] += period
}

/^$/ { end_sample(); next }
/PERF_RECORD_/ { next }
/^[^\t]/ {
    end_sample()
    in_sample = 1
    depth = 0
    period = $NF + 0
    command = $0
    sub(/[ \t]+[0-9]+[ \t]*$/, "", command)
    sub(/^ +/, "", command)
    gsub(/;/, ":", command)
    next
}
in_sample {
    frame = $0
    sub(/^[ \t]*[0-9a-f]+ /, "", frame)
    sub(/ \(deleted\)\)$/, ")", frame)
    where = ""
    if (match(frame, / \([^()]*(\([^()]*\)[^()]*)*\)$/)) {
        where = substr(frame, RSTART + 2, RLENGTH - 3)
        frame = substr(frame, 1, RSTART - 1)
    }
    sub(/^.*\//, "", where)
    if (frame == "[unknown]") frame = where == "" || where == "[unknown]" ? "[unknown]" : "[in " where "]"
    gsub(/;/, ":", frame)
    if (where ~ /^\[(kernel|guest\.kernel)/) {
        frame = frame "_[k]"
        where = "[kernel]"
    }
    depth++
    name[depth] = frame
    object[depth] = where
}
END {
    end_sample()
    for (stack in weight) printf "%s %.0f\n", stack, weight[stack]
    if (self != "") {
        for (function_name in own) printf "%.0f\t%s\n", own[function_name], function_name > self
        printf "%d\n", samples > (self ".samples")
    }
}
