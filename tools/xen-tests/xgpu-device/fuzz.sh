#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# fuzz.sh: a malicious driver against the GPU's model in QEMU, with AddressSanitizer and UBSan
# in the model. Exit status 0: QEMU survived all of it; else the seed is told that repeats it.
#
# Environment: TIME, seconds (600); SEED, the first one (from the clock);
# GM_XGPU, another library than build/host/xgpu-asan.so.

. "$(dirname "$0")/../lab/common.sh"

here=$GM_TOP/tools/xen-tests/xgpu-device
log=$GM_BUILD/logs/xgpu-device
"$here/build.sh" asan
"$here/build.sh" tests
mkdir -p "$log"
cd "$GM_BUILD"

# The library of the sanitizer has to be the first that QEMU loads. Leaks are QEMU's own at an
# end by signal. QEMU's coroutines have stacks of their own, and handlers an alternate one.
GM_LIBASAN=$(gcc -print-file-name=libasan.so)
export GM_LIBASAN GM_XGPU=${GM_XGPU:-host/xgpu-asan.so} GM_QTEST_ACCEL=host/qtest-accel.so
export ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0:abort_on_error=1:use_sigaltstack=0
export UBSAN_OPTIONS=print_stacktrace=1

seed=${SEED:-$EPOCHSECONDS}
say "fuzzing the GPU's model for ${TIME:-600} s, from seed $seed (log: build/logs/xgpu-device/fuzz.log)"
rc=0
host/xgpu-fuzz -i -s "$seed" -t "${TIME:-600}" 2>logs/xgpu-device/fuzz.log || rc=$?
if [ $rc != 0 ]; then
	grep -vE 'vtd_|ault|Interrupt Mask|re-entrant|swapcontext|False positive|For details' \
		logs/xgpu-device/fuzz.log | tail -n 40 >&2
fi
exit $rc
