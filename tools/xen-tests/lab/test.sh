#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# test.sh: all suites on all labs, or those that SUITE and LAB name (a suite of
# LAB_SUITES_LONG, or a lab with another processor than x86, only when it is named). The
# last line is the count, alone; the exit status says whether anything failed.
#
# JOBS labs run at a time (default: one for each processor that there is memory for), the
# long ones first. Each line says of which lab it is, and what a test has to say follows its
# line at once (labrun.c).

. "$(dirname "$0")/common.sh"

passed=0 failed=0 skipped=0 programs=0
started=$SECONDS

# add RESULTS-DIRECTORY: its counts; a run that left none is one failure
add()
{
	local p f s

	if read -r p f s 2>/dev/null <"$1/counts"; then
		passed=$((passed + p))
		failed=$((failed + f))
		skipped=$((skipped + s))
	else
		echo "FAIL ${1##*/} lab machine: no results were written"
		failed=$((failed + 1))
	fi
}

# keep RESULTS SUITES [LAB]: the last complete run of each suite, by kernel, for `make report`.
# Its file "run" says when that was, of which source, and the counts of all suites together.
keep()
{
	local dir=$GM_BUILD/kept/$GM_KERNEL/${3:-$1} suite run

	[ -z "${TEST:-}" ] || return 0
	run="$(date -u +%Y-%m-%dT%H:%M:%SZ) $(git -C "$GM_TOP" rev-parse --short=12 HEAD 2>/dev/null || echo unknown)"
	run+=" $(cat "$GM_BUILD/results/$1/counts" 2>/dev/null || echo 0 1 0)"
	for suite in $2; do
		fresh_dir "$dir/$suite"
		cp "$GM_BUILD/results/$1/$suite.ktap" "$dir/$suite/" 2>/dev/null || true
		echo "$run" >"$dir/$suite/run"
	done
}

# selected "SUITES": those of them that SUITE asks for
selected()
{
	local s

	for s in $1; do
		case " ${SUITE:-$s} " in
		*" $s "*) printf '%s ' "$s" ;;
		esac
	done
}

# run_lab LAB SUITES TRIES: a machine that did not come as far as any test gets another try,
# where its lab says so (LAB_TRIES); one that did does not.
run_lab()
{
	local try rc

	for ((try = 1; try <= $3; try++)); do
		rm -f "$GM_BUILD/results/$1/counts"
		rc=0
		SUITE=$2 "$GM_SCRIPTS/boot.sh" test "$1" || rc=$?
		# Stopped by a signal: so are we.
		[ $rc -lt 128 ] || exit $rc
		[ $rc != 0 ] || break
		[ $try -lt "$3" ] || break
		[ -z "$(find "$GM_BUILD/results/$1" -mindepth 2 -name '*.ktap' -print -quit)" ] || break
		note "$1 did not come up, and is known for it: once more; only this run counts"
	done
}

# A lab needs about a processor and 4 GiB (LAB_MEMORY, and QEMU's own).
jobs_at_once()
{
	local n

	n=$(awk '/^MemAvailable:/ { print int($2 / (4 * 1024 * 1024)) }' /proc/meminfo)
	[ "$n" -lt "$(nproc)" ] || n=$(nproc)
	echo $((n > 1 ? n : 1))
}

case ${JOBS:-} in
'')	jobs=$(jobs_at_once) ;;
*[!0-9]* | 0)
	die "JOBS=$JOBS: a number of labs to run at a time, from 1" ;;
*)	jobs=$JOBS ;;
esac

# Labs that run: by process, which leads a process group of its own.
declare -A running=() suites_of=() begun=()

# Whatever ends this script ends them; labrun takes its QEMU with it.
end_labs()
{
	local pid

	for pid in "${!running[@]}"; do
		kill -TERM -- "-$pid" 2>/dev/null || true
	done
	wait
}
trap end_labs EXIT
trap 'exit 143' TERM

# start_lab LAB: in the background, with what suites_of has for it
start_lab()
{
	local suites=${suites_of[$1]}

	read_lab "$1"
	say "$1: $suites (kernel: $GM_KERNEL; console: build/logs/$1/console.log)"
	set -m
	# The parent's traps are not for it.
	(trap - EXIT TERM INT; run_lab "$1" "$suites" "$LAB_TRIES") </dev/null &
	set +m
	running[$!]=$1
	begun[$1]=$SECONDS
}

