#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# report.sh: the comparison page, build/report/index.html, one file that needs nothing else
# (tools/xen-tests/report/report.py says what it is made of). Labs of which no figures are
# kept are measured first, as `make bench` does; with FRESH=1 all are.
#
# In: LAB, only measure this one; ROUNDS

. "$(dirname "$0")/common.sh"

report=("$GM_TOP/tools/xen-tests/report/report.py" --build "$GM_BUILD"
	--targets "$GM_TOP/tools/xen-tests/bench/targets")

# measure LAB: that a target is missed is what the page is for; that there are no figures
# is not.
measure()
{
	local before after

	before=$(newest)
	LAB=$1 TEST='' KNOWN=ok make --no-print-directory -C "$GM_TOP" bench || true
	after=$(newest)
	[ "$before" != "$after" ] || die "lab $1 could not be measured (see above)"
}

newest() { find "$GM_BUILD/bench" -name '*Z.json' 2>/dev/null | LC_ALL=C sort | tail -n 1; }

missing=$("${report[@]}" --unmeasured)
if [ "${FRESH:-}" = 1 ]; then
	missing=$(awk -F'|' '!/^#/ && !/^plot/ && NF >= 6 { print $2 }' \
		"$GM_TOP/tools/xen-tests/bench/targets" | LC_ALL=C sort -u | paste -sd ' ')
fi
for lab in $missing; do
	[ "${LAB:-$lab}" = "$lab" ] || continue
	measure "$lab"
done
"${report[@]}"
note "build/report/index.html, $(($(stat -c %s "$GM_BUILD/report/index.html") / 1024)) KiB"
