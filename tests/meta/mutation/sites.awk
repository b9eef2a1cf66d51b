# Prints FILE:LINE [LABEL] for each atomic site that is stronger than relaxed; the label is looked for where
# tests/static/memory_orders.sh looks for it: on the line of the order, the next one, or up to five above.
FNR == 1 {
    flush_sites()
    file = FILENAME
}
{ text[FNR] = $0 }
/memory_order_(acquire|release|acq_rel|seq_cst|consume)|__ATOMIC_(ACQUIRE|RELEASE|ACQ_REL|SEQ_CST|CONSUME)/ {
    sites[FNR] = 1
}
END { flush_sites() }

function flush_sites(    site, line, label) {
    for (site in sites) {
        label = "without a label"
        for (line = site + 1; line >= site - 5 && line > 0; line--) {
            if (match(text[line], /\[[A-Z]+(-[A-Z]+)*\]/)) {
                label = substr(text[line], RSTART, RLENGTH)
                break
            }
        }
        print file ":" site " " label
    }
    delete sites
    delete text
}
