#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# selftest.sh: does labrun notice what it is there to notice? Each test runs it on
# a few lines of shell that pretend to be QEMU; TEST selects one. Takes seconds.
#
# Output and files are those of a lab: build/results/runner/{runner.ktap,counts}.

. "$(dirname "$0")/common.sh"

labrun=$GM_BUILD/host/labrun
results=$GM_BUILD/results/runner
work=$GM_BUILD/logs/runner
fresh_dir "$work"
fresh_dir "$results"
unset GM_SCALE GM_OWNER

# The machine of a test: its script runs with fd 3 as results channel, in $work,
# with its own process id in the file "pid".
cat >"$work/machine" <<'END'
#!/bin/bash
for arg; do
	case $arg in
	socket,id=gm,fd=*) fd=${arg##*=} ;;
	esac
done
exec 3>&"$fd"
echo $$ >pid
. ./script
END
chmod +x "$work/machine"

# What a well-behaved machine says before, around and after its tests
boot='echo "@@ boot 1" >&3; echo "@@ ready 2 Linux is" >&3;'
begin='echo "@@ begin s/prog" >&3; echo "TAP version 13" >&3;'
end='echo "@@ end s/prog 0" >&3;'
finish='echo "@@ done 0" >&3;'

# run MODE SCRIPT [LABRUN-OPTION...]: $status and the file "out" tell of it
run()
{
	local mode=$1 script=$2

	shift 2
	printf '%s\n' "$script" >script
	rm -f pid
	mkdir -p res
	rm -rf res/*
	: >>console
	status=0
	"$labrun" --mode "$mode" --name fake --console console --results res \
		--silence 20 --total 30 "$@" -- ./machine >out 2>&1 || status=$?
}

# expect STATUS COUNTS [REGEX...]: what run() must have led to
expect()
{
	local want=$1 counts=$2 re

	shift 2
	[ "$status" = "$want" ] || { echo "exit status $status, expected $want"; return 1; }
	[ -z "$counts" ] || [ "$(cat res/counts)" = "$counts" ] ||
		{ echo "counts $(cat res/counts), expected $counts"; return 1; }
	for re; do
		grep -qE -- "$re" out || { echo "no line of the output matches: $re"; return 1; }
	done
}

# The pretended machine must be gone when labrun is.
machine_gone()
{
	local i

	for ((i = 0; i < 50; i++)); do
		kill -0 "$(cat pid)" 2>/dev/null || return 0
		sleep 0.1
	done
	echo "the machine was left behind"
	kill -9 "$(cat pid)"
	return 1
}

# -- what the tests report ---------------------------------------------------

t_passed_and_skipped()
{
	run test "$boot $begin printf '1..2\nok 1 a\nok 2 b # SKIP no such thing\n' >&3; $end $finish"
	expect 0 '2 0 1' '^ok   fake s a ' '^SKIP fake s b .*# SKIP no such thing'
}

t_failed_with_diagnostics()
{
	run test "$boot $begin printf '1..2\n# file.c:1: five is not six\nnot ok 1 a\nok 2 b\n' >&3; echo '@@ end s/prog 1' >&3; $finish"
	expect 1 '2 1 0' '^FAIL fake s a ' '^# file.c:1: five is not six'
}

t_program_skipped()
{
	run test "$boot $begin printf '1..0 # SKIP not on this machine\n' >&3; echo '@@ end s/prog 4' >&3; $finish"
	expect 0 '1 0 1' '^SKIP fake s prog .*not on this machine'
}

t_empty_plan_fails()
{
	run test "$boot $begin echo 1..0 >&3; $end $finish"
	expect 1 '1 1 0' '^FAIL fake s prog'
}

t_incomplete_plan_fails()
{
	run test "$boot $begin printf '1..3\nok 1 a\n' >&3; $end $finish"
	expect 1 '2 1 0' '^FAIL fake s prog' 'after 1 of 3 tests'
}

t_missing_plan_fails()
{
	run test "$boot $begin $end $finish"
	expect 1 '1 1 0' '^FAIL fake s prog' 'without a KTAP plan'
}

t_exit_status_without_failure_fails()
{
	run test "$boot $begin printf '1..1\nok 1 a\n' >&3; echo '@@ end s/prog 139' >&3; $finish"
	expect 1 '2 1 0' 'ended with status 139'
}

t_no_test_at_all_fails()
{
	run test "$boot $finish"
	expect 1 '1 1 0' 'no test program ran'
}

t_no_test_may_be_allowed()
{
	run test "$boot $finish" --may-be-empty
	expect 0 '1 0 0'
}

t_saved_ktap()
{
	run test "$boot $begin printf '1..1\nok 1 a\n' >&3; $end $finish"
	expect 0 '2 0 0' || return
	diff - res/s.ktap <<-END
	KTAP version 1
	1..1
	  TAP version 13
	  1..1
	  ok 1 a
	ok 1 prog
	END
}

# The kernel's own reader of KTAP is asked what it makes of the saved results.
t_saved_ktap_is_valid()
{
	local kunit=$GM_CACHE/tree/stock/tools/testing/kunit/kunit.py

	if [ ! -x /usr/bin/python3 ]; then
		echo "SKIP there is no python3 here"
		return 4
	fi
	run test "$boot $begin printf '1..3\nok 1 a\n# why\nnot ok 2 b\nok 3 c # SKIP no\n' >&3; echo '@@ end s/prog 1' >&3; $finish"
	expect 1 '2 1 1' || return
	# It ends with 1 because of the failed test.
	/usr/bin/python3 "$kunit" parse "$PWD/res/s.ktap" >kunit.out 2>&1
	grep -q 'Ran 3 tests: passed: 1, failed: 1, skipped: 1$' kunit.out || {
		cat kunit.out
		return 1
	}
}

# -- machines that go wrong ----------------------------------------------------

t_hang_is_ended()
{
	echo "last words of dom0" >console
	run test "$boot $begin printf '1..1\n#  RUN           x.y ...\n' >&3; sleep 100" --silence 1
	expect 1 '1 1 0' '^FAIL fake s x.y ' 'hang: no sign of life' 'console: last words' &&
		machine_gone
}

t_hanging_hypervisor_is_asked()
{
	run test "(head -c 8 keys >typed; echo registers >>console) & $boot $begin sleep 100" \
		--silence 1 --keys keys
	expect 1 '1 1 0' 'hang: no sign of life' 'console: registers' || return
	[ "$(cat typed)" = $'\1\1\1dqrae' ] && machine_gone
}

# It goes on with the first interrupt, as a machine whose timer's was lost.
t_silent_machine_is_nudged()
{
	run test "$boot $begin printf '1..1\n' >&3; read -r x <&3; echo 'ok 1 a' >&3; $end $finish" \
		--silence 10 --nudge 0.2
	expect 0 '2 0 0' '^ok   fake s a '
}

t_endless_talk_is_ended()
{
	run test "$boot $begin while :; do echo '# still here' >&3; sleep 0.1; done" --total 1
	expect 1 '1 1 0' 'not done after' && machine_gone
}

t_crash_is_a_failure()
{
	run test "$boot $begin printf '1..2\nok 1 a\n' >&3; exit 0"
	expect 1 '2 1 0' 'the machine ended .* before the job was done'
}

t_killed_machine_is_a_failure()
{
	run test "$boot kill -9 \$\$"
	expect 1 '1 1 0' 'killed by signal 9'
}

t_no_power_off_is_a_failure()
{
	GM_SCALE=0.02 run test "$boot $begin printf '1..1\nok 1 a\n' >&3; $end $finish sleep 100"
	expect 1 '2 1 0' '^FAIL fake lab power_off' && machine_gone
}

t_deaf_machine_is_killed()
{
	run test "trap '' TERM; $boot while :; do sleep 0.1; done" --silence 1
	expect 1 '1 1 0' && machine_gone
}

t_no_such_program_is_a_failure()
{
	status=0
	"$labrun" --mode test --name fake --console console --results res -- \
		./not-there >out 2>&1 || status=$?
	expect 1 ''
}

# -- the console ------------------------------------------------------------------

t_console_splat_fails()
{
	echo "[   12.3] BUG: scheduling while atomic: x/1" >console
	run test "$boot $begin printf '1..1\nok 1 a\n' >&3; $end $finish"
	expect 1 '1 1 0' '^# console: .*scheduling while atomic' '^FAIL fake lab console_clean'
}

t_console_benign_line_passes()
{
	echo "WARNING: known and harmless" >console
	printf 'WARNING: known\ta reason\n' >benign
	run test "$boot $begin printf '1..1\nok 1 a\n' >&3; $end $finish" --benign benign
	expect 0 '2 0 0'
}

# -- files from the machine -------------------------------------------------------

t_data_is_kept()
{
	run test "$boot $begin printf '@@ data a one\\n1..1\\nok 1 a\\n@@ data a two words\\n' >&3; $end $finish"
	expect 0 '2 0 0' || return
	printf 'one\ntwo words\n' | cmp - res/a
}

t_data_stays_among_the_results()
{
	run test "$boot echo '@@ data ../a one' >&3; $begin printf '1..1\\nok 1 a\\n' >&3; $end $finish"
	expect 1 '2 1 0' '^FAIL fake lab data' 'not a file name: \.\./a' || return
	[ ! -e a ]
}

# -- nothing is left behind -----------------------------------------------------

# start_hanging: labrun in the background on a machine that hangs; $pid
start_hanging()
{
	local i

	printf '%s\n' "$boot exec sleep 100" >script
	rm -f pid
	# A background command of a script ignores SIGINT; labrun must not.
	"$labrun" --mode test --name fake --console console --results res -- ./machine >out 2>&1 &
	pid=$!
	for ((i = 0; i < 100; i++)); do
		[ ! -s pid ] || return 0
		sleep 0.05
	done
	echo "the machine does not start"
	return 1
}

t_ctrl_c_ends_machine()
{
	start_hanging || return
	kill -INT $pid
	status=0
	wait $pid || status=$?
	[ $status = 130 ] || { echo "exit status $status, expected 130"; return 1; }
	machine_gone
}

t_sigkill_ends_machine()
{
	start_hanging || return
	kill -KILL $pid
	wait $pid 2>/dev/null
	machine_gone
}

t_death_of_owner_ends_machine()
{
	local owner

	sleep 100 &
	owner=$!
	GM_OWNER=$owner start_hanging || return
	kill -KILL $owner
	wait $owner $pid 2>/dev/null
	machine_gone
}

# -- the main job ------------------------------------------------------------------

t_run_passes_text_on()
{
	run run "$boot printf '1024 pages\nRESULT: ok\n' >&3; $finish"
	expect 0 '' '^1024 pages$' || return
	[ "$(tail -n 1 out)" = "RESULT: ok" ]
}

t_run_failed()
{
	run run "$boot echo 'RESULT: FAILED: page 3 differs' >&3; $finish"
	expect 1 '' || return
	[ "$(tail -n 1 out)" = "RESULT: FAILED: page 3 differs" ]
}

t_run_without_result_fails()
{
	run run "$boot $finish"
	expect 1 '' '^RESULT: FAILED: '
}

t_run_with_splat_fails()
{
	echo "Kernel panic - not syncing" >console
	run run "$boot echo 'RESULT: ok' >&3; $finish"
	expect 1 '' '^RESULT: FAILED: .*console'
}

# -- the reader of KUnit's results ---------------------------------------------------

# kunit_dir SUITE TEXT: a directory as debugfs has them, where all suites passed but
# one, whose results are TEXT
kunit_dir()
{
	local suite text

	sed -n 's/^\t"\([a-z]*_[a-z_]*\)",$/\1/p' "$GM_TOP/tools/xen-tests/kunit/kunit.c" |
	while read -r suite; do
		mkdir -p "debugfs/$suite"
		text='KTAP version 1\n1..1\n    KTAP version 1\n    1..1\n    ok 1 a\nok 1 x\n'
		[ "$suite" != "$1" ] || text=$2
		# shellcheck disable=SC2059 # a format is what it is
		printf "$text" >"debugfs/$suite/results"
	done
}

# kunit STATUS REGEX...: what the reader makes of it
kunit()
{
	local rc=0 want=$1 re

	shift
	GM_KERNEL=${kunit_kernel:-ours} "$GM_BUILD/tests/suites/kunit/kunit" debugfs >out || rc=$?
	[ $rc = "$want" ] || { echo "exit status $rc, expected $want"; return 1; }
	for re; do
		grep -qE -- "$re" out || { echo "no line of the output matches: $re"; return 1; }
	done
}

t_kunit_passed()
{
	local cases

	# One of each suite, and three of this one
	cases=$(sed -n '/expected\[\]/,/^};/p' "$GM_TOP/tools/xen-tests/kunit/kunit.c" | grep -c '^	"')
	cases=$((cases + 2))
	kunit_dir mmu_notifier_read '1..1\n    1..3\n    ok 1 a\n        ok 1 parameter\n    ok 2 b # SKIP why\n    ok 3 c\nok 1 x\n'
	kunit 0 "^1\.\.$cases\$" '^ok [0-9]+ mmu_notifier_read\.b # SKIP why' || return
	! grep -E '^not|parameter' out
}

t_kunit_failed_case()
{
	kunit_dir mmu_notifier_read '1..1\n    1..2\n    # a: 5 is not 6\n    not ok 1 a\n    ok 2 b\nnot ok 1 x\n'
	kunit 1 '^# a: 5 is not 6' '^not ok [0-9]+ mmu_notifier_read\.a'
}

t_kunit_suite_without_results_fails()
{
	kunit_dir mmu_notifier_read '1..1\n    1..2\nok 1 x\n'
	kunit 1 '^not ok [0-9]+ mmu_notifier_read\.complete # 0 results, and its plan is 2'
}

t_kunit_half_a_suite_fails()
{
	kunit_dir mmu_notifier_read '1..1\n    1..2\n    ok 1 a\nok 1 x\n'
	kunit 1 '^not ok [0-9]+ mmu_notifier_read\.complete # 1 results, and its plan is 2'
}

t_kunit_failed_suite_init_fails()
{
	kunit_dir mmu_notifier_read '1..1\n    1..1\n    ok 1 a # SKIP\nnot ok 1 x\n'
	kunit 1 '^not ok [0-9]+ mmu_notifier_read\.verdict'
}

t_kunit_missing_suite_fails()
{
	kunit_dir none ''
	rm -r debugfs/mmu_notifier_read
	kunit 1 '^not ok [0-9]+ mmu_notifier_read\.present'
}

t_kunit_missing_debugfs_fails()
{
	kunit 1 '^not ok [0-9]+ mmu_notifier_read\.present'
}

t_kunit_stock_is_skipped()
{
	kunit_kernel=stock kunit 4 '^1\.\.0 # SKIP'
}

# -- make test -------------------------------------------------------------------------

# labs STATUS [VARIABLE=VALUE...]: test.sh in a checkout of its own with labs a, b and c, of
# which c takes longest; boot.sh leaves in "ran" which began and how many then ran, its process
# in LAB.pid. A lab that the file "stays" names goes on until it is ended; one that "killed"
# names ends by a signal.
labs()
{
	local rc=0 want=$1

	shift
	make_labs
	env LAB= SUITE= TEST= JOBS= KERNEL=ours "$@" co/tools/xen-tests/lab/test.sh >out 2>&1 || rc=$?
	[ $rc = "$want" ] || { echo "exit status $rc, expected $want"; return 1; }
}

make_labs()
{
	local lab=co/tools/xen-tests/lab name

	: >ran
	[ ! -d co ] || return 0
	mkdir -p $lab co/configs/lab co/build co/tools/xen-tests/xgpu-device
	cp "$GM_SCRIPTS"/{common,test}.sh $lab/
	for name in a b c; do
		echo 'LAB_SUITES=s1' >co/configs/lab/$name.conf
	done
	echo 'LAB_MINUTES=5' >>co/configs/lab/c.conf
	echo 'LAB_SUITES=' >co/configs/lab/d.conf
	printf '#!/bin/bash\n' | tee $lab/selftest.sh >co/tools/xen-tests/xgpu-device/test.sh
	cat >$lab/boot.sh <<-'END'
	#!/bin/bash
	. "$(dirname "$0")/common.sh"
	cd "$GM_TOP/.."
	echo $$ >"$2.pid"
	touch "$2.runs"
	echo "$2 of $(find . -maxdepth 1 -name '*.runs' | wc -l)" >>ran
	trap 'exit 143' TERM
	! grep -qsx "$2" killed || exit 143
	while grep -qsx "$2" stays; do
		sleep 0.1
	done
	sleep 0.5
	rm "$2.runs"
	mkdir -p "$GM_BUILD/results/$2"
	echo "2 0 1" >"$GM_BUILD/results/$2/counts"
	END
	chmod +x $lab/*.sh co/tools/xen-tests/xgpu-device/test.sh
	mkdir -p co/build/results/{runner,xgpu-device}
	echo 1 0 0 | tee co/build/results/runner/counts >co/build/results/xgpu-device/counts
}

# ended LAB: its process has gone, or does so now
ended()
{
	local try

	for ((try = 0; try < 50; try++)); do
		kill -0 "$(cat "$1.pid")" 2>/dev/null || return 0
		sleep 0.1
	done
	echo "$1 goes on"
	return 1
}

t_labs_one_at_a_time()
{
	labs 0 JOBS=1 || return
	ran 'c of 1,a of 1,b of 1' || return
	grep -qx '8 passed, 0 failed, 3 skipped' out
}

t_labs_side_by_side()
{
	labs 0 JOBS=2 || return
	sort ran | cut -d' ' -f1 | paste -sd, | grep -qx a,b,c || return
	grep -q '^c ' <(head -n 2 ran) || { echo "c, which takes longest, came last"; return 1; }
	grep -q ' of 2$' ran || { echo "never two"; return 1; }
	! grep -q ' of 3$' ran || { echo "three, and two were asked for"; return 1; }
	grep -qx '8 passed, 0 failed, 3 skipped' out
}

t_labs_named_twice_run_once()
{
	labs 0 JOBS=2 LAB='b a b' || return
	sort ran | cut -d' ' -f1 | paste -sd, | grep -qx a,b
}

t_labs_all_end_with_one_that_is_stopped()
{
	echo c >stays
	echo b >killed
	labs 143 JOBS=3 || return
	ended c
}

t_labs_end_with_make_test()
{
	local signal pid rc try

	echo a >stays
	for signal in INT:130 TERM:143; do
		make_labs
		rm -f a.pid
		# In a process group of its own, or the shell has SIGINT ignored; our caller may have, too.
		set -m
		env --default-signal=INT LAB= SUITE= TEST= JOBS=2 KERNEL=ours \
			co/tools/xen-tests/lab/test.sh >out 2>&1 &
		pid=$!
		set +m
		for ((try = 0; try < 100; try++)); do
			[ ! -s a.pid ] || break
			sleep 0.1
		done
		kill -"${signal%:*}" -- "-$pid"
		rc=0
		wait $pid || rc=$?
		[ $rc = "${signal#*:}" ] || { echo "$signal: exit status $rc"; return 1; }
		ended a || return
	done
}

t_labs_number_is_checked()
{
	labs 1 JOBS=many || return
	grep -q '^error: JOBS=many' out || return
	labs 1 JOBS=0
}

# -- make test-all ---------------------------------------------------------------------

# all_of_it STATUS REGEX...: test-all.sh in a checkout of its own, whose suites
# leave their names in the file "ran"; the one that the file "stop" names is
# interrupted, the one that "bad" names fails
all_of_it()
{
	local rc=0 want=$1 re lab=co/tools/xen-tests/lab

	shift
	if [ ! -d co ]; then
		mkdir -p $lab co/configs/lab co/build/{kernel/ours,results,logs}
		cp "$GM_SCRIPTS"/{common,test-all}.sh $lab/
		echo 'LAB_SUITES="s1 s2" LAB_SUITES_LONG="s3"' >co/configs/lab/a.conf
		printf 'check compat:\n\t@echo $@ >>../ran; ! grep -qsx $@ ../bad\n' >co/Makefile
		echo k >co/build/kernel/ours/inputs
		cat >$lab/test.sh <<-'END'
		. "$(dirname "$0")/common.sh"
		cd "$GM_TOP/.."
		echo "$LAB/$SUITE $GM_LONG" >>ran
		! grep -qsx "$SUITE" stop || exit 130
		mkdir -p "$GM_BUILD/results/${LAB:-$SUITE}"
		grep -qsx "$SUITE" bad || { echo "2 passed, 0 failed, 1 skipped"; exit 0; }
		echo "1 passed, 1 failed, 0 skipped"
		exit 1
		END
		chmod +x $lab/test.sh
	fi
	: >ran
	LAB='' SUITE='' TEST='' KERNEL=ours XDG_CACHE_HOME=$PWD/cache $lab/test-all.sh >out 2>&1 || rc=$?
	[ $rc = "$want" ] || { echo "exit status $rc, expected $want"; return 1; }
	for re; do
		grep -qE -- "$re" out || { echo "no line of the output matches: $re"; return 1; }
	done
}

ran() { [ "$(paste -sd, ran)" = "$1" ] || { echo "ran: $(paste -sd, ran)"; return 1; }; }

t_all_of_it()
{
	all_of_it 0 '^a/s3 +2 +0 +1 ' '^compat +1 +0 +0 ' '^12 passed, 0 failed, 5 skipped$' || return
	ran '/runner 1,/xgpu-device 1,check,compat,a/s1 1,a/s2 1,a/s3 1'
}

t_all_goes_on_after_interruption()
{
	echo s2 >stop
	all_of_it 130 || return
	rm stop
	all_of_it 0 '^    a/s1: done before' '^12 passed, 0 failed, 5 skipped$' || return
	ran 'a/s2 1,a/s3 1' || return
	# Finished: the next one begins at the beginning.
	all_of_it 0 || return
	ran '/runner 1,/xgpu-device 1,check,compat,a/s1 1,a/s2 1,a/s3 1'
}

t_all_begins_again_when_a_source_changed()
{
	echo s2 >stop
	all_of_it 130 || return
	rm stop
	echo k2 >co/build/kernel/ours/inputs
	all_of_it 0 || return
	ran '/runner 1,/xgpu-device 1,check,compat,a/s1 1,a/s2 1,a/s3 1'
}

t_all_fails_with_a_step()
{
	echo s1 >bad
	all_of_it 1 '^a/s1 +1 +1 +0 ' '^11 passed, 1 failed, 4 skipped$' || return
	echo compat >bad
	all_of_it 1 '^compat +0 +1 +0 '
}

# -- gpu-passthrough-check -------------------------------------------------------------

gpu_check=$GM_TOP/tools/xen-tests/gpu-passthrough-check/selftest.sh
# shellcheck source=/dev/null
. "$gpu_check"

# -- gnttop ----------------------------------------------------------------------------

gnttop_check=$GM_TOP/tools/lib/selftest.sh
# shellcheck source=/dev/null
. "$gnttop_check"

# -- make coverage ---------------------------------------------------------------------

coverage_check=$GM_SCRIPTS/coverage-selftest.sh
# shellcheck source=/dev/null
. "$coverage_check"

# -------------------------------------------------------------------------------

# In the order of the files, which is the order of the ideas.
mapfile -t tests < <(sed -n 's/^t_\([a-z_]*\)()$/\1/p' "$0" "$gpu_check" "$gnttop_check" "$coverage_check")
if [ -n "${TEST:-}" ]; then
	tests=("$TEST")
	declare -F "t_$TEST" >/dev/null || tests=()
fi
printf 'KTAP version 1\n1..%d\n' ${#tests[@]} >"$results/runner.ktap"
n=0 passed=0 failed=0 skipped=0
for name in ${tests[@]+"${tests[@]}"}; do
	n=$((n + 1))
	begun=${EPOCHREALTIME/./}
	fresh_dir "$work/now"
	cp "$work/machine" "$work/now/"
	rc=0
	text=$(set +e; cd "$work/now" && "t_$name" 2>&1) || rc=$?
	us=$((${EPOCHREALTIME/./} - begun))
	took=$(printf '%d.%02d s' $((us / 1000000)) $((us / 10000 % 100)))
	case $rc in
	0)	passed=$((passed + 1))
		printf 'ok   runner runner %s (%s)\n' "$name" "$took"
		echo "ok $n $name" >>"$results/runner.ktap" ;;
	4)	skipped=$((skipped + 1))
		printf 'SKIP runner runner %s (%s) # %s\n' "$name" "$took" "$text"
		echo "ok $n $name # $text" >>"$results/runner.ktap" ;;
	*)	failed=$((failed + 1))
		printf 'FAIL runner runner %s (%s)\n' "$name" "$took"
		{ printf '%s\n' "$text"; cat "$work/now/out" 2>/dev/null; } | sed 's/^/# /' |
			tee -a "$results/runner.ktap"
		echo "not ok $n $name" >>"$results/runner.ktap" ;;
	esac
done
echo "$passed $failed $skipped" >"$results/counts"
[ $failed = 0 ]
