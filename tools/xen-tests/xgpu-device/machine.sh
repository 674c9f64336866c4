#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# machine.sh PROGRAM...: what labrun runs in place of a machine that boots: test programs on
# this computer, each of which starts its own QEMU. TEST selects one test.

for arg; do
	shift
	case $arg in
	socket,id=gm,fd=*) fd=${arg##*=} ;;
	*/*)	set -- "$@" "$arg" ;;
	esac
done
exec 3>&"$fd"

echo "@@ boot 1" >&3
echo "@@ ready 0 QEMU is" >&3
failed=0
for prog; do
	[ -z "${TEST:-}" ] || "$prog" -l 2>&1 | grep -q "[[:space:]]${TEST##*.}\$" || continue
	name=xgpu-device/${prog##*/}
	echo "@@ begin $name" >&3
	rc=0
	# What QEMU itself says (stderr) is the console's.
	"$prog" ${TEST:+-t "${TEST##*.}"} >&3 || rc=$?
	[ $rc = 0 ] || failed=1
	echo "@@ end $name $rc" >&3
done
echo "@@ done $failed" >&3
