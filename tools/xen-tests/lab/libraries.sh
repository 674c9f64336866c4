# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Shared libraries for a root directory, found by what the files themselves say: the
# programs may be for another processor, whose linker cannot be asked here. Sourced after
# common.sh, never run.

# add_libraries ROOT FROM WHERE...: into ROOT all libraries that programs and libraries in
# ROOT need, and those that these need, each from the first directory WHERE that has it;
# and the loader of the root directory FROM.
add_libraries()
{
	local root=$1 from=$2 queue=() next name dir

	shift 2
	mkdir -p "$root/$GM_LIB" "$root/${GM_LOADER%/*}"
	cp -Ln "$from/$GM_LOADER" "$root/${GM_LOADER%/*}/"
	mapfile -t queue < <(find "$root" -path "$root/lib/modules" -prune -o \
		-type f \( -perm /1 -o -name '*.so*' \) -print)
	while [ ${#queue[@]} -gt 0 ]; do
		next=()
		# What is no ELF file it says on its standard error.
		while read -r name; do
			[ ! -e "$root/$GM_LIB/$name" ] || continue
			[ "$name" != "${GM_LOADER##*/}" ] || continue
			for dir; do
				[ ! -e "$dir/$name" ] || break
			done
			[ -e "$dir/$name" ] ||
				die "there is no $name in dom0's Debian packages, which a program of the lab needs"
			cp -L "$dir/$name" "$root/$GM_LIB/"
			next+=("$root/$GM_LIB/$name")
		done < <(readelf -dW "${queue[@]}" 2>/dev/null |
			sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort -u)
		queue=(${next[@]+"${next[@]}"})
	done
}
