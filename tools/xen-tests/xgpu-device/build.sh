#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# build.sh device|asan|tests: build, if a source has changed since, in build/host
#   device  xgpu.so, the model of the xgpu device for the QEMU that is installed
#   asan    xgpu-asan.so, the same with AddressSanitizer and UBSan, for the fuzzer
#   tests   qtest-accel.so, which gives that QEMU its accelerator "qtest", and xgpu-tests/,
#           the programs of suite xgpu-device, and xgpu-fuzz

. "$(dirname "$0")/../lab/common.sh"
. "$(dirname "$0")/headers.sh"

cd "$(dirname "$0")"
what=${1:-device}
host=$GM_BUILD/host

version=$(dpkg-query -W -f '${source:Version}' qemu-system-x86) ||
	die "the package qemu-system-x86 is not installed: make setup"
headers=$GM_CACHE/qemu/${version//[^0-9a-zA-Z.+]/_}
if [ ! -e "$headers/config-host.h" ]; then
	lock qemu
	[ -e "$headers/config-host.h" ] || make_headers "$headers" "$version"
fi

inputs="$version $(sum_of . "$GM_TOP/drivers/xen/xgpu/xgpu_hw.h")"
mkdir -p "$host"
lock xgpu "$host"
[ "$(cat "$host/xgpu.$what" 2>/dev/null)" != "$inputs" ] || exit 0

# library OUT FLAG-OR-SOURCE...: warnings in QEMU's own headers are not ours to mend.
library()
{
	local out=$1 glib

	shift
	read -ra glib < <(pkg-config --cflags glib-2.0)
	gcc -std=gnu11 -fPIC -shared -Wall -Wextra -Werror -o "$out.tmp" "$@" \
		-isystem "$headers" -isystem "$headers/qapi" -isystem "$headers/include" \
		-isystem "$headers/linux-headers" "${glib[@]/#-I/-isystem}"
	mv "$out.tmp" "$out"
}

model=(device.c regs.c memory.c walk.c tlb.c shoot.c fault.c engine.c command.c log.c)
case $what in
device)
	library "$host/xgpu.so" -O2 "${model[@]}" ;;
asan)
	library "$host/xgpu-asan.so" -O1 -g -fno-omit-frame-pointer \
		-fsanitize=address,undefined -fno-sanitize-recover=undefined "${model[@]}" ;;
tests)
	library "$host/qtest-accel.so" -O2 qtest-accel.c
	fresh_dir "$host/xgpu-tests"
	for src in test/*.c; do
		name=$(basename "$src" .c)
		case $name in
		gpu | qtest) continue ;;
		esac
		gcc -std=gnu11 -O1 -Wall -Wextra -Werror -D_GNU_SOURCE \
			-isystem "$GM_CACHE/tree/stock/tools/testing/selftests" \
			-o "$host/xgpu-tests/$name" "$src" test/gpu.c test/qtest.c
	done
	gcc -std=gnu11 -O1 -Wall -Wextra -Werror -D_GNU_SOURCE -o "$host/xgpu-fuzz" \
		fuzz/fuzz.c test/gpu.c test/qtest.c ;;
*)	die "build.sh: there is no '$what'" ;;
esac
echo "$inputs" >"$host/xgpu.$what"
