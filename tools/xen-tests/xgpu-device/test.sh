#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# test.sh: suite xgpu-device, the tests of the GPU's model without a guest: programs on this
# computer (test/*.c) that drive a QEMU without a processor. Results are those of a lab,
# build/results/xgpu-device. TEST selects one test.
#
# Environment: GM_XGPU, another library than build/host/xgpu.so to test.

. "$(dirname "$0")/../lab/common.sh"

here=$GM_TOP/tools/xen-tests/xgpu-device
log=$GM_BUILD/logs/xgpu-device
results=$GM_BUILD/results/xgpu-device

"$here/build.sh" device
"$here/build.sh" tests
mkdir -p "$log" "$results"
rm -rf "${results:?}"/*
: >"$log/console.log"

# LD_PRELOAD cannot have blanks or colons, which the path of the checkout may have.
cd "$GM_BUILD"
export GM_XGPU=${GM_XGPU:-host/xgpu.so} GM_QTEST_ACCEL=host/qtest-accel.so
optional=()
[ -z "${TEST:-}" ] || optional=(--may-be-empty)
# shellcheck disable=SC2094 # labrun looks at what they say there when they have ended
exec host/labrun ${optional[@]+"${optional[@]}"} --mode test --name xgpu-device \
	--console logs/xgpu-device/console.log --log logs/xgpu-device \
	--results results/xgpu-device --silence 60 --total 600 -- \
	"$here/machine.sh" host/xgpu-tests/* 2>>logs/xgpu-device/console.log
