#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# overlay.sh [TREE]: lay our kernel files over a Linux 6.12 source tree.
#
#   - Our files lie at kernel-relative paths and are copied. rsync compares
#     contents and sets new times: a file that did not change is not touched (it
#     would be rebuilt), one that did is never older than its object (it would
#     not be rebuilt).
#   - NAME.append next to one of the kernel's own files (Makefile, Kconfig) holds
#     lines for the end of that file. They are kept between two marks and are
#     exchanged as a block.
#   - A file that has left the overlay leaves the tree too, and what it had
#     replaced comes back: .grantmirror/ in the tree has the list of our files
#     and the originals of those that we replaced.
#
# So running it twice is the same as running it once, whatever came between.

. "$(dirname "$0")/common.sh"

tree=${1:-$GM_CACHE/tree/ours}
parts=(include mm drivers arch lib)
begin='# grantmirror: begin (written by overlay.sh, do not edit)'
end='# grantmirror: end'

command -v rsync >/dev/null || die "rsync is missing; install it: apt-get install rsync"
[ -d "$tree" ] || die "KSRC: there is no directory $tree"
tree=$(cd "$tree" && pwd)

kernel_version()
{
	sed -n -e 's/^VERSION = //p' -e 's/^PATCHLEVEL = //p' "$tree/Makefile" |
		head -n 2 | paste -sd .
}

if [ ! -e "$tree/Makefile" ] || [ ! -e "$tree/Kbuild" ] || [ ! -d "$tree/mm" ]; then
	die "KSRC: $tree is not a kernel source tree"
fi
version=$(kernel_version)
[ "$version" = "$GM_KVERSION" ] ||
	die "KSRC: $tree is Linux $version; this overlay is for Linux $GM_KVERSION only"

[ "$tree" != "$GM_CACHE/tree/ours" ] || lock tree

state=$tree/.grantmirror
work=$state/tmp
mkdir -p "$state/original"
fresh_dir "$work"

# -- what the tree shall look like ---------------------------------------------

cd "$GM_TOP"
for part in "${parts[@]}"; do
	[ ! -d "$part" ] || find "$part" -type f ! -name '*~' ! -name '*.orig' ! -name '.*'
done | LC_ALL=C sort >"$work/all"
grep -v '\.append$' "$work/all" >"$work/files" || true
sed -n 's/\.append$//p' "$work/all" >"$work/appended"
if [ ! -s "$work/all" ]; then
	note "the overlay is empty: the tree stays as it is"
fi

# -- what has left the overlay ----------------------------------------------------

touch "$state/manifest"
LC_ALL=C sort "$work/files" "$work/appended" >"$work/manifest"
# The new names go into the list first: should this run be interrupted, the next
# one still knows of every file that may have been changed.
LC_ALL=C sort -u "$state/manifest" "$work/manifest" >"$work/union"

without_block() { sed "/^$begin\$/,/^$end\$/d" "$1"; }

restore()
{
	if [ -e "$state/original/$1" ]; then
		rsync -c "$state/original/$1" "$tree/$1"
		rm "$state/original/$1"
	elif grep -qxF "$begin" "$tree/$1" 2>/dev/null; then
		without_block "$tree/$1" >"$work/new"
		mv "$work/new" "$tree/$1"
	else
		rm -f "$tree/$1"
		# Directories that only we had.
		(cd "$tree" && rmdir -p --ignore-fail-on-non-empty "${1%/*}" 2>/dev/null) || true
	fi
}

LC_ALL=C comm -23 "$state/manifest" "$work/manifest" |
while read -r name; do
	restore "$name"
done

# -- keep the originals of what we replace ----------------------------------------

LC_ALL=C comm -13 "$state/manifest" "$work/files" |
while read -r name; do
	if [ -e "$tree/$name" ] && [ ! -e "$state/original/$name" ]; then
		mkdir -p "$state/original/${name%/*}"
		cp -p "$tree/$name" "$state/original/$name.tmp"
		mv "$state/original/$name.tmp" "$state/original/$name"
	fi
done
cp "$work/union" "$state/manifest.tmp"
mv "$state/manifest.tmp" "$state/manifest"

# -- lay it over --------------------------------------------------------------------

rsync -rc --files-from="$work/files" "$GM_TOP/" "$tree/"

while read -r name; do
	[ -e "$tree/$name" ] ||
		die "$name.append: the kernel has no $name to append to"
	{
		without_block "$tree/$name"
		echo "$begin"
		cat "$GM_TOP/$name.append"
		echo "$end"
	} >"$work/new"
	cmp -s "$work/new" "$tree/$name" || mv "$work/new" "$tree/$name"
done <"$work/appended"

mv "$work/manifest" "$state/manifest"
note "overlay: $(wc -l <"$work/files") files, lines appended to $(wc -l <"$work/appended"), in $tree"
rm -rf "$work"
