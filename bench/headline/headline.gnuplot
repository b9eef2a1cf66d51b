# Grouped bars of the headline table, one panel a workload.
# gnuplot -e "data='...'; output_base='...'; machine='...'" headline.gnuplot
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.9 border -1
set boxwidth 0.9
set grid ytics lc rgb '#dddddd'
set yrange [0:*]
set offsets graph 0, graph 0, graph 0.35, graph 0
set xtics nomirror
set ytics nomirror
titles = "'Small (64 bytes), freed at once' 'Small (64 bytes), freed after each round' 'Large (1024 bytes), freed at once' 'Large (1024 bytes), freed after each round'"

do for [format in "png svg"] {
    if (format eq 'png') {
        set terminal pngcairo size 1200,860 font 'DejaVu Sans,11'
    } else {
        set terminal svg size 1200,860 font 'DejaVu Sans,13' background '#ffffff'
    }
    set output output_base.'.'.format
    set multiplot layout 2,2 title "CPU time of one allocate/free pair (10,000 a round): less is better\n{/*0.8 ".machine."}" font ',15'
    do for [panel = 0:3] {
        set title word(titles, panel + 1)
        set ylabel 'ns per pair'
        set key top left horizontal reverse Left samplen 2
        plot data index panel using 2:xtic(1) title 'MemoryBucket' lc rgb '#2f7ebc', \
             '' index panel using 3 title 'malloc/free (glibc)' lc rgb '#c9c9c9', \
             '' index panel using ($0 - 0.16):2:(sprintf('%.3g', $2)) with labels offset 0,0.6 notitle, \
             '' index panel using ($0 + 0.18):3:(sprintf('%.3g', $3)) with labels offset 0,0.6 notitle
    }
    unset multiplot
    unset output
}
