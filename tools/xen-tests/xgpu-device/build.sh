#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# build.sh [asan]: the model of the xgpu device, build/host/xgpu.so, for the QEMU that is
# installed; or with AddressSanitizer and UBSan, build/host/xgpu-asan.so.

. "$(dirname "$0")/../lab/common.sh"
. "$(dirname "$0")/headers.sh"

cd "$(dirname "$0")"
version=$(dpkg-query -W -f '${source:Version}' qemu-system-x86) ||
	die "the package qemu-system-x86 is not installed: make setup"
headers=$GM_CACHE/qemu/${version//[^0-9a-zA-Z.+]/_}
if [ ! -e "$headers/config-host.h" ]; then
	lock qemu
	[ -e "$headers/config-host.h" ] || make_headers "$headers" "$version"
fi

out=$GM_BUILD/host/xgpu.so
flags=(-O2)
if [ "${1:-}" = asan ]; then
	out=$GM_BUILD/host/xgpu-asan.so
	flags=(-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined)
fi
inputs=$version/$(sum_of . "$GM_TOP/drivers/xen/xgpu/xgpu_hw.h")
if [ -e "$out" ] && [ "$(cat "$out.inputs" 2>/dev/null)" = "$inputs" ]; then
	exit 0
fi

read -ra glib < <(pkg-config --cflags glib-2.0)
mkdir -p "$GM_BUILD/host"
# Warnings in QEMU's own headers are not ours to mend.
gcc -std=gnu11 -fPIC -shared -Wall -Wextra -Werror "${flags[@]}" -o "$out.tmp" \
	device.c regs.c memory.c walk.c tlb.c shoot.c fault.c engine.c command.c log.c \
	-isystem "$headers" -isystem "$headers/qapi" -isystem "$headers/include" \
	-isystem "$headers/linux-headers" "${glib[@]/#-I/-isystem}"
mv "$out.tmp" "$out"
echo "$inputs" >"$out.inputs"
