#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# boot.sh test|run|shell LAB: boot the machine that configs/lab/LAB.conf describes
# (Xen and dom0, or Linux alone; the job) and follow it with labrun. Everything that
# it boots has been made before (Makefile).
#
# Environment: KERNEL, SUITE, TEST (see `make help`), GM_SCALE (all time-outs),
# GM_LONG=1 (test programs take the time that they take, see test-all.sh),
# GM_FUZZ (what gm-fuzz shall do in the place of suite fuzz), GM_FUZZ_INPUT (a file of
# programs for it), GM_TOTAL (a limit for the whole run, seconds): fuzz/fuzz.sh,
# ICOUNT=1: the machine's time is a count of its instructions, so that figures can be
# repeated and compared, whatever else this computer does.

. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/ramdisk.sh"

mode=$1 lab=$2
conf=$GM_TOP/configs/lab/$lab.conf
[ -e "$conf" ] ||
	die "there is no lab '$lab'; labs: $(cd "$GM_TOP/configs/lab" && echo *.conf | sed 's/\.conf//g')"
read_lab "$lab"

[ "$LAB_ARCH" = "$GM_ARCH" ] ||
	die "lab '$lab' is a machine with another processor ($LAB_ARCH): make ... LAB=$lab, and no other lab with it"
[ -n "$LAB_XEN" ] || [ "$mode" != run ] ||
	die "lab '$lab' has no Xen, and the main job is about grants: take another"

log=$GM_BUILD/logs/$lab
results=$GM_BUILD/results/$lab

# Logs and results are the lab's: one machine of it at a time.
lock "lab-$lab" "$GM_BUILD"

# Only a machine that tests carries what suites need.
suites=${SUITE:-}
[ "$mode" != test ] || suites=${SUITE:-$LAB_SUITES}

mkdir -p "$log" "$results"
rm -rf "${results:?}"/*
: >"$log/console.log"
make_ramdisk "$log"

# QEMU splits these arguments at commas and blanks, which the path of the checkout
# may have: use relative ones.
cd "$GM_BUILD"
log=logs/$lab
results=results/$lab

console=(-chardev "file,id=con,path=$log/console.log" -serial chardev:con -monitor none)
keys=()
if [ -n "$LAB_XEN" ]; then
	# A pair of files, NAME.in for what is typed and NAME.out: labrun makes the first.
	ln -sf console.log "$log/console.out"
	console[1]="pipe,id=con,path=$log/console"
	keys=(--keys "$log/console.in")
fi
if [ "$mode" = shell ]; then
	note "a shell in the machine follows: 'exit' powers off, Ctrl-A X ends the machine at once"
	# Ctrl-A x ends QEMU, Ctrl-C is for the shell inside.
	keys=()
	console=(-chardev "stdio,id=con,mux=on,signal=off,logfile=$log/console.log"
		-serial chardev:con -mon chardev=con)
fi

accel=(-accel "tcg,thread=multi")
if [ -n "${ICOUNT:-}" ]; then
	accel=(-accel "tcg,thread=single" -icount "shift=0,sleep=off" -seed 1
		-rtc "base=2026-01-01,clock=vm")
	# Where things lie in memory decides how often caches collide.
	LAB_LINUX="${LAB_LINUX:-} nokaslr norandmaps"
fi

# Unit tests at boot are not what is fuzzed, and have messages of their own.
[ -z "${GM_FUZZ:-}" ] || LAB_LINUX=${LAB_LINUX:-} LAB_LINUX=${LAB_LINUX/kunit.enable=1/}

kernel=kernel/$GM_KERNEL$GM_OF_ARCH/vmlinux
qemu=(qemu-system-x86_64)
[ -z "${LAB_MACHINE:-}" ] || qemu+=(-machine "$LAB_MACHINE")
# More arguments for QEMU, in words. Our GPU is a library that joins QEMU, and QEMU alone.
read -ra devices <<<"${LAB_DEVICES:-}"
case " ${devices[*]-}" in
*" xgpu"*) qemu=(env LD_PRELOAD=host/xgpu.so "${qemu[@]}") ;;
esac
if [ "$GM_ARCH" = arm64 ]; then
	# Xen finds dom0's kernel and initial ram disk at these addresses (memory begins at
	# 0x40000000); the results channel is virtio's, as the only serial port is Xen's.
	qemu=(qemu-system-aarch64 -machine "virt,virtualization=on,gic-version=3")
	boot=(-kernel root-arm64/xen -append "$LAB_XEN"
		-device "guest-loader,addr=0x49000000,kernel=$kernel,bootargs=${LAB_DOM0//,/,,}"
		-device "guest-loader,addr=0x50000000,initrd=$log/initrd"
		-device virtio-serial-device -device "virtconsole,chardev=gm")
elif [ -n "$LAB_XEN" ]; then
	boot=(-kernel root/xen -append "$LAB_XEN"
		-initrd "$kernel ${LAB_DOM0//,/,,},$log/initrd")
else
	boot=(-kernel "$kernel" -append "$LAB_LINUX" -initrd "$log/initrd")
fi

# One test may well be in a suite of another lab (test.sh sees to that).
optional=()
[ -z "${TEST:-}" ] || optional=(--may-be-empty)

# Xen with guests may have to be nudged (labrun.c); it would be counted where instructions are.
nudge=(--nudge 5)
if [ -z "$LAB_XEN" ] || [ "$GM_ARCH" != x86 ] || [ "$mode" = shell ] || [ -n "${ICOUNT:-}" ]; then
	nudge=()
fi

total=${GM_TOTAL:-${LAB_TOTAL:-1800}}
silence=${LAB_SILENCE:-180}
# One program may be silent for as long as a test may take (gm_test.h, GM_LONG_TEST_S).
[ -z "${GM_LONG:-}" ] || { total=$((6 * 3600)); silence=$((silence > 960 ? silence : 960)); }

exec host/labrun "${optional[@]}" --mode "$mode" --name "$lab" \
	--console "$log/console.log" ${keys[@]+"${keys[@]}"} --log "$log" --results "$results" \
	--benign "$GM_TOP/configs/lab/benign.txt" \
	--silence "$silence" --total "$total" ${nudge[@]+"${nudge[@]}"} -- \
	"${qemu[@]}" "${accel[@]}" -cpu "$LAB_CPU" \
	-smp "$LAB_SMP" -m "$LAB_MEMORY" -display none -no-reboot -no-user-config \
	-net none ${devices[@]+"${devices[@]}"} "${console[@]}" "${boot[@]}"
