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
#                  <date>.json  the same for `make bench-compare` and `make report`; kept
#
# A lab with one processor runs with its time counted in instructions: two rounds are
# enough to see that they are the same.
#
# Fails when a target is missed. With KNOWN=ok not for one that is known to be, and is not
# missed by more than it says there.

. "$(dirname "$0")/common.sh"

targets=$GM_TOP/tools/xen-tests/bench/targets
out=$GM_BUILD/bench
rounds=${ROUNDS:-3}
[[ $rounds =~ ^[1-9][0-9]?$ ]] || die "ROUNDS=$rounds: a number from 1 to 99 is needed"

labs=$(awk -F'|' '!/^#/ && !/^plot/ && NF >= 6 { gsub(/ /, "", $2); print $2 }' "$targets" |
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

mkdir -p "$out" "$GM_BUILD/logs"
lock bench "$GM_BUILD"
rm -f "$out"/*.csv "$out"/*.md "$out"/*.svg
started=$SECONDS
take_all
partial=()
[ -z "${LAB:-}" ] || partial=(--partial)
rc=0
"$GM_TOP/tools/xen-tests/report/bench.py" --build "$GM_BUILD" judge --targets "$targets" \
	--test "${TEST:-}" ${partial[@]+"${partial[@]}"} || rc=$?
note "$(duration $((SECONDS - started))); build/bench: report.md, figures.csv, table.csv, $(find "$out" -name '*.svg' | wc -l) plots"
case $rc in
0)	;;
3)	[ "${KNOWN:-}" = ok ] || die "targets are missed, all of them known and explained (see above); KNOWN=ok takes these for good" ;;
*)	die "targets are missed (see above)" ;;
esac
