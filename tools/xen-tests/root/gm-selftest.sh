#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
#
# NAME [-l] [-t TEST]: run one of the kernel's own selftests as a program of a suite.
# Links in /gm/suites/selftests* lead here; NAME, the link's, is a line of the table
# /gm/selftests/list, which says what to run and how it reports.
#
# Results get names that do not change from run to run: NAME.WHAT_THE_TEST_PRINTED.
# /gm/selftests/skips says what a kind of domain cannot run, and why; a program that it
# names fails with every test that it skips besides.

prog=${0##*/}
dir=/gm/selftests
status=/tmp/selftest.status
huge=/proc/sys/vm/nr_hugepages

line=$(grep "^$prog *|" $dir/list) || {
	echo "$prog: not in $dir/list" >&2
	exit 1
}
field() { echo "$line" | cut -d'|' -f"$1" | sed 's/^ *//; s/ *$//'; }
# What runs here, as in /gm/selftests/skips
domain=$(cat /sys/hypervisor/guest_type 2>/dev/null || echo bare)
strict=$(grep -c "^$prog *|" $dir/skips)
form=$(field 3) needs=$(field 4) cmd=$(field 5)

only=""
case $1 in
-l)
	# As the harness lists its tests.
	echo "  $prog"
	[ "$form" != harness ] || "$dir/$cmd" -l
	exit 0
	;;
-t)	[ "$2" = "$prog" ] || only=$2 ;;
esac

add_swap()
{
	dd if=/dev/zero of=/tmp/swap bs=1M count=256 2>/dev/null
	loop=$(losetup -f) && losetup "$loop" /tmp/swap && mkswap "$loop" >/dev/null &&
		swapon "$loop"
}

remove_swap()
{
	swapoff "$loop"
	losetup -d "$loop"
	rm /tmp/swap
}

# Memory that memmap= on the command line keeps from the kernel is the coherent memory of
# the test device, one half for each of two.
load_test_hmm()
{
	spm=$(sed -n 's/.*memmap=512M\$\(0x[0-9a-f]*\).*/\1/p' /proc/cmdline)
	# shellcheck disable=SC2046 # words are what is wanted
	modprobe test_hmm $([ -z "$spm" ] || printf 'spm_addr_dev0=%#x spm_addr_dev1=%#x' \
		"$spm" $((spm + (256 << 20))))
}

provide()
{
	case $1 in
	-)	;;
	# A PV domain has none: who cannot do without says so.
	huge=*)	[ ! -e $huge ] || echo "${1#*=}" >$huge ;;
	hmm)	load_test_hmm ;;
	kvm)	modprobe kvm_amd ;;
	swap)	add_swap ;;
	*)	echo "$prog: unknown need '$1'" >&2; return 1 ;;
	esac
}

withdraw()
{
	case $1 in
	huge=*)	[ ! -e $huge ] || echo 0 >$huge ;;
	kvm)	rmmod kvm_amd kvm ;;
	swap)	remove_swap ;;
	esac
}

# In seconds; it ends what hangs, and is below the lab's own limit (LAB_SILENCE).
limit=170
[ "$domain" != bare ] || limit=580
limit=$(awk "BEGIN { print int($limit * ${GM_SCALE:-1}) }")

run()
{
	# Things lie where they always do: mremap_test, for one, needs room at places of its
	# choice, and fails when something else happens to be there.
	random=$(cat /proc/sys/kernel/randomize_va_space)
	echo 0 >/proc/sys/kernel/randomize_va_space
	# shellcheck disable=SC2086 # words are what is wanted
	setsid timeout -s KILL "$limit" $dir/$cmd ${only:+-t "$only"} 2>&1 &
	wait $!
	echo $? >$status
	# A process that a failed test has left behind has the device open, and this pipe.
	cat /proc/[0-9]*/stat 2>/dev/null |
		awk -v sid=$! '{ pid = $1; sub(/.*\) /, "") } $4 == sid { print pid }' |
		xargs -r kill -KILL
	echo "$random" >/proc/sys/kernel/randomize_va_space
}

