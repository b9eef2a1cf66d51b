# The charts of a comparison, each as PNG and SVG, from what compare_report --plot-data wrote:
# compare-time, compare-memory, compare-latency, compare-scaling; one without data is left out.
# gnuplot -e "data='DIR'; output_dir='DIR'; machine='...'" compare.gnuplot
set encoding utf8
load data.'/compare-setup.gnuplot'
load system('dirname "'.ARG0.'"').'/allocators.gnuplot'

set style fill solid 1 noborder
set grid ytics lt 1 lw 1 lc rgb '#e4e4e4'
set tics nomirror
set border 3

# (gnuplot 5.4 ends with a segmentation fault when labels have no defined point at all: hence the
# empty ones.)
# Bars: one panel below the other, `bars_data` has an index for each, values above `cap` are cut off.
cut(value) = value > cap ? cap : value
do for [chart in "time memory"] {
    bars_data = data.'/compare-'.chart.'.dat'
    panels = chart eq 'time' ? time_panels : memory_panels
    panel_rows = chart eq 'time' ? time_panel_rows : memory_panel_rows
    cap = chart eq 'time' ? 3.0 : 4.0
    heading = chart eq 'time' \
        ? "Speed by wall time, the best other allocator's = 1: higher is better" \
        : "Peak memory, the best other allocator's = 1: lower is better"
    height = 110 + 235 * panels
    do for [format in "png svg"] {
        if (panels == 0) { break }
        eval terminal_of(format, 1300, height)
        set output output_dir.'/compare-'.chart.'.'.format
        set multiplot
        set label 1 heading at screen 0.5, screen (1 - 18.0 / height) center font ',15'
        set label 2 machine at screen 0.5, screen (1 - 40.0 / height) center font ',10'
        set key at screen 0.5, screen (1 - 66.0 / height) center center horizontal maxrows 1 \
            Left reverse samplen 1 width -1
        set lmargin at screen 0.04
        set rmargin at screen 0.99
        set xrange [-0.5:panel_rows - 0.5]
        set yrange [0:cap * 1.19]
        set ytics 0, 1, cap
        set xtics scale 0
        do for [row = 1:panel_rows - 1] {
            set arrow (10 + row) from row - 0.5, graph 0 to row - 0.5, graph 1 nohead lc rgb '#e4e4e4'
        }
        set arrow 9 from graph 0, first 1 to graph 1, first 1 nohead lc rgb '#000000' lw 1 front
        do for [panel = 0:panels - 1] {
            set tmargin at screen (1 - (90.0 + 235 * panel) / height)
            set bmargin at screen (1 - (90.0 + 235 * panel + 190) / height)
            plot for [i = 1:allocator_count] bars_data index panel \
                     using (bar_x($0, i)):(cut(column(i + 1))):(bar_width * 0.94) \
                     with boxes lc rgb colour(i) title full_name(i), \
                 for [i = 1:allocator_count] '' index panel \
                     using (bar_x($0, i)):(cap):(column(i + 1) > cap ? sprintf('%.3g', column(i + 1)) : '') \
                     with labels rotate by 90 left offset 0,0.3 font ',9' notitle, \
                 '' index panel using 0:(NaN):xtic(1) with points notitle
            unset key
            unset label
        }
        unset multiplot
        unset output
        unset arrow
    }
}
reset_margins = 'unset lmargin; unset rmargin; unset tmargin; unset bmargin; unset xrange; unset label; set key default'

eval reset_margins
set xtics scale 1
set xrange [*:*]
set yrange [*:*]
set ytics autofreq
do for [format in "png svg"] {
    if (latency_panels == 0) { break }
    columns = latency_panels > 1 ? 2 : 1
    rows = (latency_panels + columns - 1) / columns
    eval terminal_of(format, 1300, 90 + 430 * rows)
    set output output_dir.'/compare-latency.'.format
    set multiplot layout rows, columns \
        title "Latency of one operation by percentile: lower is better\n".machine font ',14'
    set logscale y
    set format y '%.0s %cs'
    set xrange [-0.3:5.3]
    do for [panel = 0:latency_panels - 1] {
        set title word(latency_titles, panel + 1)
        set key top left Left reverse samplen 3
        plot for [i = 1:allocator_count] data.'/compare-latency.dat' index panel \
            using 0:(column(i + 1) * 1e-9):xtic(1) with linespoints lc rgb colour(i) lw line_width(i) \
            pt (is_ours(i) ? 7 : 4 + i % 3) ps 0.9 title full_name(i)
    }
    unset multiplot
    unset output
}

unset logscale
unset title
set format y '%g'
do for [format in "png svg"] {
    if (scaling_panels == 0) { break }
    eval terminal_of(format, 1000, 620)
    set output output_dir.'/compare-scaling.'.format
    set title "Server pattern (Larson): million operations a second, higher is better\n".machine font ',14'
    stats data.'/compare-scaling.dat' using 1 nooutput
    set logscale x 2
    set xrange [STATS_min * 0.9:STATS_max * 1.1]
    set yrange [0:*]
    set xlabel 'threads'
    set key outside right top Left reverse samplen 3
    plot for [i = 1:allocator_count] data.'/compare-scaling.dat' \
        using 1:(column(i + 1)):xtic(1) with linespoints lc rgb colour(i) lw line_width(i) \
        pt (is_ours(i) ? 7 : 4 + i % 3) ps 1 title full_name(i)
    unset output
}
