# The charts of bench/memory.sh, each as PNG and SVG: memory-peak and memory-sleepers from what
# memory_report --plot-data wrote, memory-decay, memory-transfer and memory-exit from the programs'
# series (WORKLOAD-ALLOCATOR.dat); one without data is left out.
# gnuplot -e "data='DIR'; series='DIR'; output_dir='DIR'; machine='...'" memory.gnuplot
set encoding utf8
load data.'/memory-setup.gnuplot'
load system('dirname "'.ARG0.'"').'/allocators.gnuplot'

set style fill solid 1 noborder
set grid ytics lt 1 lw 1 lc rgb '#e4e4e4'
set tics nomirror
set border 3

series_of(workload, i) = series.'/'.workload.'-'.word(allocators, i).'.dat'
# The numbers of the allocators that have one.
drawn_in(workload) = system('cd "'.series.'" && n=0 && for name in '.allocators.'; do n=$((n + 1)); ' \
    .'test ! -s '.workload.'-$name.dat || echo $n; done')

# Bars: what is drawn below `low` or above `high` is cut off.
do for [chart in "peak sleepers"] {
    rows = chart eq 'peak' ? peak_rows : sleeper_rows
    heading = chart eq 'peak' \
        ? "Resident memory after the objects were freed and the purge call, % of the peak: lower is better" \
        : "Resident memory per thread that has freed everything and sleeps, KiB: lower is better"
    low = chart eq 'peak' ? 0.1 : 1
    high = chart eq 'peak' ? 100 : 1000
    do for [format in "png svg"] {
        if (rows == 0) { break }
        eval terminal_of(format, 1300, 420)
        set output output_dir.'/memory-'.chart.'.'.format
        set title heading."\n".machine font ',14'
        set logscale y
        set yrange [low:high * 1.3]
        set xrange [-0.5:rows - 0.5]
        set xtics scale 0
        set key at screen 0.5, screen 0.05 center center horizontal maxrows 1 Left reverse samplen 1 width -1
        set bmargin at screen 0.2
        plot for [i = 1:allocator_count] data.'/memory-'.chart.'.dat' \
                 using (bar_x($0, i)):(column(i + 1) < low ? low : column(i + 1)):(bar_width * 0.94) \
                 with boxes lc rgb colour(i) title full_name(i), \
             '' using 0:(NaN):xtic(1) with points notitle
        unset output
    }
}

unset logscale
unset bmargin
set key default
set xtics scale 1 autofreq
set xrange [*:*]
do for [chart in "decay transfer exit"] {
    asked = chart eq 'decay' ? decays : chart eq 'transfer' ? transfers : exits
    workloads = ''
    do for [i = 1:words(asked)] {
        if (drawn_in(word(asked, i)) ne '') { workloads = workloads.' '.word(asked, i) }
    }
    panels = words(workloads)
    heading = chart eq 'decay' ? "Resident memory after a peak was freed, MiB by seconds: lower is better" \
        : chart eq 'transfer' ? "Resident memory while objects are handed over, MiB by seconds: lower is better" \
        : "Time from a thread function's end to the thread being gone, us by share of the threads: lower is better"
    do for [format in "png svg"] {
        if (panels == 0) { break }
        eval terminal_of(format, 1300, 480)
        set output output_dir.'/memory-'.chart.'.'.format
        set multiplot layout 1, panels title heading."\n".machine font ',14'
        if (chart eq 'exit') { set logscale y; set yrange [*:*] } else { set yrange [0:*] }
        set key outside bottom center horizontal Left reverse samplen 2
        do for [workload in workloads] {
            set title workload
            plot for [i in drawn_in(workload)] series_of(workload, int(i)) \
                using 1:2 with lines lc rgb colour(int(i)) lw line_width(int(i)) title full_name(int(i))
        }
        unset multiplot
        unset output
    }
}
