# SPDX-License-Identifier: GPL-2.0-only
#
# bench-plot.awk: the data of one plot.
#
#   awk -F, -v lab=bench -v prefix=storm.read. -f bench-plot.awk figures.csv
#
# "# UNIT", then a line for each row: what follows the prefix, and of stock and of ours
# the p50, p99 and max of the last round; "?" for what was not taken.

$1 == lab && index($4, prefix) == 1 {
	name = substr($4, length(prefix) + 1)
	if (!(name in seen)) {
		seen[name]
		order[++n] = name
	}
	unit = $5
	data[$2, name] = $8 " " $9 " " $10
}

function of(kernel, name)
{
	return ((kernel, name) in data) ? data[kernel, name] : "? ? ?"
}

END {
	if (!n)
		exit
	print "# " (unit == "ticks" ? "instructions" : unit)
	for (i = 1; i <= n; i++)
		print "\"" order[i] "\"", of("stock", order[i]), of("ours", order[i])
}
