#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# coverage.sh: which lines and branches of our kernel files the suites execute. FLAVOR=gcov
# counts; each machine hands its counts over at the end (gm-coverage.sh), a driver domain,
# too; they are added up by lcov.
#
# In:  build/kernel/gcov with gcno/ (kernel.sh), what boots; LAB, SUITE: only these, added to
#      what was counted before; without both everything is counted anew
# Out: build/coverage/index.html   line by line
#                     total.info   the same for programs
#                     files.csv    a line for each file
#                     missed.txt   lines that nothing has executed, with their text
#                     <lab>-<who>.info  what each machine has counted
#
# Fails when a suite fails, or when less of the lines than COVERAGE_MIN per cent is executed.

. "$(dirname "$0")/common.sh"

# LAB SUITE...: the suites that are about our files, where they reach most of them
plan='
bare         kunit notifier hmm
pv           grants notifier hmm
pv-smp       grants
pvh-guest    grants
gpu-bare     gpu
gpu-bare-amd gpu
gpu-intel    gpu
'
minimum=${COVERAGE_MIN:-95}
out=$GM_BUILD/coverage
gcno=$GM_BUILD/kernel/gcov/gcno
# As it was compiled: objects in a child of the tree, sources beside it
stage=$out/tree
rc_options=(--rc lcov_branch_coverage=1 --rc genhtml_branch_coverage=1 --rc geninfo_auto_base=0)

# What the kernel was built from: ours, without the tests
sources() { (cd "$GM_TOP" && find mm drivers/xen arch -name '*.[ch]' ! -name '*_test*') | LC_ALL=C sort; }

# lcov says much; of what went wrong, all is shown
quietly()
{
	"$@" >"$out/lcov.log" 2>&1 || {
		cat "$out/lcov.log" >&2
		die "${1##*/} failed"
	}
}

make_stage()
{
	rm -rf "$stage"
	mkdir -p "$stage/obj"
	sources | rsync -a --files-from=- "$GM_TOP/" "$stage/"
	rsync -a "$gcno/" "$stage/obj/"
	sources | while read -r file; do
		case $file in
		*.c)	[ -e "$stage/obj/${file%.c}.gcno" ] ||
				die "$file is not counted: its Makefile does not say GCOV_PROFILE" ;;
		esac
	done
}

# capture NAME OPTION...: $stage/obj to NAME.info, ours alone
capture()
{
	local name=$1

	shift
	quietly lcov "${rc_options[@]}" --quiet --capture --directory "$stage/obj" \
		--base-directory "$stage/obj" "$@" \
		--output-file "$out/all.tmp"
	mapfile -t ours < <(sources | sed "s|^|$stage/|")
	quietly lcov "${rc_options[@]}" --quiet --extract "$out/all.tmp" "${ours[@]}" \
		--output-file "$out/$name.info"
	rm "$out/all.tmp"
}

