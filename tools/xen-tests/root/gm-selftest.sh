#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
#
# NAME [-l] [-t TEST]: run one of the kernel's own selftests as a program of a suite.
# Links in /gm/suites/selftests* lead here; NAME, the link's, is a line of the table
# /gm/selftests/list, which says what to run and how it reports.
#
# Results get names that do not change from run to run: NAME.WHAT_THE_TEST_PRINTED.

prog=${0##*/}
dir=/gm/selftests
status=/tmp/selftest.status

line=$(grep "^$prog *|" $dir/list) || {
	echo "$prog: not in $dir/list" >&2
	exit 1
}
field() { echo "$line" | cut -d'|' -f"$1" | sed 's/^ *//; s/ *$//'; }
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

# Addresses: the memory that configs/lab/bare.conf keeps from the kernel.
provide()
{
	case $1 in
	-)	;;
	huge=*)	echo "${1#*=}" >/proc/sys/vm/nr_hugepages ;;
	hmm)	modprobe test_hmm spm_addr_dev0=0x100000000 spm_addr_dev1=0x110000000 ;;
	kvm)	modprobe kvm_amd ;;
	swap)	add_swap ;;
	*)	echo "$prog: unknown need '$1'" >&2; return 1 ;;
	esac
}

withdraw()
{
	case $1 in
	huge=*)	echo 0 >/proc/sys/vm/nr_hugepages ;;
	hmm)	rmmod test_hmm ;;
	kvm)	rmmod kvm_amd kvm ;;
	swap)	remove_swap ;;
	esac
}

# In seconds; it ends what hangs, and is below the lab's own limit (LAB_SILENCE).
limit=$(awk "BEGIN { print int(580 * ${GM_SCALE:-1}) }")

run()
{
	# Things lie where they always do: mremap_test, for one, needs room at places of its
	# choice, and fails when something else happens to be there.
	random=$(cat /proc/sys/kernel/randomize_va_space)
	echo 0 >/proc/sys/kernel/randomize_va_space
	# shellcheck disable=SC2086 # words are what is wanted
	timeout -s KILL "$limit" $dir/$cmd ${only:+-t "$only"} 2>&1
	echo $? >$status
	echo "$random" >/proc/sys/kernel/randomize_va_space
}

# The program has KTAP: only the names are changed.
named='
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
	# A skipped one says why, not who it is.
	print verdict " " n " " prog "." (text == "" ? n : text) remark
	fflush()
}'
ktap()
{
	awk -v prog="$prog" "$named"'
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
ktap | harness) run | ktap ;;
uffd)	run | uffd ;;
exit)	run | exit_status ;;
*)	echo "$prog: unknown form '$form'" >&2; exit 1 ;;
esac
for need in $needs; do
	withdraw "$need"
done
exit "$(cat $status)"
