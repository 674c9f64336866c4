#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# test-all.sh: everything there is to test, in steps: the runner, the checks of the
# source, each suite of each lab (also those of LAB_SUITES_LONG) in a machine of its
# own, with GM_LONG=1 for test programs that have a longer run in them.
#
# A step that has ended, well or not, is not done again when this is started again
# after it was interrupted, unless a source has changed. build/test-all/<kernel>/
# has a directory for each step: result, output, console log, KTAP.

. "$(dirname "$0")/common.sh"

state=$GM_BUILD/test-all/$GM_KERNEL
lock test-all "$GM_BUILD"
[ -z "${SUITE:-}${TEST:-}${LAB:-}" ] ||
	die "make test-all runs everything; for a part of it: make test LAB=.. SUITE=.. TEST=.. GM_LONG=1"
export GM_LONG=1

steps=(runner xgpu-device check)
[ "$GM_KERNEL" != ours ] || steps+=(compat)
# Once more on kernels that check themselves, and on Debian's: FLAVOR/LAB/SUITE, by flavour, as each has to be built
flavor_steps=()
for conf in "$GM_TOP"/configs/lab/*.conf; do
	read_lab "$(basename "$conf" .conf)"
	for flavor in $LAB_FLAVORS; do
		for suite in $LAB_SUITES; do
			# Figures of a kernel that checks itself say nothing.
			[ "${suite#bench}" != "$suite" ] ||
				flavor_steps+=("$flavor/$(basename "$conf" .conf)/$suite")
		done
	done
	for suite in $LAB_DEBIAN_SUITES; do
		flavor_steps+=("debian/$(basename "$conf" .conf)/$suite")
	done
	for suite in $LAB_SUITES $LAB_SUITES_LONG; do
		steps+=("$(basename "$conf" .conf)/$suite")
	done
done
if [ "$GM_KERNEL" = ours ] && [ ${#flavor_steps[@]} != 0 ]; then
	mapfile -t flavor_steps < <(printf '%s\n' "${flavor_steps[@]}" | LC_ALL=C sort -s -t / -k 1,1)
	steps+=("${flavor_steps[@]}")
fi

inputs="$(cat "$GM_BUILD/kernel/$GM_KERNEL/inputs") ${ICOUNT:-} $(sum_of "$GM_TOP"/{tools,configs,Makefile})"
if [ "$(cat "$state/inputs" 2>/dev/null)" != "$inputs" ]; then
	fresh_dir "$state"
	echo "$inputs" >"$state/inputs"
fi

# make_target TARGET KERNEL VARIABLE=VALUE...: as part of a make of its own, because what is
# there is up to the Makefile.
make_target()
{
	local target=$1 kernel=$2

	shift 2
	make --no-print-directory -C "$GM_TOP" "$target" KERNEL="$kernel" "$@"
}

# test_lab LAB SUITE KERNEL: a lab with another processor, or another kernel than everything
# here is tested with, needs everything built for that first.
test_lab()
{
	local LAB_ARCH=x86

	# shellcheck source=/dev/null
	. "$GM_TOP/configs/lab/$1.conf"
	if [ "$LAB_ARCH" = "$GM_ARCH" ] && [ "$3" = "$GM_KERNEL" ]; then
		SUITE=$2 LAB=$1 "$GM_SCRIPTS/test.sh"
	else
		make_target test "$3" SUITE="$2" LAB="$1"
	fi
}

# run_step STEP DIRECTORY: leaves the counts in $counts; fails as the step does
run_step()
{
	local step=$1 dir=$2 rc=0 suite=${1##*/} lab=${1%/*} kernel=$GM_KERNEL

	case $lab in
	*/*) kernel=${lab%%/*} lab=${lab#*/} ;;
	esac
	case $step in
	check | compat)
		say "$step"
		make_target "$step" "$kernel" >"$dir/output" 2>&1 || rc=$?
		cat "$dir/output"
		counts="1 0 0"
		[ $rc = 0 ] || counts="0 1 0"
		return $rc
		;;
	runner | xgpu-device)
		SUITE=$step LAB='' "$GM_SCRIPTS/test.sh" | tee "$dir/output" || rc=$? ;;
	*)
		test_lab "$lab" "$suite" "$kernel" | tee "$dir/output" || rc=$?
		cp "$GM_BUILD/logs/$lab/console.log" "$dir/" 2>/dev/null
		;;
	esac
	cp -r "$GM_BUILD/results/$lab" "$dir/results"
	counts=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' \
		"$dir/output")
	[ -n "$counts" ] || counts="0 1 0"
	return $rc
}

for step in "${steps[@]}"; do
	dir=$state/${step//\//.}
	if [ -e "$dir/result" ]; then
		note "$step: done before the interruption"
		continue
	fi
	fresh_dir "$dir"
	begun=$SECONDS rc=0
	run_step "$step" "$dir" || rc=$?
	# Stopped by a signal, as is everything above and below: the step is not done.
	[ $rc -lt 128 ] || exit $rc
	echo "$counts $((SECONDS - begun))" >"$dir/result"
done

# The table; its columns add up to the last line.
passed=0 failed=0 skipped=0 seconds=0
{
	printf '%-28s %7s %7s %7s   %s\n' step passed failed skipped time
	for step in "${steps[@]}"; do
		read -r p f s t <"$state/${step//\//.}/result"
		printf '%-28s %7d %7d %7d   %s\n' "$step" "$p" "$f" "$s" "$(duration "$t")"
		passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
		seconds=$((seconds + t))
	done
} >"$state/table"
echo
cat "$state/table"
note "$(duration $seconds)"
# The next one begins at the beginning.
echo finished >"$state/inputs"
printf '%d passed, %d failed, %d skipped\n' $passed $failed $skipped |
	tee "$GM_BUILD/results/summary"
[ $failed = 0 ]
