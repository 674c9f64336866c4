#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# bench.sh: take the figures of suite bench (or of the suite that the lab's file names,
# LAB_BENCH) on our kernel and on the stock one, in turn, and compare them as
# tools/xen-tests/bench/targets says.
#
# In:  what boots, of both kernels (make machine); ROUNDS, how often (default 3);
#      LAB, only that one; TEST, only that test
# Out: build/bench/report.md  the tables, ready to be copied
#                  figures.csv every figure of every round
#                  table.csv  what the tables say
#                  *.svg      plots
#
# A lab with one processor runs with its time counted in instructions: two rounds are
# enough to see that they are the same. Figures are no verdict: this ends with 0 when
# they could be taken, whatever they are.

. "$(dirname "$0")/common.sh"

targets=$GM_TOP/tools/xen-tests/bench/targets
out=$GM_BUILD/bench
rounds=${ROUNDS:-3}
[[ $rounds =~ ^[1-9][0-9]?$ ]] || die "ROUNDS=$rounds: a number from 1 to 99 is needed"

labs=$(awk -F'|' '!/^#/ && NF == 6 { gsub(/ /, "", $2); print $2 }' "$targets" |
	LC_ALL=C sort -u | paste -sd ' ')
if [ -n "${LAB:-}" ]; then
	case " $labs " in
	*" $LAB "*) ;;
	*) die "tools/xen-tests/bench/targets names no figure of a lab '$LAB'; labs: $labs" ;;
	esac
	labs=$LAB
fi

# take LAB KERNEL ROUND COUNTED: appends to figures.csv
take()
{
	local log=$GM_BUILD/logs/bench.log results=$GM_BUILD/results/$1

	KERNEL=$2 SUITE=$LAB_BENCH GM_LONG=1 ICOUNT=$4 "$GM_SCRIPTS/boot.sh" test "$1" >"$log" 2>&1 || {
		cat "$log" >&2
		die "suite $LAB_BENCH failed in lab $1 (KERNEL=$2); its figures are worth nothing"
	}
	{ find "$results/$LAB_BENCH" -name '*.ktap' -exec cat {} + 2>/dev/null || true; } |
	awk -v lab="$1" -v kernel="$2" -v round="$3" '
		$1 == "#" && $2 == "bench" {
			split("", v)
			for (i = 4; i <= NF; i++) {
				eq = index($i, "=")
				v[substr($i, 1, eq - 1)] = substr($i, eq + 1)
			}
			printf "%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s\n", lab, kernel, round, $3,
				v["unit"], v["n"], v["min"], v["p50"], v["p99"], v["max"], v["cut"] + 0
		}' >>"$out/figures.csv"
	grep -q "^$1,$2,$3," "$out/figures.csv" || 
		die "suite $LAB_BENCH printed no figure in lab $1 (KERNEL=$2)${TEST:+: is there a test \"$TEST\"?}"
}

take_all()
{
	local lab counted n round kernel

	echo "lab,kernel,round,row,unit,n,min,p50,p99,max,cut" >"$out/figures.csv"
	for lab in $labs; do
		LAB_SMP='' LAB_BENCH=bench
		# shellcheck source=/dev/null
		. "$GM_TOP/configs/lab/$lab.conf"
		n=$rounds counted=
		if [ "$LAB_SMP" = 1 ]; then
			counted=1
			[ "$n" -lt 2 ] || n=2
		fi
		for ((round = 1; round <= n; round++)); do
			for kernel in stock ours; do
				say "$lab: $kernel, round $round of $n"
				take "$lab" "$kernel" "$round" "$counted"
			done
		done
	done
}

header()
{
	local cpu

	cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
	cat <<-END
	# Figures: ours against stock

	Linux $(cat "$GM_BUILD/kernel/ours/release") and $(cat "$GM_BUILD/kernel/stock/release"), $(qemu-system-x86_64 --version | head -n 1),
	on $(nproc) x ${cpu:-an unknown processor}, load $(cut -d' ' -f1 /proc/loadavg). Rounds alternate: stock, ours, stock, ours.
	How they are taken: Documentation/bench.md.
	END
}

# curves DATA Y: what gnuplot is to draw of it: latencies (log) as curves, p50 to max,
# costs and rates (linear) as bars
curves()
{
	local kernel color figure column=2 style

	for kernel in stock ours; do
		color='#d95f02'
		[ "$kernel" = stock ] || color='#1f78b4'
		for figure in p50 p99 max; do
			style="linespoints pt $((4 + column % 3 * 2)) lw 2 dt $(((column - 2) % 3 + 1))"
			if [ "$2" = log ]; then
				echo "\"$1\" using 0:$column:xtic(1) with $style lc rgb \"$color\" title \"$kernel $figure\""
			elif [ $figure = p50 ]; then
				echo "\"$1\" using $column:xtic(1) with histogram fs solid lc rgb \"$color\" title \"$kernel\""
			fi
			((++column))
		done
	done
}

# plot NAME LAB PREFIX X Y TITLE
plot()
{
	local unit

	awk -F, -v lab="$2" -v prefix="$3." -f "$GM_SCRIPTS/bench-plot.awk" \
		"$out/figures.csv" >"$out/$1.dat"
	unit=$(sed -n 's/^# //p' "$out/$1.dat")
	if [ -z "$unit" ]; then
		rm "$out/$1.dat"
		return
	fi
	gnuplot <<-END
	set terminal svg size 760,440 background "white"
	set output "$out/$1.svg"
	set title "$6" noenhanced
	set xlabel "$4"
	set ylabel "$unit"
	set key outside right
	set grid ytics
	set datafile missing "?"
	set xtics rotate by -20
	$([ "$5" != log ] || echo 'set offsets 0.2, 0.2, 0, 0; set logscale y; set format y "10^{%L}"')
	$([ "$5" != linear ] || echo 'set yrange [0:*]')
	plot $(curves "$out/$1.dat" "$5" | paste -sd ,)
	END
}

plots()
{
	local kind name lab prefix x y title

	while IFS='|' read -r kind name lab prefix x y title; do
		[ "${kind// /}" = plot ] || continue
		# The words of a label, without blanks around
		read -r x <<<"$x"
		read -r title <<<"$title"
		plot "${name// /}" "${lab// /}" "${prefix// /}" "$x" "${y// /}" "$title"
	done <"$targets"
}

mkdir -p "$out"
rm -f "$out"/*.csv "$out"/*.md "$out"/*.svg "$out"/*.dat
lock bench "$GM_BUILD"
started=$SECONDS
take_all
{
	header
	awk -v csv="$out/table.csv" -v some="${LAB:-}${TEST:-}" -f "$GM_SCRIPTS/bench.awk" "$targets" "$out/figures.csv"
} >"$out/report.md"
plots
cat "$out/report.md"
echo
note "$(duration $((SECONDS - started))); build/bench: report.md, figures.csv, table.csv, $(find "$out" -name '*.svg' | wc -l) plots"
