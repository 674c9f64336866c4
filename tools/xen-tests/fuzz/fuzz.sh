#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# fuzz.sh gntdev|xgpu|notifier: a session of gm-fuzz in a lab. A finding, which most often
# takes the lab's kernel with it, is repeated and made small in labs that are booted for that.
#
# Environment: TIME, seconds (600); SEED (from the clock); LAB, another lab than the target's;
# KERNEL; ICOUNT=1: the same seed gives the same session; GM_FUZZ_BOOTS, how many boots a
# finding may cost (20); GM_FUZZ_REPEAT, how often a program is tried in one (30).
#
# Exit status 0: nothing found. What is left is in build/fuzz/TARGET:
#   log         all programs, as they were run
#   console     what the machine said
#   coverage    functions, and how many blocks of each were reached
#   kept/       programs that are worth keeping: for tools/xen-tests/fuzz/corpus/TARGET
#   order       their names, what adds the most first, each with the edges reached so far
#   finding     programs that show what was found, in the end the smallest

. "$(dirname "$0")/../lab/common.sh"

target=$1
case $target in
gntdev)		lab=${LAB:-pv} ;;
xgpu)		lab=${LAB:-gpu-bare} ;;
notifier)	lab=${LAB:-bare} ;;
*)		die "TARGET=$target: there are gntdev, xgpu, notifier, and xgpu-device" ;;
esac
seconds=${TIME:-600}
seed=${SEED:-$EPOCHSECONDS}
boots=${GM_FUZZ_BOOTS:-20}
repeat=${GM_FUZZ_REPEAT:-30}
out=$GM_BUILD/fuzz/$target
fresh_dir "$out"

# lab WORDS...: gm-fuzz with these words in the lab; its log in $out/log
lab()
{
	local rc=0

	SUITE=fuzz TEST='' GM_FUZZ="$*" GM_FUZZ_INPUT=$input GM_TOTAL=$((seconds + 1800)) \
		"$GM_SCRIPTS/boot.sh" test "$lab" || rc=$?
	# Stopped by a signal: so are we.
	[ $rc -lt 128 ] || exit $rc
	cp "$GM_BUILD/results/$lab/fuzz/session.ktap" "$out/log" 2>/dev/null || : >"$out/log"
	cp "$GM_BUILD/logs/$lab/console.log" "$out/console"
	return $rc
}


# The last programs that were printed: those of the last batch, or the last candidate
last_programs()
{
	awk -v most="$1" '
		/^#   candidate / { n = 0 }
		/^#   program / { n++ }
		/^#   [0-9] / { text[n] = text[n] substr($0, 5) "\n" }
		/^#   program / { text[n] = "" }
		END {
			first = n > most ? n - most + 1 : 1
			for (i = first; i <= n; i++)
				printf "program\n%s", text[i]
		}' "$out/log"
}

keep()
{
	local text='' name edges=''

	mkdir -p "$out/kept"
	: >"$out/order"
	while IFS= read -r line; do
		if [ "${line%% *}" != program ]; then
			text+=$line$'\n'
			continue
		fi
		[ -z "$text" ] || {
			name=$(printf '%s' "$text" | sha256sum | cut -c1-12)
			printf '%s' "$text" >"$out/kept/$name.prog"
			echo "$name $edges" >>"$out/order"
		}
		text=''
		edges=${line#program }
	done < <(awk '/^#   program / { on = $3 == "kept"; if (on) print "program", $4 }
		/^#   [0-9] / { if (on) print substr($0, 5) }
		END { print "program" }' "$out/log")
}

input=''
say "fuzzing $target for $seconds s in lab $lab, kernel $GM_KERNEL, from seed $seed (log: build/fuzz/$target/log)"
rc=0
lab session --target "$target" --seconds "$seconds" --seed "$seed" \
	--corpus "/gm/fuzz/corpus/$target" || rc=$?
cp "$out/log" "$out/session.log"
cp "$out/console" "$out/session.console"
sed -n 's/^#   cover //p' "$out/log" | sort -k2nr >"$out/coverage"
keep
note "$(awk '{ n += $2 } END { print n + 0, "blocks in", NR, "functions" }' "$out/coverage") reached; $(find "$out/kept" -name '*.prog' | wc -l) programs worth keeping (build/fuzz/$target/kept)"
if [ $rc = 0 ]; then
	say "nothing found in $seconds s from seed $seed"
	exit 0
fi
! grep -q '^ok 1 ' "$out/log" ||
	die "no program has done it, but the console, or what was asked afterwards, is not clean (see above, and build/fuzz/$target/session.console)"
grep -q '^#   program' "$out/log" || die "the session did not come as far as the first program"

# The last batch of 8, then what came before it, too.
say "a finding: seed $seed; is it there again?"
found=''
for most in 8 40; do
	last_programs "$most" >"$out/finding"
	input=$out/finding
	cp "$out/session.log" "$out/log"
	if ! lab replay --target "$target" --input /gm/fuzz/input --repeat "$repeat"; then
		found=1
		break
	fi
	cp "$out/session.log" "$out/log"
done
if [ -z "$found" ]; then
	say "not in $repeat repetitions: build/fuzz/$target/finding has the last programs, session.console what was said"
	exit 1
fi
# Booted again and again, until nothing of it can be left out.
for ((boot = 1; boot <= boots; boot++)); do
	say "making it small: boot $boot of at most $boots, $(grep -c '^[0-9]' "$out/finding") calls"
	! lab minimise --target "$target" --input /gm/fuzz/input --repeat "$repeat" || break
	grep -q '^#   candidate' "$out/log" || break
	last_programs 100 >"$out/finding.tmp"
	mv "$out/finding.tmp" "$out/finding"
done
say "the finding, in build/fuzz/$target/finding:"
sed '/^program$/d;s/^/    /' "$out/finding"
exit 1
