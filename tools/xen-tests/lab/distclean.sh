#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# distclean.sh: remove the cache, once nobody works in it.

. "$(dirname "$0")/common.sh"

[ -d "$GM_CACHE" ] || exit 0
lock tree
lock root
lock qemu
lock debian
note "removing $GM_CACHE ($(du -sh "$GM_CACHE" | cut -f1))"
# Removing a locked lock file would let two others lock two different files.
find "$GM_CACHE" -mindepth 1 -maxdepth 1 ! -name '*.lock' -exec rm -rf {} +
