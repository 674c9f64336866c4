#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# distclean.sh: remove the cache, once nobody works in it.

. "$(dirname "$0")/common.sh"

[ -d "$GM_CACHE" ] || exit 0
for name in tree root qemu debian package deb-test selftests bpftrace compat; do
	lock $name
done
note "removing $GM_CACHE ($(du -sh "$GM_CACHE" 2>/dev/null | cut -f1))"
# What `make deb-test` has installed a Debian in is root's; what it had mounted there when it was
# killed must not be followed.
as_root=()
[ ! -d "$GM_CACHE/debian/chroot-base" ] || [ "$(id -u)" = 0 ] || as_root=(sudo)
for dir in "$GM_CACHE"/debian/chroot*/proc; do
	! mountpoint -q "$dir" || "${as_root[@]}" umount "$dir"
done
# Removing a locked lock file would let two others lock two different files.
"${as_root[@]}" find "$GM_CACHE" -mindepth 1 -maxdepth 1 ! -name '*.lock' \
	-exec rm -rf --one-file-system {} +
