# Memory over time: resident and committed, and what is live.
# gnuplot -e "table='FILE'; image='FILE'; subject='...'" soak.gnuplot
set terminal pngcairo noenhanced size 1300,620 font 'DejaVu Sans,10'
set output image
set encoding utf8
set title "Memory over ".subject font ',14'
set datafile separator "\t"
set key outside right top Left reverse samplen 2
set grid ytics lc rgb '#dddddd'
set xlabel 'seconds'
set ylabel 'MiB'
set yrange [0:*]
set autoscale xfix
mib(column_number) = column(column_number) / 1048576.0
at_quiet(value) = strcol(3) eq 'quiet' ? value : NaN
plot table every ::1 using 1:(mib(4)) with lines lc rgb '#b8604f' title 'resident, the process', \
     '' every ::1 using 1:(mib(5)) with lines lc rgb '#3f8fcb' title 'committed, the pools', \
     '' every ::1 using 1:(mib(6)) with lines lc rgb '#6f9f5e' title 'live, by the statistics', \
     '' every ::1 using 1:(mib(7)) with lines lc rgb '#4f4f4f' dt 3 title 'live, as the test knows', \
     '' every ::1 using 1:(at_quiet(mib(4))) with points pt 7 ps 0.6 lc rgb '#b8604f' title 'at quiet', \
     '' every ::1 using 1:(at_quiet(mib(5))) with points pt 7 ps 0.6 lc rgb '#3f8fcb' title 'at quiet'
