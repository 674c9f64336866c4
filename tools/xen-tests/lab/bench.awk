# SPDX-License-Identifier: GPL-2.0-only
#
# bench.awk: tables of the figures, with what was to be reached.
#
#   awk -v csv=table.csv [-v some=1] -f bench.awk targets figures.csv
#
# some: only a part was measured; the rest is left out, where else it is "not measured".
#
# A figure of a kernel is the median of its rounds; a ratio is taken in each round, and
# the table has the median of these, with the smallest and largest where they differ.

function trim(s)
{
	gsub(/^[ \t]+|[ \t]+$/, "", s)
	return s
}

# Of values[1..n]; sorts them.
function median(values, n,    i, j, t)
{
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && values[j - 1] > values[j]; j--) {
			t = values[j]
			values[j] = values[j - 1]
			values[j - 1] = t
		}
	return n % 2 ? values[(n + 1) / 2] : (values[n / 2] + values[n / 2 + 1]) / 2
}

# figure("bench", "ours", "quiet.0", "p50"): "" if it was not taken
function figure(lab, kernel, row, which,    r, n, v)
{
	n = 0
	for (r = 1; r <= rounds; r++)
		if ((lab, kernel, r, row, which) in value)
			v[++n] = value[lab, kernel, r, row, which]
	return n ? median(v, n) : ""
}

# Sets ratio_min and ratio_max, too; "" if there is none.
function ratio(lab, row, which,    r, n, v, o, s)
{
	n = 0
	for (r = 1; r <= rounds; r++) {
		if (!((lab, "ours", r, row, which) in value) ||
		    !((lab, "stock", r, row, which) in value))
			continue
		o = value[lab, "ours", r, row, which]
		s = value[lab, "stock", r, row, which]
		if (s)
			v[++n] = o / s
	}
	if (!n)
		return ""
	o = median(v, n)
	ratio_min = v[1]
	ratio_max = v[n]
	return o
}

# Did it go on for longer than was measured?
function cut_off(kernel, lab, row, which)
{
	return ((lab, kernel, row) in was_cut) &&
		figure(lab, kernel, row, which) == figure(lab, kernel, row, "max")
}

function compare(a, op, b)
{
	return op == "<=" ? a <= b : a >= b
}

# "met", "missed", or "" if it cannot be said
function judge(rule, lab, row, which,    w, v, limit)
{
	split(rule, w, " ")
	limit = w[3]
	if (w[1] == "ratio") {
		v = ratio(lab, row, which)
	} else if (w[1] == "ours") {
		v = figure(lab, "ours", row, which)
		if (w[4] == "of") {
			if (figure(lab, "ours", w[5], which) == "")
				return ""
			limit *= figure(lab, "ours", w[5], "p50")
		}
	} else if (w[1] == "more") {
		v = figure(lab, "ours", row, which)
		if (v == "" || figure(lab, "stock", row, which) == "")
			return ""
		v -= figure(lab, "stock", row, which)
	} else {
		printf "targets: %s: not a rule: %s\n", row, rule >"/dev/stderr"
		exit 1
	}
	if (v == "")
		return ""
	return compare(v, w[2], limit) ? "met" : "missed"
}

function number(v, unit)
{
	if (v == "")
		return "-"
	if (unit == "ns") {
		if (v >= 1e9)
			return sprintf("%.2f s", v / 1e9)
		if (v >= 1e6)
			return sprintf("%.2f ms", v / 1e6)
		if (v >= 1e3)
			return sprintf("%.1f us", v / 1e3)
		return sprintf("%d ns", v)
	}
	if (unit == "ops/s")
		return sprintf("%.1f k/s", v / 1e3)
	if (unit == "ticks/kpage")
		return sprintf(v < 100000 ? "%.2f instr./page" : "%.0f instr./page", v / 1000)
	if (unit == "ticks")
		return sprintf("%d instr.", v)
	return sprintf("%d %s", v, unit)
}

function ratio_text(r, cut,    digits)
{
	if (r == "")
		return "-"
	digits = r < 0.01 ? "%.1e" : "%.3f"
	if (sprintf(digits, ratio_min) == sprintf(digits, ratio_max))
		return (cut ? "< " : "") sprintf(digits, r)
	return (cut ? "< " : "") sprintf(digits " (" digits " to " digits ")", r, ratio_min, ratio_max)
}

function line(row, lab, which, rule, aim, what,    unit, s, o, r, cut, verdict, aimed)
{
	unit = units[lab, row]
	s = figure(lab, "stock", row, which)
	o = figure(lab, "ours", row, which)
	r = ratio(lab, row, which)
	cut = cut_off("stock", lab, row, which)
	if (some && s == "" && o == "")
		return
	if (heading != "") {
		print "\n## " heading "\n"
		print "| what | row | stock | ours | ours : stock | target | |"
		print "|---|---|---:|---:|---:|---|---|"
		heading = ""
	}
	verdict = rule == "-" ? "" : judge(rule, lab, row, which)
	if (rule != "-" && verdict == "")
		verdict = "not measured"
	if (verdict == "met")
		met++
	else if (verdict == "missed")
		missed++
	aimed = aim == "-" ? "" : judge(aim, lab, row, which)
	r = ratio(lab, row, which)
	printf "| %s | `%s` %s | %s%s | %s%s | %s | %s%s | %s%s |\n", what, row, which,
		cut ? "more than " : "", number(s, unit),
		cut_off("ours", lab, row, which) ? "more than " : "", number(o, unit),
		ratio_text(r, cut), rule == "-" ? "" : rule, aim == "-" ? "" : " (aim: " aim ")",
		verdict == "missed" ? "**missed**" : verdict, aimed == "" ? "" : "; aim " aimed
	printf "%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s\n", lab, row, which, unit, s, o, r,
		r == "" ? "" : ratio_min, r == "" ? "" : ratio_max, rule == "-" ? "" : rule,
		verdict >csv
}

BEGIN {
	print "lab,row,figure,unit,stock,ours,ratio,ratio_min,ratio_max,target,verdict" >csv
}

# The targets, kept until the figures are known
FNR == NR {
	if (/^==/ || (!/^#/ && split($0, f, "|") == 6))
		targets[++nr_targets] = $0
	next
}

FNR == 1 { next }

{
	split($0, f, ",")
	units[f[1], f[4]] = f[5]
	value[f[1], f[2], f[3], f[4], "min"] = f[7]
	value[f[1], f[2], f[3], f[4], "p50"] = f[8]
	value[f[1], f[2], f[3], f[4], "p99"] = f[9]
	value[f[1], f[2], f[3], f[4], "max"] = f[10]
	if (f[11])
		was_cut[f[1], f[2], f[4]]
	if (f[3] > rounds)
		rounds = f[3]
}

END {
	for (i = 1; i <= nr_targets; i++) {
		if (targets[i] ~ /^==/) {
			heading = trim(substr(targets[i], 3))
			continue
		}
		split(targets[i], f, "|")
		line(trim(f[1]), trim(f[2]), trim(f[3]), trim(f[4]), trim(f[5]), trim(f[6]))
	}
	printf "\n%d targets met, %d missed.\n", met, missed
}
