#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# bpftrace.sh: Debian's bpftrace for dom0, with the libraries that it needs (a compiler is among
# them) and the headers without which it starts nothing. For suite bpftrace alone: 200 MB.
#
# Out: build/initrd/bpftrace.cpio, a link into the cache; ramdisk.sh appends it where that suite
#      runs on a kernel that takes programs of BPF.

. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/libraries.sh"

[ "$GM_ARCH" = x86 ] || die "bpftrace.sh: for labs with an x86 processor only"
out=$GM_CACHE/root/bpftrace-$(sum_of "$GM_SCRIPTS"/{bpftrace,libraries}.sh | cut -c1-12).cpio
packages="bpftrace linux-libc-dev"

cut_root()
{
	local work=$GM_CACHE/root/tmp.bpftrace started=$SECONDS names deb

	say "bpftrace: downloading Debian's packages (about 50 MB)"
	fresh_dir "$work"
	mkdir -p "$work"/{debs/partial,pool,root/usr/bin}
	# As root.sh does: whatever happens to be installed here.
	# shellcheck disable=SC2086 # a list of names
	names=$(apt-get -o Dir::State::status=/dev/null -o "Dir::Cache::archives=$work/debs" \
			install -y --no-install-recommends --print-uris $packages 2>"$work/apt.log" |
		sed -n "s/^'[^']*' \([^ _]*\)_.*/\1/p" | sort -u) || {
		cat "$work/apt.log" >&2
		die "apt cannot resolve bpftrace (see above)"
	}
	# shellcheck disable=SC2086 # a list of names
	(cd "$work/debs" && apt-get download $names) >"$work/apt.log" 2>&1 || {
		cat "$work/apt.log" >&2
		die "the download of bpftrace failed (see above)"
	}
	for deb in "$work"/debs/*.deb; do
		dpkg-deb -x "$deb" "$work/pool"
	done
	cp "$work/pool/usr/bin/bpftrace" "$work/root/usr/bin/"
	cp -a "$work/pool/usr/include" "$work/root/usr/"
	ln -sfn x86_64-linux-gnu/asm "$work/root/usr/include/asm"
	add_libraries "$work/root" "$work/pool" "$work/pool/$GM_LIB" "$work/pool/usr/$GM_LIB"
	(cd "$work/root" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) >"$out.tmp"
	mv "$out.tmp" "$out"
	rm -rf "$work"
	note "$(du -m "$out" | cut -f1) MB in $(duration $((SECONDS - started)))"
}

if [ ! -e "$out" ]; then
	lock bpftrace
	[ -e "$out" ] || cut_root
fi
mkdir -p "$GM_BUILD/initrd"
ln -sfn "$out" "$GM_BUILD/initrd/bpftrace.cpio"
