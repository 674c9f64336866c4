# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck disable=SC2154 # set by those who source this
#
# The initial ram disk of a lab's machine: dom0's root, programs and modules, and the job for
# its init (root/init.dom0). Sourced after common.sh and the lab's file, never run.

# make_ramdisk DIR: DIR/initrd, for a machine that is to do $mode in lab $lab, with $suites.
# GM_RESULTS=console: the results go there, for a machine without a second serial port.
make_ramdisk()
{
	local dir=$1/job more=()

	fresh_dir "$dir/gm"
	# As single-quoted words of sh, whatever is in them.
	quote() { printf "%s='%s'\n" "$1" "${2//\'/\'\\\'\'}"; }
	{
		quote GM_MODE "$mode"
		quote GM_LAB "$lab"
		quote GM_MAPPER "$LAB_MAPPER"
		quote GM_GRANTER "${LAB_GRANTER:-pv}"
		quote GM_SUITES "$suites"
		quote GM_TEST "${TEST:-}"
		quote GM_KERNEL "$GM_KERNEL"
		quote GM_SCALE "${GM_SCALE:-1}"
		quote GM_LONG "${GM_LONG:-}"
		quote GM_MN_SECONDS "${GM_MN_SECONDS:-}"
		quote GM_FUZZ "${GM_FUZZ:-}"
		quote GM_SOAK_SECONDS "${GM_SOAK_SECONDS:-}"
		quote GM_SEED "${GM_SEED:-}"
		quote GM_RESULTS "${GM_RESULTS:-}"
	} >"$dir/gm/job.conf"
	case " $suites " in
	*" fuzz "*)
		mkdir -p "$dir/gm/fuzz"
		cp -r "$GM_TOP/tools/xen-tests/fuzz/corpus" "$dir/gm/fuzz/"
		[ -z "${GM_FUZZ_INPUT:-}" ] || cp "$GM_FUZZ_INPUT" "$dir/gm/fuzz/input"
		;;
	esac
	# Each one-liner of the page, with the comment above it, is a file; on kernels that can run it.
	case " $suites :$GM_KERNEL" in
	*" bpftrace "*:bpf | *" bpftrace "*:debian)
		mkdir -p "$dir/gm/bpftrace"
		awk -v dir="$dir/gm/bpftrace" '/^## / { on = $2 == "bpftrace" }
			!on || !/^    / { next }
			/^    # / { file = dir "/" ++n }
			{ print substr($0, 5) >file }' "$GM_TOP/Documentation/observing.md"
		more+=("$GM_BUILD/initrd/bpftrace.cpio")
		;;
	esac
	(cd "$dir" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) >"$1/job.cpio"
	case " $suites" in
	*selftests*) more+=("$GM_BUILD/initrd/selftests.cpio") ;;
	esac
	cat "$GM_BUILD/root$GM_OF_ARCH/root.cpio" "$GM_BUILD/initrd/$GM_KERNEL$GM_OF_ARCH.cpio" \
		${more[@]+"${more[@]}"} "$1/job.cpio" >"$1/initrd"
	rm -rf "$dir" "$1/job.cpio"
}
