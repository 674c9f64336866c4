#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# docs-plot.sh [check]: the plot of the README, Documentation/plot-bench.svg, made of the
# tables in Documentation/bench.md. With "check" only: is it what these say now?
#
# The figures in bench.md are of a run of `make bench`. The plot takes them from there, so
# that there is one place for them.

. "$(dirname "$0")/common.sh"

report=$GM_TOP/Documentation/bench.md
svg=$GM_TOP/Documentation/plot-bench.svg
work=$GM_BUILD/docs/plot
fresh_dir "$work"

# row START COLUMN: the figures of the first row that begins with START, one a line; "us" and
# the spaces in 10 000 go, and what is no figure ("more than 1 s", "not ended") is "?"
row()
{
	awk -F'|' -v start="| $1" -v column="$2" '
	index($0, start) == 1 {
		n = split($column, list, ",")
		for (i = 1; i <= n; i++) {
			gsub(/ |us$|us /, "", list[i])
			print list[i] ~ /^[0-9.]+$/ ? list[i] : "?"
		}
		found = 1
		exit
	}
	END { exit !found }' "$report" ||
		die "docs-plot.sh: bench.md has no row that begins with: $1"
}

# Stock's figures are in column 3, ours in 4. "Others live" is a logarithm, which 0 has not.
pairs() { paste -d ' ' <(row "$1" 3) <(row "$1" 4); }
{
	pairs '**one page**: MAP' | sed 's/^/1 /'
	pairs '100 others live' | sed 's/^/100 /'
	paste -d ' ' <(printf '%s\n' 1000 10000 60000) <(pairs '1 000, 10 000, 60 000 others live')
} >"$work/grants"
{
	pairs 'no storm' | head -n 1 | sed 's/^/0 /'
	pairs '1 thread' | sed 's/^/1 /'
	pairs '2 threads' | sed 's/^/2 /'
	pairs '8 threads: median, p99' | head -n 1 | sed 's/^/8 /'
} >"$work/reads"
# A wait that was ended after a second is drawn as one.
awk '$2 == "?" { $2 = 1000000 } { print }' "$work/reads" >"$work/reads.drawn"

gnuplot <<-END
set terminal svg size 860,360 font "DejaVu Sans,12" background "white"
set output "$work/drawn.svg"
set datafile missing "?"
set multiplot layout 1,2
set logscale y
set grid ytics
set key top left
set style line 1 lc rgb "#d95f02" pt 7 ps 0.8 lw 2
set style line 2 lc rgb "#1f78b4" pt 7 ps 0.8 lw 2
set title "map and unmap one granted page"
set xlabel "other grants mapped"
set ylabel "instructions"
set logscale x
set xrange [0.8:100000]
set xtics ("none" 1, "100" 100, "1 000" 1000, "10 000" 10000, "60 000" 60000) rotate by -25
set yrange [10000:1000000]
set format y "10^{%L}"
plot "$work/grants" using 1:2 with linespoints ls 1 title "stock (60 000: not ended)", \
	"$work/grants" using 1:3 with linespoints ls 2 title "ours"
unset logscale x
set title "a device's read that collides for 100 us"
set xlabel "threads that change other memory"
set ylabel "us until it has read"
set xrange [-0.6:3.6]
set xtics ("0" 0, "1" 1, "2" 2, "8" 3) norotate
set yrange [10:100000000]
set style fill solid
set boxwidth 0.32
plot "$work/reads.drawn" using (\$0-0.18):2 with boxes ls 1 title "stock (1 s: ended by the test)", \
	"$work/reads.drawn" using (\$0+0.18):3 with boxes ls 2 title "ours"
END
{
	head -n 1 "$work/drawn.svg"
	echo '<!-- SPDX-License-Identifier: GPL-2.0-only'
	echo '     Made by tools/xen-tests/lab/docs-plot.sh from the tables in Documentation/bench.md:'
	sed 's/^/     others, stock, ours: /' "$work/grants"
	sed 's/^/     threads, stock, ours: /' "$work/reads"
	echo '-->'
	tail -n +2 "$work/drawn.svg"
} >"$work/plot.svg"

if [ "${1:-}" = check ]; then
	cmp -s "$work/plot.svg" "$svg" ||
		die "Documentation/plot-bench.svg is not what bench.md says; make it anew: tools/xen-tests/lab/docs-plot.sh"
else
	cp "$work/plot.svg" "$svg"
fi
