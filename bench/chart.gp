# SPDX-License-Identifier: GPL-2.0-only
# gnuplot -c bench/chart.gp CALLS KERNEL CHART: two tables of bench/run's, tabs and a header,
# into an SVG. A column a binding, a line an operation.
set terminal svg size 1200, 960 dynamic font "DejaVu Sans,14" background "#ffffff"
set output ARG3
set datafile separator "\t"
set datafile missing "-"

set style data histograms
set style histogram clustered gap 2
set style fill solid noborder
set boxwidth 0.9
set border 3 linecolor "#606060"
set tics nomirror out
set xtics scale 0
set grid ytics linecolor "#d8d8d8" linewidth 1
set linetype 1 linecolor "#9a9a9a"
set linetype 2 linecolor "#2166ac"
set linetype 3 linecolor "#92c5de"
set linetype 4 linecolor "#e66101"
set linetype 5 linecolor "#fdb863"
set lmargin 11
set rmargin 8

columns(file) = int(system("head -n 1 '" . file . "' | tr '\\t' '\\n' | wc -l"))

set multiplot
set origin 0, 0.45
set size 1, 0.55
set title "Instructions of one call; NOPs that fill its site are not counted" font ",16"
set ylabel "instructions, logarithmic"
set logscale y
set yrange [0.5:1000]
set xtics rotate by -35
set key top left Left reverse samplen 1 opaque noenhanced
plot for [i = 2 : columns(ARG1)] ARG1 using i:xtic(1) title columnheader(i)

unset logscale y
set origin 0, 0
set size 1, 0.45
set title "A kernel's operations, against the same kernel with its native table" font ",16"
set ylabel "ratio of instructions"
set yrange [0:3]
set arrow from graph 0, first 1 to graph 1, first 1 nohead front linecolor "#202020" dashtype 2
set xtics norotate font ",11"
set key top left horizontal maxrows 2
bars = columns(ARG2) - 1
middle(i) = (i - 2 - (bars - 1) / 2.0) / (bars + 2)
plot for [i = 2 : bars + 1] ARG2 using i:xtic(1) title columnheader(i), \
	for [i = 2 : bars + 1] ARG2 using ($0 + middle(i)):i:(sprintf("%.3f", column(i))) \
		every ::1 with labels rotate by 90 left offset 0, 0.3 font ",10" notitle
unset multiplot
