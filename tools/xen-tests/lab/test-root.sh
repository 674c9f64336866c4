#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# test-root.sh make|try LAB: what a lab's machine boots, for a computer of flesh and blood.
#
#   make  build/test-root/LAB/: boot/ (Xen, the kernel, the initial ram disk, GRUB's menu) for a
#         boot server or an installed GRUB, and grantmirror.iso with all of it, for a USB stick,
#         a CD or a remote console's virtual drive; BIOS and EFI
#   try   boot that image in QEMU, from GRUB on, with one serial port, and count the results;
#         EFI=1: from EFI's firmware on (OVMF) and not from a BIOS
#
# The results come over the console, Xen's: the first serial port at 115200 and the screen. They
# are the same KTAP as in the lab, framed by lines that begin with "@@" (report.c). The machine
# writes to no disk, and powers off at the end.
#
# Environment: EFI, and SUITE, TEST, KERNEL, GM_LONG as for `make test`.

. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/ramdisk.sh"

what=$1 lab=$2
conf=$GM_TOP/configs/lab/$lab.conf
[ -e "$conf" ] || die "there is no lab '$lab' in configs/lab"
LAB_ARCH=x86
# shellcheck source=/dev/null
. "$conf"
[ "$LAB_ARCH" = x86 ] || die "lab '$lab': GRUB images are made for x86 only"
case ${LAB_DEVICES:-} in
*xgpu*) die "lab '$lab' has a GPU that no computer has; take pv, pvh-guest, hvm-guest or bare" ;;
esac

suites=${SUITE:-$LAB_SUITES}
[ -n "$suites" ] || suites=${LAB_SUITES_LONG:-}
mode="test"
GM_RESULTS=console
out=$GM_BUILD/test-root/$lab
iso=$out/grantmirror.iso

# Each word in GRUB's single quotes, where a dollar is a dollar
words()
{
	local list

	[[ $1 != *\'* ]] || die "a quote in a command line of lab '$lab'"
	read -ra list <<<"$1"
	printf "'%s' " "${list[@]}"
}

menu()
{
	local xen

	echo 'serial --unit=0 --speed=115200'
	echo 'terminal_input console serial'
	echo 'terminal_output console serial'
	echo 'set timeout=3'
	echo "menuentry 'grantmirror: lab $lab: $suites' {"
	if [ -n "$LAB_XEN" ]; then
		# Xen gives the screen away to dom0, which has no driver for it.
		xen="${LAB_XEN/console=com1/console=com1,vga} vga=keep"
		echo "	multiboot2 /boot/xen placeholder $(words "$xen")"
		echo "	module2 /boot/vmlinux placeholder $(words "$LAB_DOM0")"
		echo '	module2 --nounzip /boot/initrd'
	else
		echo "	linux /boot/bzImage $(words "$LAB_LINUX")"
		echo '	initrd /boot/initrd'
	fi
	echo '}'
}

make_image()
{
	local kernel=$GM_BUILD/kernel/$GM_KERNEL

	say "test root: lab $lab: $suites"
	fresh_dir "$out/boot/grub"
	make_ramdisk "$out/boot"
	if [ -n "$LAB_XEN" ]; then
		cp "$GM_BUILD/root/xen" "$kernel/vmlinux" "$out/boot/"
	else
		cp "$kernel/bzImage" "$out/boot/"
	fi
	menu >"$out/boot/grub/grub.cfg"
	fresh_dir "$out/image"
	cp -al "$out/boot" "$out/image/"
	grub-mkrescue -o "$iso.tmp" "$out/image" >"$out/grub-mkrescue.log" 2>&1 || {
		tail -n 5 "$out/grub-mkrescue.log" >&2
		die "grub-mkrescue failed (log: $out/grub-mkrescue.log)"
	}
	rm -rf "$out/image"
	mv "$iso.tmp" "$iso"
	note "$iso ($(du -h "$iso" | cut -f1)): dd it to a USB stick, or boot it as a CD"
}

try_image()
{
	local log=$out/console.log firmware=()

	[ -e "$iso" ] || die "there is no $iso: make test-root LAB=$lab"
	lock "lab-$lab" "$GM_BUILD"
	say "test root: from GRUB on, in QEMU (console: $log)"
	fresh_dir "$out/results"
	: >"$log"
	if [ -n "${EFI:-}" ]; then
		# One file, read only: what EFI stores is forgotten.
		[ -e /usr/share/ovmf/OVMF.fd ] ||
			die "no firmware for EFI=1: apt-get install ovmf"
		firmware=(-bios /usr/share/ovmf/OVMF.fd)
	fi
	# QEMU splits its arguments at commas, which the path of the checkout may have.
	cd "$out"
	"$GM_BUILD/host/labrun" --mode test --name "$lab" --one-port --console console.log \
		--log . --results results --benign "$GM_TOP/configs/lab/benign.txt" \
		--silence "${LAB_SILENCE:-180}" --total "${LAB_TOTAL:-1800}" \
		--nudge 5 -- \
		qemu-system-x86_64 -accel tcg,thread=multi ${LAB_MACHINE:+-machine "$LAB_MACHINE"} \
		-cpu "$LAB_CPU" -smp "$LAB_SMP" -m "$LAB_MEMORY" -display none -no-reboot \
		-no-user-config -net none -monitor none ${firmware[@]+"${firmware[@]}"} -cdrom grantmirror.iso -boot d
}

case $what in
make)	make_image ;;
try)	try_image ;;
*)	die "test-root.sh make|try LAB" ;;
esac
