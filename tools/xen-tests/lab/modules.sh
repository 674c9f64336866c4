#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# modules.sh: build the test modules, tools/xen-tests/modules/NAME/ (each with a
# Kbuild file), against the kernel of the lab, with the compiler's extra warnings
# as errors.
#
# In:  build/kernel/$KERNEL (kernel.sh), the tree and the objects it was built from
# Out: build/modules/$KERNEL/lib/modules: the kernel's modules and ours, with their
#      index (depmod), as they go into dom0 and the guests
#
# They are built beside the kernel tree: kbuild takes no path with a blank in it,
# which the checkout's may have, and one path for all checkouts lets ccache find
# what another one has compiled. A Kbuild file sees GM_KERNEL=ours or stock.

. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/kbuild.sh"

tree=$GM_CACHE/tree/$GM_SOURCE
obj=$tree/build-$GM_FLAVOR$GM_OF_ARCH
kernel=$GM_BUILD/kernel/$GM_KERNEL$GM_OF_ARCH
src=$GM_TOP/tools/xen-tests/modules
work=$GM_CACHE/tree/modules-$GM_KERNEL$GM_OF_ARCH
out=$GM_BUILD/modules/$GM_KERNEL$GM_OF_ARCH

inputs="$(cat "$kernel/inputs") $(sum_of "$src" "$GM_SCRIPTS"/{modules,kbuild}.sh)"
[ "$(cat "$out/inputs" 2>/dev/null)" = "$inputs" ] && exit 0

lock tree
# Another checkout may have built its own kernel there since.
if ! cmp -s "$obj/.grantmirror-inputs" "$kernel/inputs"; then
	rm -f "$kernel/inputs"
	"$GM_SCRIPTS/kernel.sh"
fi

names=()
fresh_dir "$work"
for dir in "$src"/*/; do
	[ -e "$dir/Kbuild" ] || continue
	name=$(basename "$dir")
	names+=("$name")
	cp -r "$dir" "$work/$name"
	echo "obj-m += $name/" >>"$work/Kbuild"
done

tmp=$GM_BUILD/modules/tmp.$GM_KERNEL$GM_OF_ARCH
fresh_dir "$tmp"
cp -a "$kernel/modules/lib" "$tmp/"
if [ ${#names[@]} -gt 0 ]; then
	say "test modules ($GM_KERNEL): ${names[*]}"
	release=$(cat "$kernel/release")
	log=$tmp/build.log
	kbuild_in "$tree" "$obj"
	kmake+=(--no-print-directory M="$work" W=1e GM_KERNEL="$GM_SOURCE")
	"${kmake[@]}" modules >"$log" 2>&1 </dev/null || {
		cat "$log" >&2
		die "a test module does not build (tools/xen-tests/modules, KERNEL=$GM_KERNEL)"
	}
	# The index is made of all modules below.
	"${kmake[@]}" -s INSTALL_MOD_PATH="$tmp" INSTALL_MOD_STRIP=1 DEPMOD=true \
		modules_install >>"$log" 2>&1 || {
		cat "$log" >&2
		die "modules_install of the test modules failed"
	}
	PATH=$PATH:/sbin depmod -b "$tmp" -F "$obj/System.map" -e "$release" >>"$log" 2>&1 || {
		cat "$log" >&2
		die "depmod failed"
	}
	if grep -q 'needs unknown symbol' "$log"; then
		grep 'needs unknown symbol' "$log" >&2
		die "a module needs what this kernel does not export (KERNEL=$GM_KERNEL)"
	fi
fi
echo "$inputs" >"$tmp/inputs"
rm -rf "$out"
mv "$tmp" "$out"
