#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# fetch.sh: Debian's kernel source package, downloaded and unpacked twice:
# $GM_CACHE/tree/stock stays as it is, $GM_CACHE/tree/ours gets the overlay.
#
# Whatever point release of the version is found first stays, until
# `make distclean`: a warm run asks no mirror.

. "$(dirname "$0")/common.sh"

pkg=linux-source-$GM_KVERSION
trees=$GM_CACHE/tree

[ -e "$trees/stock/Makefile" ] && [ -e "$trees/ours/Makefile" ] && exit 0
lock tree
mkdir -p "$GM_CACHE/dl" "$trees"

# Two trees and the objects of one kernel, in MB
need=6000
free=$(df -Pm "$GM_CACHE" | awk 'NR == 2 { print $4 }')
[ "$free" -ge $need ] ||
	die "$GM_CACHE needs $need MB for kernel trees and objects, and has $free MB free (XDG_CACHE_HOME moves it)"

deb=$(compgen -G "$GM_CACHE/dl/${pkg}_*.deb" | head -n 1 || true)
if [ -z "$deb" ]; then
	started=$SECONDS
	say "downloading $pkg (about 150 MB)"
	fresh_dir "$GM_CACHE/dl/tmp"
	cd "$GM_CACHE/dl/tmp"
	apt-get download "$pkg" >apt.log 2>&1 || {
		cat apt.log >&2
		die "cannot download the package $pkg (see above); it is in Debian 12's bookworm-security and bookworm-backports"
	}
	mv ./*.deb ..
	cd ..
	rm -rf tmp
	deb=$(compgen -G "$GM_CACHE/dl/${pkg}_*.deb" | head -n 1)
	note "${deb##*/} in $(duration $((SECONDS - started)))"
fi

started=$SECONDS
if [ ! -e "$trees/stock/Makefile" ]; then
	say "unpacking ${deb##*/} (1.7 GB)"
	fresh_dir "$trees/tmp"
	dpkg-deb --fsys-tarfile "$deb" |
		tar -xO "./usr/src/$pkg.tar.xz" |
		xz -dc -T0 | tar -x -C "$trees/tmp" --strip-components=1
	rm -rf "$trees/stock"
	mv "$trees/tmp" "$trees/stock"
fi
if [ ! -e "$trees/ours/Makefile" ]; then
	note "copying it for the overlay"
	rm -rf "$trees/tmp" "$trees/ours"
	# Without what builds have left in the pristine tree.
	rsync -a --exclude='/build-*' "$trees/stock/" "$trees/tmp/"
	mv "$trees/tmp" "$trees/ours"
fi
note "done in $(duration $((SECONDS - started)))"
