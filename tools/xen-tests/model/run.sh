#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# run.sh [CASE...]: search the model with Spin, exhaustively; all cases, or those
# named. README.md says what the model is.
#
# A case is a scenario and what has to come of it:
#
#	safe	no assertion fails and no process hangs, whatever the order of steps
#	live	who is in EVENT gets out, under weak fairness
#	cycle	the opposite: Spin must find an order in which somebody waits for ever
#
# or, where a bug is planted, the error that Spin must find (see below).
#
# Files of a run are in build/logs/model/CASE; `spin -t -p -k notifier.pml.trail
# FLAGS notifier.pml` there prints the order of steps that leads to an error.

. "$(dirname "${BASH_SOURCE[0]}")/../lab/common.sh"

model=$GM_TOP/tools/xen-tests/model
out=$GM_BUILD/logs/model

# What Spin says of an error
declare -A message=(
	[cycle]='acceptance cycle'			# somebody waits for ever
	[hang]='invalid end state'			# the same, when all is over
	[stale]='assertion violated .*sh_pte'		# a valid shadow differs from the CPU's entry
	[freed]='assertion violated .*s_freed'		# callback or walker after remove
	[lost]='assertion violated .*in_tree'		# no way on to the next batch
	[early]='assertion violated .*w_for'		# counted down for another range
	[twice]='assertion violated .*r_colliding'	# ends in one way, and in the other too
	[idle]='assertion violated .*s_pages'		# waits for what it does not collide with
)

# Scenarios: one subscription and who comes and goes; what storms invalidate
one='-DNR_SUBS=1 -DNR_DRIVERS=1'
reader="$one -DREADERS=1"
other='-DNR_SUBS=2 -DSUB1_IDLE'
newborn='-DNR_SUBS=2 -DREADERS=1 -DNR_DRIVERS=2'
elsewhere='-DLIVE -DNR_RANGES=3 -DONLY_A -DSTORM=PAGE_B'
here='-DLIVE -DNR_RANGES=2 -DSTORM=PAGE_A -DSTORM2=PAGE_B'

# name | expectation | flags
cases="
reader			| safe | $reader -DROUNDS=2 -DMARKED
readers			| safe | -DNR_SUBS=1 -DREADERS=2 -DNR_DRIVERS=2
three_ranges		| safe | $reader -DNR_RANGES=3 -DONLY_AB -DMARKED
newborn			| safe | $newborn -DMARKED
newborn_two_slots	| safe | $newborn -DMARKED -DNR_SLOTS=2 -DSUB1=PAGES_AB -DONLY_AB
newborn_elsewhere	| safe | $newborn -DSUB1=PAGE_B -DNR_BUCKETS=2
born_again		| safe | $one -DLIVES=2 -DNR_BUCKETS=2 -DMARKED
born_again_unmarked	| safe | $one -DLIVES=2
two_come_and_go		| safe | -DNR_SUBS=2 -DNR_DRIVERS=2 -DONLY_AB -DMARKED
two_meet_one_range	| safe | -DNR_SUBS=2 -DNR_DRIVERS=2 -DNR_RANGES=1 -DROUNDS=2
refused			| safe | $one -DREADS=2 -DREFUSALS -DMARKED

read_elsewhere		| live | $reader $elsewhere -DEVENT=reading[0]
read_other_collides	| live | $reader $elsewhere $other -DSUB1=PAGE_B -DEVENT=reading[0]
read_here		| live | $reader $here -DEVENT=reading[0]
remove_elsewhere	| live | $one $elsewhere -DEVENT=removing[0]
remove_here		| live | $one $here $other -DSUB1=PAGE_A -DEVENT=removing[0]
insert_here		| live | $one $here -DEVENT=inserting[0]
newborn_reads_here	| live | $one $here -DEVENT=reading[0]

per_mm			| safe | -DPER_MM $newborn
per_mm_calm		| live | -DPER_MM $reader $elsewhere -DCALM -DEVENT=reading[0]
per_mm_read		| cycle | -DPER_MM $reader $elsewhere -DEVENT=reading[0]
per_mm_newborn_reads	| cycle | -DPER_MM $one $elsewhere -DEVENT=reading[0]
per_mm_remove		| cycle | -DPER_MM $one $elsewhere -DEVENT=removing[0]
WAIT_FOR_QUIET_read	| cycle | $reader $here -DEVENT=reading[0] -DBUG_WAIT_FOR_QUIET
WAIT_FOR_QUIET_remove	| cycle | $one $here $other -DSUB1=PAGE_A -DEVENT=removing[0] -DBUG_WAIT_FOR_QUIET

