#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
#
# The job of dom0, started by init when the host is up: the demo, or the suites.
# Standard output is the results channel to the host; everything that is not a
# result goes to the console (standard error).

# shellcheck source=/dev/null
. /gm/job.conf
export GM_TEST GM_SCALE GM_LAB GM_KERNEL GM_LONG GM_MN_SECONDS GM_SOAK_SECONDS GM_SEED
# Long enough for the slowest guest on the slowest machine, in seconds.
GUEST_UP=180
GUEST_DOWN=120
DRIVER_TOTAL=3000
# A test program is ended by its harness before that (gm_test.h), the lab after it (boot.sh).
DRIVER_SILENT=150

# wait_for SECONDS COMMAND...: until the command succeeds
wait_for()
{
	left=$1
	shift
	until "$@"; do
		left=$((left - 1))
		[ $left -gt 0 ] || return 1
		sleep 1
	done
}

agent_ready() { xenstore-exists "/local/domain/$1/data/gm/ready"; }
no_domain()   { ! xl domname "$1" >/dev/null 2>&1; }
only_dom0()   { [ "$(xl list | tail -n +2 | wc -l)" = 1 ]; }

# start_guest NAME CONFIG [SETTING...]: prints its domid
start_guest()
{
	guest=$1 config=$2
	shift 2
	xl create "/gm/xl/$config.cfg" "name=\"$guest\"" "$@" >&2 || return
	xl domid "$guest"
}

stop_guest()
{
	xl shutdown -w "$1" >&2 || xl destroy "$1" >&2
}

# What the module says of itself; modinfo wants an index that is not here.
module_info()
{
	find /lib/modules -name "$1.ko" -exec cat {} ';' | tr '\0' '\n' |
		sed -n 's/^description=//p' | head -n 1
}

# A test of this script's own: the line, and why not when it failed.
result()
{
	if [ "$1" = 0 ]; then
		echo "ok $2 $3"
	else
		echo "# $4"
		echo "not ok $2 $3"
	fi
}

# setup_failed SUITE WHY: a suite that cannot run has failed.
setup_failed()
{
	echo "@@ begin $1/setup"
	echo "TAP version 13"
	echo "1..1"
	result 1 1 setup.guests "$2"
	echo "@@ end $1/setup 1"
}

# What a suite leaves behind: a program of its own on the results channel.
# leftovers SUITE DOMID: the suite's granting guest is asked to end.
leftovers()
{
	echo "@@ begin $1/leftovers"
	echo "TAP version 13"
	echo "1..3"
	in_use=$(gm-oracle --in-use "$2")
	[ "$in_use" = "$3" ]
	result $? 1 leftovers.no_grant_in_use \
		"grants of domain $2 in use: $in_use, before the suite: $3"
	stop_guest granter
	wait_for $GUEST_DOWN no_domain "$2"
	result $? 2 leftovers.guest_gone "domain $2 is still there"
	wait_for $GUEST_DOWN only_dom0
	result $? 3 leftovers.only_dom0 "$(xl list | tr '\n' ';')"
	echo "@@ end $1/leftovers 0"
}

# A kernel that watches itself (FLAVOR=debug-xen) is asked what it has found; what it has to say
# besides, it has said on the console.
# kernel_state SUITE
kernel_state()
{
	leaks=/sys/kernel/debug/kmemleak
	[ -w $leaks ] || return 0
	echo "@@ begin $1/kernel"
	echo "TAP version 13"
	echo "1..2"
	# Young objects are not looked at; twice, as a pointer may be on its way.
	for _ in 1 2; do
		sleep 6
		echo scan >$leaks
	done
	cat $leaks >/tmp/leaks
	cat /tmp/leaks >&2
	# The kernel's own test_hmm forgets its devices, and their names, when it is unloaded. And
	# xen-pciback frees what has the list of a device's fields before it looks for that list
	# (pcistub_device_release()); suite passthrough unloads it, so that it has no names any more.
	n=$(awk 'BEGIN { RS = "unreferenced object" }
		 NR > 1 && !/hmm_dmirror|cdev_device_add|xen_pcibk_config|0xffffffffc[0-9a-f]+\n *local_pci_probe/ { n++ }
		 END { print n + 0 }' /tmp/leaks)
	[ "$n" = 0 ]
	result $? 1 kernel.no_memory_leaked "$n objects, see the console"
	echo clear >$leaks
	locks=$(sed -n 's/^ *debug_locks: *//p' /proc/lockdep_stats)
	[ "$locks" = 1 ]
	result $? 2 kernel.locks_are_watched_to_the_end "debug_locks: '$locks'"
	echo "@@ end $1/kernel 0"
}

# A driver domain that says nothing any more hangs, and the lab is about to be ended: whoever
# looks for the reason finds on the console what its processors and its tasks were doing.
# explain_silence LOG DOMID
explain_silence()
{
	size='' silent=0
	while sleep 5; do
		if [ "$(stat -c %s "$1")" != "$size" ]; then
			size=$(stat -c %s "$1") silent=0
			continue
		fi
		silent=$((silent + 5))
		[ $silent = $DRIVER_SILENT ] || continue
		{
			echo "domain $2 has been silent for $silent s"
			xl list
			for _ in 1 2 3; do
				xenctx -a "$2"
			done
			# All that its kernel says, then processors, tasks that wait, tasks.
			for key in 9 l w t; do
				xl sysrq "$2" $key
				sleep 2
			done
			tail -c +"$size" "$1"
		} >&2
	done
}

# The suite runs in a driver domain: its console, which xenconsoled writes to a
# file, carries the results; gm-oracle answers what only dom0 can know.
# run_in_driver_domain SUITE GRANTER-DOMID RAMDISK WORDS [SETTING...]
run_in_driver_domain()
{
	log=/var/log/xen/console/guest-driver.log
	relayed=/tmp/relayed
	rm -f $log $relayed
	suite=$1 granter=$2 ramdisk=$3 words=$4
	shift 4
	driver=$(start_guest driver "$GM_MAPPER" "ramdisk=\"$ramdisk\"" "$@" \
		"extra=\"console=hvc0 quiet $words gm.suite=$suite gm.domid=$granter gm.test=$GM_TEST gm.scale=$GM_SCALE\"") || {
		setup_failed "$suite" "the driver domain does not start"
		return
	}
	gm-oracle "$driver" &
	oracle=$!
	touch $log
	tail -n +1 -f $log | tr -d '\r' |
		awk -v relayed=$relayed '/^@@ begin/ { p = 1 }
		     /^@@ done/ { print >relayed; exit }
		     p || /^@@ data/ { print; fflush() }
		     /^@@ end/ { p = 0 }' &
	relay=$!
	explain_silence "$log" "$driver" &
	witness=$!
	wait_for $DRIVER_TOTAL driver_done $log "$driver" ||
		setup_failed "$suite" "the driver domain does not end the suite"
	# All that it has said is to arrive, on a busy computer, too.
	! grep -q '^@@ done' $log || wait_for $GUEST_UP test -s $relayed
	stop_guest driver
	kill $oracle $relay $witness 2>/dev/null
}

# The kernel's own selftests are in dom0's root; a driver domain gets them from there,
# and the memory that its kernel leaves alone for test_hmm.
run_selftests_in_driver_domain()
{
	ramdisk=/tmp/initrd-selftests
	{
		gunzip -c /gm/guest/initrd-driver.gz
		(cd / && find gm/suites/"$1" gm/selftests ! -path '*/kvm/*' | cpio -o -H newc)
	} >"$ramdisk"
	# shellcheck disable=SC2016 # a dollar is what is meant
	run_in_driver_domain "$1" 0 "$ramdisk" 'memmap=512M$0x20000000' 'memory=1024'
	rm "$ramdisk"
}

driver_done() { grep -q '^@@ done' "$1" || no_domain "$2"; }

# The GPUs of the machine, as lspci would call them; no PCI IDs but theirs (xgpu_hw.h).
gpus()
{
	for dev in /sys/bus/pci/devices/*; do
		[ "$(cat "$dev/vendor" "$dev/device" | tr '\n' ' ')" != "0x584e 0x4750 " ] ||
			echo "${dev##*/}"
	done
}