# A device's memory goes with its module, and whether it does is one more result.
unloads=$(echo " $needs " | grep -c ' hmm ')
unload()
{
	[ "$unloads" = 1 ] || return
	rmmod test_hmm && echo "ok 0 rmmod test_hmm" && return
	echo "not ok 0 rmmod test_hmm"
	echo 1 >$status
}

# The program has KTAP: only names, numbers, and the words about skipped tests change.
named='
BEGIN {
	while (strict && (getline line <skips) > 0) {
		split(line, field, " *[|] *")
		if (field[1] == prog && field[2] == domain)
			why[field[3]] = field[4]
	}
}
function reason(text,   re) {
	for (re in why)
		if (text ~ re)
			return why[re]
	return ""
}
function result(verdict, n, text,   remark, at) {
	remark = ""
	if ((at = index(text, "#")) > 0) {
		remark = " " substr(text, at)
		text = substr(text, 1, at - 1)
	}
	text = running text
	running = ""
	gsub(/^[ \t-]+|[ \t.:]+$/, "", text)
	gsub(/[^A-Za-z0-9_.+=,:-]+/, "_", text)
	if (strict && remark ~ /^ # SKIP/) {
		if (reason(text) != "") {
			remark = " # SKIP " reason(text)
		} else {
			verdict = "not ok"
			remark = " # it skips, but should run here (" domain "):" substr(remark, 8)
		}
	}
	# A skipped one says why, not who it is.
	print verdict " " ++results " " prog "." (text == "" ? n : text) remark
	fflush()
}'
ktap()
{
	awk -v prog="$prog" -v strict="$strict" -v domain="$domain" -v skips=$dir/skips \
		-v unloads="$unloads" "$named"'
	/^1\.\.[0-9]+/ {
		$0 = "1.." substr($1, 4) + unloads
	}
	/^(not )?ok [0-9]+/ {
		verdict = $1 == "not" ? "not ok" : "ok"
		sub(/^(not )?ok /, "")
		n = $1
		sub(/^[0-9]+/, "")
		result(verdict, n, $0)
		next
	}
	# Several tests in a row may have the same outcome in words.
	/^# \[RUN\] / { running = substr($0, 9) " " }
	{ print; fflush() }'
}

# "Testing WHAT... done", or "skipped [reason: WHY]", or "failed [reason: WHY]"
uffd()
{
	echo "TAP version 13"
	awk -v prog="$prog" "$named"'
	/^Testing .*\.\.\. / {
		what = why = $0
		sub(/^Testing /, "", what)
		sub(/\.\.\. .*/, "", what)
		sub(/.*\.\.\. /, "", why)
		if (why ~ /^done/)
			result("ok", ++n, what)
		else if (why ~ /^skipped/)
			result("ok", ++n, what " # SKIP " why)
		else
			result("not ok", ++n, what " # " why)
		next
	}
	{ print "# " $0 }
	END { print "1.." n + 0 }'
}

# Nothing but an exit status: one result.
exit_status()
{
	echo "TAP version 13"
	echo "1..1"
	sed 's/^/# /'
	case $(cat $status) in
	0)	echo "ok 1 $prog" ;;
	4)	echo "ok 1 $prog # SKIP it says that it cannot run here" ;;
	137)	echo "not ok 1 $prog # killed; its limit is $limit s" ;;
	*)	echo "not ok 1 $prog # exit status $(cat $status)" ;;
	esac
}

# Some start themselves again, as ./NAME.
cd "$dir/${cmd%%/*}" || exit
for need in $needs; do
	provide "$need" || {
		printf 'TAP version 13\n1..1\nnot ok 1 %s # cannot provide: %s\n' "$prog" "$need"
		exit 1
	}
done
case $form in
ktap | harness) { run; unload; } | ktap ;;
uffd)	run | uffd ;;
exit)	run | exit_status ;;
*)	echo "$prog: unknown form '$form'" >&2; exit 1 ;;
esac
for need in $needs; do
	withdraw "$need"
done
exit "$(cat $status)"
