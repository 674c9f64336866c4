# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck disable=SC2034 # used by those who source this
#
# What every host-side script shares: where things live, how to talk to the
# user, how two runs at once keep out of each other's way. Sourced, never run.
#
# Two places hold what is made:
#   $GM_CACHE  outlives the checkout (downloads, kernel trees, ccache, dom0 root)
#              and is shared by all checkouts: written only under a lock, and a
#              finished thing appears by rename, so an interrupted step leaves
#              nothing half made behind;
#   $GM_BUILD  belongs to this checkout alone (kernel images, programs, logs).

set -euo pipefail
# Ctrl-C ends the script before it takes the end of what it ran for a failure.
trap 'exit 130' INT

GM_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
GM_SCRIPTS=$GM_TOP/tools/xen-tests/lab
GM_BUILD=$GM_TOP/build
GM_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/grantmirror
GM_KERNEL=${KERNEL:-ours}
# What a kernel is made of, ours or stock, says which tree it is built in; its flavour,
# where in there. A flavour is always ours, with what configs/kernel/flavors says. "debian" is
# built by Debian (debian.sh), and only the grant device in it is ours.
case $GM_KERNEL in
ours | stock | debian)
	GM_SOURCE=$GM_KERNEL
	GM_FLAVOR=fast ;;
*)	GM_SOURCE=ours
	GM_FLAVOR=$GM_KERNEL ;;
esac
# The processor of the lab's machine, x86 or arm64: the lab decides (LAB_ARCH in its
# file of configs/lab, read by the Makefile). What is made for another one than x86 has
# a name of its own in both places.
GM_ARCH=${GM_ARCH:-x86}
case $GM_ARCH in
x86)	GM_OF_ARCH=''
	GM_DEBIAN_ARCH=amd64
	GM_LIB=lib/x86_64-linux-gnu
	GM_LOADER=lib64/ld-linux-x86-64.so.2
	GM_CROSS='' ;;
arm64)	GM_OF_ARCH=-arm64
	GM_DEBIAN_ARCH=arm64
	GM_LIB=lib/aarch64-linux-gnu
	GM_LOADER=lib/ld-linux-aarch64.so.1
	GM_CROSS=aarch64-linux-gnu- ;;
*)	printf 'error: GM_ARCH=%s: there are x86 and arm64\n' "$GM_ARCH" >&2
	exit 1 ;;
esac
# The kernel this overlay is written against; any point release will do.
GM_KVERSION=6.12
GM_XEN_VERSION=4.17

say()  { printf '==> %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }
die()  { printf 'error: %s\n' "$*" >&2; exit 1; }

# seconds -> "3 min 07 s"
duration()
{
	if [ "$1" -lt 60 ]; then
		printf '%d s' "$1"
	else
		printf '%d min %02d s' $(($1 / 60)) $(($1 % 60))
	fi
}

# A checksum of everything under the given files and directories: the contents and
# the names in the checkout, not the times nor where the checkout is. What does
# not exist counts as empty.
sum_of()
{
	{ find "$@" -type f ! -name '*~' ! -name '*.orig' -print0 2>/dev/null || true; } |
		LC_ALL=C sort -z | xargs -0r sha256sum | sed "s|$GM_TOP/||" |
		sha256sum | cut -c1-32
}

# lock NAME [DIR]: hold DIR/NAME.lock until this script ends ($GM_CACHE unless
# named). The lock goes with the file descriptor, so nothing is left locked when
# the script is killed. A script that this one calls has its locks, too.
lock()
{
	local dir=${2:-$GM_CACHE} fd

	case " ${GM_LOCKS:-} " in
	*" $dir/$1 "*) return ;;
	esac
	mkdir -p "$dir"
	exec {fd}>"$dir/$1.lock"
	if ! flock -n "$fd"; then
		note "waiting: another make holds $dir/$1.lock"
		flock "$fd"
	fi
	export GM_LOCKS="${GM_LOCKS:-} $dir/$1"
}

# Linux's version as its Makefile in the directory $1 has it: 6.12.117
kernel_release()
{
	sed -n 's/^\(VERSION\|PATCHLEVEL\|SUBLEVEL\) = //p' "$1/Makefile" | head -n 3 |
		paste -sd .
}

# fragments_of NAME...: the files configs/kernel/NAME.config, each followed by what it
# says for $GM_ARCH alone
fragments_of()
{
	local name file

	for name; do
		for file in "$name" "$name-$GM_ARCH"; do
			file=$GM_TOP/configs/kernel/$file.config
			[ ! -e "$file" ] || printf '%s\n' "$file"
		done
	done
}

# read_lab LAB: the variables of configs/lab/LAB.conf. With KERNEL=debian only those suites are
# there that its kernel can run.
read_lab()
{
	LAB_SUITES='' LAB_SUITES_LONG='' LAB_DEBIAN_SUITES='' LAB_FLAVORS='' LAB_TRIES=1 LAB_ARCH=x86 LAB_MINUTES=1
	# shellcheck source=/dev/null
	. "$GM_TOP/configs/lab/$1.conf"
	if [ "$GM_KERNEL" = debian ]; then
		LAB_SUITES=$LAB_DEBIAN_SUITES LAB_SUITES_LONG=''
	fi
}

# What our own make hands down is not meant for a make that a script runs.
forget_make()
{
	unset MAKEFLAGS MFLAGS MAKELEVEL KERNEL LAB SUITE TEST ARCH CROSS_COMPILE
}

# A directory beside the target of a rename, emptied by whoever comes next
# should this run be interrupted.
fresh_dir()
{
	rm -rf "$1"
	mkdir -p "$1"
}
