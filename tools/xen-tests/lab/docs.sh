#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# docs.sh: the documentation as a site, from Documentation/, the README files and the
# kernel-doc in the sources. A link that leads nowhere, a file that is named and is not
# there, or an exported function that the reference does not have, is an error.
#
# In:  the kernel's source (fetch.sh), for kernel-doc and its Sphinx extension
# Out: build/docs/html/index.html; it needs no network and no server

. "$(dirname "$0")/common.sh"

html=$GM_BUILD/docs/html
log=$GM_BUILD/logs/docs.log
export GM_KTREE=$GM_CACHE/tree/stock
mkdir -p "$GM_BUILD/docs" "${log%/*}"
lock docs "$GM_BUILD"

# A page is made again when what it is made of has changed. All are when what they are made
# with has, or the names of files, as pages name them.
recipe=$GM_BUILD/docs/recipe
names=$(cd "$GM_TOP" && find arch configs Documentation drivers include mm tools -type f | LC_ALL=C sort | sha256sum)
sum="$(sum_of "$GM_TOP"/Documentation/{conf.py,sphinx}) ${names%% *}"
[ "$(cat "$recipe" 2>/dev/null)" = "$sum" ] || rm -rf "$GM_BUILD/docs/doctrees" "$html"

# Debian's own, whatever other Python there is on the path
if ! /usr/bin/sphinx-build -q -W --keep-going -b html -d "$GM_BUILD/docs/doctrees" \
	"$GM_TOP/Documentation" "$html" >"$log" 2>&1; then
	sed "s|$GM_TOP/||g" "$log" | awk '!seen[$0]++' >&2
	# A page that was read is not read again, so neither would be its warning.
	rm -rf "$GM_BUILD/docs/doctrees"
	die "the documentation does not build (log: ${log#"$GM_TOP"/})"
fi
echo "$sum" >"$recipe"

# What the site's own index lists as functions, against what the sources export.
exported()
{
	grep -rhoE --include='*.c' '^EXPORT_SYMBOL(_GPL)?\([A-Za-z_0-9]+\)' \
		"$GM_TOP/mm" "$GM_TOP/drivers/xen" "$GM_TOP/arch" | sed 's/.*(//; s/)//' | LC_ALL=C sort -u
}
described()
{
	/usr/bin/python3 -m sphinx.ext.intersphinx "$html/objects.inv" |
		sed -n '/^c:function$/,/^[^[:space:]]/ s/^[[:space:]]\+\([A-Za-z_0-9]\+\).*/\1/p' |
		LC_ALL=C sort -u
}
described >"$GM_BUILD/docs/functions"
[ -s "$GM_BUILD/docs/functions" ] || die "docs: the API reference has no function at all"
missing=$(exported | LC_ALL=C comm -23 - "$GM_BUILD/docs/functions" | paste -sd ' ')
[ -z "$missing" ] ||
	die "the API reference lacks exported functions (Documentation/api, kernel-doc): $missing"