# dom0 lets them go, so that a domain can have them; which domain, its configuration says.
assign_gpus()
{
	modprobe xen-pciback passthrough=1 >&2 || return
	for gpu in $(gpus); do
		xl pci-assignable-add "$gpu" >&2 || return
	done
}

# The suite's programs, or, for `make fuzz`, gm-fuzz in the place of those of suite fuzz
run_here()
{
	if [ "$1" != fuzz ] || [ -z "$GM_FUZZ" ]; then
		gm-suite "$1"
		return
	fi
	echo "@@ begin fuzz/session"
	# shellcheck disable=SC2086 # words are what is wanted
	gm-fuzz $GM_FUZZ
	echo "@@ end fuzz/session $?"
}

# The suite in dom0, or wherever the lab says, against a guest that grants.
# run_with_granter SUITE WORDS: more words for a driver domain's kernel
run_with_granter()
{
	domid=$(start_guest granter "$GM_GRANTER") || {
		setup_failed "$1" "the granting guest does not start"
		return
	}
	wait_for $GUEST_UP agent_ready "$domid" ||
		setup_failed "$1" "the agent of domain $domid does not answer"
	GM_DOMID=$domid
	export GM_DOMID
	base=$(gm-oracle --in-use "$domid")
	if [ "$GM_MAPPER" != dom0 ]; then
		run_in_driver_domain "$1" "$domid" /gm/guest/initrd-driver.gz "$2"
	else
		run_here "$1"
	fi
	leftovers "$1" "$domid" "$base"
}

case $GM_MODE in
run)
	GM_DRIVER=$(module_info xen-gntdev)
	export GM_DRIVER GM_KERNEL GM_GRANTER
	exec gm-demo
	;;
test)
	for suite in $GM_SUITES; do
		gm-suite --has-test "$suite" || {
			# One test may well be in another suite.
			[ -n "$GM_TEST" ] || setup_failed "$suite" "the suite has no program"
			continue
		}
		case $suite in
		grants|tools|bpftrace) run_with_granter "$suite" '' ;;
		gpu)
			case $GM_MAPPER in
			none)	gm-suite "$suite" ;;
			dom0)	run_with_granter "$suite" '' ;;
			*)	assign_gpus || setup_failed "$suite" "no GPU can be given away"
				# As in configs/xl; and QEMU is too slow for the kernel's check of
				# its timer on a busy computer.
				words='no_timer_check panic=-1'
				[ "$GM_MAPPER" != gpu-pv ] || words='iommu=soft swiotlb=2048'
				run_with_granter "$suite" "$words" ;;
			esac
			;;
		hmm | fuzz)
			if [ "$GM_MAPPER" = none ]; then
				run_here "$suite"
			else
				run_with_granter "$suite" ''
			fi
			;;
		hmm-selftests)
			if [ "$GM_MAPPER" = pvh ]; then
				run_selftests_in_driver_domain "$suite"
			else
				gm-suite "$suite"
			fi
			;;
		# Those that need guests start their own.
		*) gm-suite "$suite" ;;
		esac
		kernel_state "$suite"
	done
	gm-coverage dom0
	;;
esac