# add LAB: what its machines have handed over
add()
{
	local file name dir n=0

	for file in "$GM_BUILD/results/$1"/gcov-*; do
		[ -e "$file" ] || continue
		name=$1-${file##*/gcov-}
		find "$stage/obj" -name '*.gcda' -delete
		dir=$out/counts
		fresh_dir "$dir"
		base64 -d <"$file" | tar -C "$dir" -xzf - ||
			die "$file is damaged: something else was printed in between; make coverage LAB=$1"
		# Their names are those of the object directory: /root/.../build-gcov/mm/hmm.gcda
		(cd "$dir" && find . -name '*.gcda' -path '*/build-gcov*' -print) |
		while read -r f; do
			[ -e "$stage/obj/${f#*/build-gcov/}" ] || mkdir -p "$(dirname "$stage/obj/${f#*/build-gcov/}")"
			cp "$dir/$f" "$stage/obj/${f#*/build-gcov/}"
		done
		rm -r "$dir"
		capture "$name"
		n=$((n + 1))
	done
	[ $n -gt 0 ] || die "lab $1 has handed over no counts: does FLAVOR=gcov boot there? (build/logs/$1)"
}

# Which file has how many lines and branches, and how many of them were executed
summary()
{
	awk -F '[:,]' -v stage="$stage/" '
		BEGIN { print "file,lines,lines_hit,branches,branches_hit" }
		$1 == "SF" { file = substr($0, 4); sub(stage, "", file) }
		$1 == "LF" { lf = $2 }
		$1 == "LH" { lh = $2 }
		$1 == "BRF" { bf = $2 }
		$1 == "BRH" { bh = $2 }
		/^end_of_record/ { print file "," lf + 0 "," lh + 0 "," bf + 0 "," bh + 0; lf = lh = bf = bh = 0 }
	' "$out/total.info" | { read -r head; echo "$head"; LC_ALL=C sort; } >"$out/files.csv"
	awk -F '[:,]' -v stage="$stage/" '
		$1 == "SF" { file = substr($0, 4); n = 0
			while ((getline line <file) > 0) text[++n] = line
			close(file)
			name = file; sub(stage, "", name) }
		$1 == "DA" && $3 == 0 { print name ":" $2 ":" text[$2] }
	' "$out/total.info" >"$out/missed.txt"
}

if [ -n "${LAB:-}" ]; then
	labs=$(awk 'NF { print $1 }' <<<"$plan")
	grep -qx "$LAB" <<<"$labs" ||
		die "coverage is not taken in a lab '$LAB'; there are: $(paste -sd ' ' <<<"$labs")"
fi
[ -d "$gcno" ] || die "$gcno is missing: make FLAVOR=gcov machine"
lock coverage "$GM_BUILD"
mkdir -p "$out"
inputs=$(cat "$GM_BUILD/kernel/gcov/inputs")
if [ -z "${LAB:-}${SUITE:-}" ] || [ "$(cat "$out/inputs" 2>/dev/null)" != "$inputs" ]; then
	fresh_dir "$out"
fi
echo "$inputs" >"$out/inputs"
make_stage
# A file that nothing executes is there, too.
[ -e "$out/none.info" ] || capture none --initial

failed=0
while read -r lab suites; do
	[ -n "$lab" ] || continue
	[ "${LAB:-$lab}" = "$lab" ] || continue
	[ -z "${SUITE:-}" ] || suites=$SUITE
	KERNEL=gcov LAB=$lab SUITE=$suites "$GM_SCRIPTS/test.sh" </dev/null || failed=1
	add "$lab"
done <<<"$plan"

traces=()
for file in "$out"/*.info; do
	[ "${file##*/}" = total.info ] || traces+=(--add-tracefile "$file")
done
quietly lcov "${rc_options[@]}" --quiet "${traces[@]}" --output-file "$out/total.info"
quietly genhtml "${rc_options[@]}" --quiet --legend --prefix "$stage" \
	--title "grantmirror, Linux $(cat "$GM_BUILD/kernel/gcov/release")" \
	--output-directory "$out" "$out/total.info"
summary
awk -F, -v minimum="$minimum" '
	NR > 1 {
		printf "    %-34s %5d of %5d lines (%5.1f %%), %5d of %5d branches\n",
			$1, $3, $2, $2 ? 100 * $3 / $2 : 100, $5, $4
		l += $2; lh += $3; b += $4; bh += $5
	}
	END {
		printf "    %-34s %5d of %5d lines (%5.1f %%), %5d of %5d branches (%.1f %%)\n",
			"all", lh, l, 100 * lh / l, bh, b, 100 * bh / b
		exit lh * 100 < minimum * l
	}' "$out/files.csv" || {
	echo "FAIL less than $minimum % of the lines were executed: build/coverage/missed.txt"
	failed=1
}
note "build/coverage/index.html; what is not executed, and why: Documentation/coverage.md"
exit $failed
