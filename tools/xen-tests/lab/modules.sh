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
# what another one has compiled. A Kbuild file sees GM_KERNEL=ours, stock or debian.
#
# With KERNEL=debian the grant device is built, too, as the external module that it is there
# (packaging/module), and lies where the package for DKMS has it installed. Debian's own stays
# in its place.

. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/kbuild.sh"

tree=$GM_CACHE/tree/$GM_SOURCE
obj=$tree/build-$GM_FLAVOR$GM_OF_ARCH
kernel=$GM_BUILD/kernel/$GM_KERNEL$GM_OF_ARCH
src=$GM_TOP/tools/xen-tests/modules
work=$GM_CACHE/tree/modules-$GM_KERNEL$GM_OF_ARCH
out=$GM_BUILD/modules/$GM_KERNEL$GM_OF_ARCH

external=()
shared=tree
if [ "$GM_KERNEL" = debian ]; then
	shared=debian
	work=$GM_CACHE/debian/modules
	external=("$GM_TOP"/{packaging/module,drivers/xen/gntdev,include/xen,include/uapi/xen,include/trace})
fi
inputs="$(cat "$kernel/inputs") $(sum_of "$src" "$GM_SCRIPTS"/{modules,kbuild}.sh ${external[@]+"${external[@]}"})"
[ "$(cat "$out/inputs" 2>/dev/null)" = "$inputs" ] && exit 0

lock $shared
# Another checkout may have built its own kernel there since.
if [ "$GM_KERNEL" != debian ] && ! cmp -s "$obj/.grantmirror-inputs" "$kernel/inputs"; then
	rm -f "$kernel/inputs"
	"$GM_SCRIPTS/kernel.sh"
fi

names=()
fresh_dir "$work"
[ "$GM_KERNEL" != debian ] || "$GM_TOP/packaging/module/tree.sh" "$work"
for dir in "$src"/*/; do
	[ -e "$dir/Kbuild" ] || continue
	name=$(basename "$dir")
	names+=("$name")
	cp -r "$dir" "$work/$name"
	echo "obj-m += $name/" >>"$work/Kbuild"
done

tmp=$GM_BUILD/modules/tmp.$GM_KERNEL$GM_OF_ARCH
log=$tmp/build.log
fresh_dir "$tmp"
cp -a "$kernel/modules/lib" "$tmp/"
release=$(cat "$kernel/release")
depmod_symbols=(-F "$obj/System.map")

# What goes into lib/modules. kbuild's own modules_install would compress what is for Debian's.
install_modules()
{
	local ko dir

	if [ "$GM_KERNEL" != debian ]; then
		"${kmake[@]}" -s INSTALL_MOD_PATH="$tmp" INSTALL_MOD_STRIP=1 DEPMOD=true modules_install
		return
	fi
	find "$work" -name '*.ko' -print0 | while IFS= read -r -d '' ko; do
		dir=$tmp/lib/modules/$release/updates
		[ "${ko##*/}" != xen-gntdev.ko ] || dir+=/dkms
		mkdir -p "$dir"
		strip -g -o "$dir/${ko##*/}" "$ko"
	done
}

if [ "$GM_KERNEL" = debian ]; then
	kbuild_external "$kernel"
	depmod_symbols=(-E "$(realpath "$kernel/headers")/Module.symvers")
	say "gntdev as an external module of Debian's $release, and test modules: ${names[*]}"
else
	kbuild_in "$tree" "$obj"
	say "test modules ($GM_KERNEL): ${names[*]}"
fi
kmake+=(--no-print-directory M="$work" W=1e GM_KERNEL="$GM_SOURCE")
"${kmake[@]}" modules >"$log" 2>&1 </dev/null || {
	cat "$log" >&2
	die "a module does not build (tools/xen-tests/modules, KERNEL=$GM_KERNEL)"
}
install_modules >>"$log" 2>&1 || {
	cat "$log" >&2
	die "the modules cannot be installed"
}
# The index is made of all modules below.
PATH=$PATH:/sbin depmod -b "$tmp" "${depmod_symbols[@]}" -e "$release" >>"$log" 2>&1 || {
	cat "$log" >&2
	die "depmod failed"
}
if grep -q 'needs unknown symbol' "$log"; then
	grep 'needs unknown symbol' "$log" >&2
	die "a module needs what this kernel does not export (KERNEL=$GM_KERNEL)"
fi
echo "$inputs" >"$tmp/inputs"
rm -rf "$out"
mv "$tmp" "$out"