# finish_lab: waits for one of those that run, and counts it
finish_lab()
{
	local pid lab rc=0

	wait -n -p pid "${!running[@]}" || rc=$?
	[ -n "${pid:-}" ] || die "a lab ended unseen"
	lab=${running[$pid]}
	unset "running[$pid]"
	# Stopped by a signal: so are we, and the others.
	[ $rc -lt 128 ] || exit $rc
	add "$GM_BUILD/results/$lab"
	keep "$lab" "${suites_of[$lab]}"
	note "$lab: $(duration $((SECONDS - begun[$lab])))"
	programs=$((programs + $(find "$GM_BUILD/results/$lab" -mindepth 2 -name '*.ktap' | wc -l)))
}

# The machine that runs the tests is tested first: were it wrong, nothing that
# follows could be believed. Not when one test of another suite is asked for.
if [ -n "$(selected runner)" ] && [ -z "${LAB:-}" ] &&
   { [ -z "${TEST:-}" ] || [ -n "${SUITE:-}" ]; }; then
	say "runner: the lab runner itself, against pretended machines"
	"$GM_SCRIPTS/selftest.sh" || true
	add "$GM_BUILD/results/runner"
	keep runner runner host
	programs=$((passed + failed + skipped))
fi

# The GPU's model, without a guest: on this computer, like the runner.
if [ -n "$(selected xgpu-device)" ] && [ -z "${LAB:-}" ]; then
	say "xgpu-device: the model of the GPU, in a QEMU without a processor"
	rc=0
	"$GM_TOP/tools/xen-tests/xgpu-device/test.sh" || rc=$?
	[ $rc -lt 128 ] || exit $rc
	add "$GM_BUILD/results/xgpu-device"
	keep xgpu-device xgpu-device host
	programs=$((programs + $(find "$GM_BUILD/results/xgpu-device" -mindepth 2 -name '*.ktap' | wc -l)))
fi

mkdir -p "$GM_BUILD/results"
known="runner xgpu-device"
queue=()
for lab in ${LAB:-$(cd "$GM_TOP/configs/lab" && echo *.conf | sed 's/\.conf//g')}; do
	conf=$GM_TOP/configs/lab/$lab.conf
	[ -e "$conf" ] || die "there is no lab '$lab' in configs/lab"
	read_lab "$lab"
	# With another processor everything is built anew: only when it is asked for.
	[ -n "${LAB:-}" ] || [ "$LAB_ARCH" = "$GM_ARCH" ] || continue
	known+=" $LAB_SUITES $LAB_SUITES_LONG"
	suites=$(selected "$LAB_SUITES${SUITE:+ $LAB_SUITES_LONG}")
	[ -n "$LAB_SUITES" ] || [ "$GM_KERNEL" != debian ] || [ -z "${LAB:-}" ] ||
		die "lab '$lab' has no suite that Debian's kernel can run (LAB_DEBIAN_SUITES)"
	[ -n "$suites" ] || continue
	[ -n "${suites_of[$lab]:-}" ] || queue+=("$LAB_MINUTES $lab")
	suites_of[$lab]=${suites% }
done
mapfile -t queue < <(printf '%s\n' "${queue[@]}" | sort -s -n -r -k 1,1)
for entry in "${queue[@]}"; do
	[ -n "$entry" ] || continue
	[ ${#running[@]} -lt "$jobs" ] || finish_lab
	start_lab "${entry#* }"
done
while [ ${#running[@]} != 0 ]; do
	finish_lab
done
for suite in ${SUITE:-}; do
	case " $known " in
	*" $suite "*) ;;
	*) die "there is no suite '$suite' on ${LAB:-any lab}; there are: $(tr ' ' '\n' <<<"$known" | sort -u | paste -sd ' ')" ;;
	esac
done
if [ -n "${TEST:-}" ] && [ $programs = 0 ]; then
	echo "FAIL no test is called '$TEST' in ${SUITE:-any suite} on ${LAB:-any lab}"
	failed=$((failed + 1))
fi
note "$(duration $((SECONDS - started)))"
printf '%d passed, %d failed, %d skipped\n' $passed $failed $skipped |
	tee "$GM_BUILD/results/summary"
[ $failed = 0 ]