NO_SET_SEQ		| stale | $reader
IGNORE_RETRY		| stale | $reader
COUNT_BEFORE_SEQ	| stale | $reader
NO_WAIT			| stale | $reader
FRESH_SEQ		| stale | $reader
NO_PROMOTION		| stale | $one -DMARKED
PROMOTE_FIRST		| stale | $one -DMARKED
LOOK_BEFORE_SLOT	| stale | $one -DMARKED
NO_WAIT_FOR_LOOKING	| stale | $one -DMARKED
NO_SEQCOUNT		| stale | $newborn -DMARKED
NEWBORN_WITH_TICKET	| stale | $newborn -DMARKED
BLIND_END		| hang  | $one -DMARKED
NO_HELD			| hang  | $one -DMARKED
NO_WAIT_FOR_HELD	| twice | $one -DMARKED
LEAK_ON_REFUSAL		| hang  | $reader -DROUNDS=2 -DREFUSALS
NO_LIMIT		| early | $reader
WAIT_FOR_ALL		| idle  | $reader $other -DSUB1=PAGE_B
TRUST_FOUND		| lost  | $newborn -DMARKED
NO_MARK			| lost  | $one
NO_HANDOVER		| freed | $one -DMARKED
REMOVE_DOES_NOT_WAIT	| lost  | $one
ERASE_FIRST		| lost  | $one
"

# Sets $expect and $flags as the table says.
look_up()
{
	local name

	while IFS='|' read -r name expect flags; do
		name=${name//[[:space:]]/}
		expect=${expect//[[:space:]]/ }
		expect=${expect# } expect=${expect%"${expect##*[! ]}"}
		[ "$name" != "$1" ] || break
	done <<<"$cases"
	[ "$name" = "$1" ] || die "there is no case '$1' in $0"
	case $1 in
	[A-Z]*) [[ $flags == *-DBUG_* ]] || flags+=" -DBUG_$1" ;;
	esac
}

# One line of result, more if it is not as expected; then it fails, too.
run_case()
{
	local dir=$out/$1 flags expect compile args='' figures found wanted text

	look_up "$1"
	fresh_dir "$dir"
	cd "$dir"
	case $expect in
	live|cycle)	compile='-DNFAIR=3' args='-a -f' ;;
	*)		compile='-DSAFETY' ;;
	esac
	# shellcheck disable=SC2086 # lists of words
	if ! { spin $flags -a "$model/notifier.pml" &&
		gcc -w -O2 -DCOLLAPSE -DMEMLIM=1800 $compile -o pan pan.c; } >build.log 2>&1; then
		cat build.log
		echo "FAIL $1: the model does not compile"
		return 1
	fi
	# shellcheck disable=SC2086
	./pan -m2000000 $args >pan.log 2>&1 || true
	cp "$model"/*.pml .
	rm -f pan pan.? pan.pre

	figures=$(sed -n -E -e 's/^ *([0-9.e+]+) states, stored.*/\1 states/p' \
		-e 's/^ *([0-9]+)[0-9.]*[[:space:]]*total actual memory usage.*/\1 MB/p' \
		-e 's/.*elapsed time ([0-9.]+) seconds/\1 s/p' pan.log | paste -sd , | sed 's/,/, /g')
	# A search that had to leave something out proves nothing.
	if grep -q 'errors: 0$' pan.log && ! grep -qE 'not completed|too small|MEMLIM' pan.log; then
		found=none
	else
		found=$(grep -m 1 '^pan:' pan.log)
	fi
	case $expect in
	safe|live)	wanted='^none$' text= ;;
	*)		wanted=${message[$expect]} text=", $expect found as it must be" ;;
	esac
	if ! [[ $found =~ $wanted ]]; then
		echo "FAIL $1: expected: $expect, found: $found ($figures)"
		echo "     in $dir, flags: $flags"
		return 1
	fi
	echo "ok   $1$text ($figures)"
}

if [ "${1:-}" = --one ]; then
	run_case "$2"
	exit
fi

command -v spin >/dev/null || die "spin is missing: install it with $GM_SCRIPTS/setup.sh check"
names=("$@")
if [ ${#names[@]} = 0 ]; then
	mapfile -t names < <(sed -n 's/^\([A-Za-z_]*\)[[:space:]]*|.*/\1/p' <<<"$cases")
fi
mkdir -p "$out"
lock model "$GM_BUILD"
printf '%s\n' "${names[@]}" | xargs -P "$(nproc)" -I{} "${BASH_SOURCE[0]}" --one {}
