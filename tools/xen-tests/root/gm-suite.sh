#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
#
# gm-suite SUITE: run the programs of a suite in the order of their names, each
# framed for the host. Runs where the tests run: in dom0, or in a driver domain.
#
# gm-suite --has-test SUITE: would it run anything?
#
# In: GM_DOMID, the granting guest; GM_TEST, only the tests of this name.

if [ "$1" = --has-test ]; then
	only_look=1
	shift
fi
suite=$1
# A name as it is in the results, FIXTURE.VARIANT.TEST, stands for its last part.
only=${GM_TEST##*.}

# The harness runs a program without a match, too, as an empty plan.
has_test()
{
	[ -z "$only" ] || "$1" -l 2>&1 | grep -q "[[:space:]]$only\$"
}

# Looking: none found yet. Running: none failed yet.
failed=${only_look:-0}
for prog in /gm/suites/"$suite"/*; do
	[ -x "$prog" ] || continue
	has_test "$prog" || continue
	[ -z "$only_look" ] || exit 0
	name=$suite/${prog##*/}
	echo "@@ begin $name"
	if [ -n "$only" ]; then
		"$prog" -t "$only"
	else
		"$prog"
	fi
	rc=$?
	# 4: it could not run here, and said so.
	[ $rc = 0 ] || [ $rc = 4 ] || failed=1
	echo "@@ end $name $rc"
done
exit "$failed"
