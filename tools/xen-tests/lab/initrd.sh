#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# initrd.sh: pack what dom0 and the guests run on.
#
# In:  build/root (root.sh), build/kernel/<kernel> (kernel.sh), build/modules/<kernel>
#      (modules.sh), build/tests (the programs), configs/xl, tools/xen-tests/root
# Out: build/initrd/<kernel>.cpio: what has to follow the dom0 root in the
#      initial ram disk; boot.sh adds the job of a run.
# With GM_ARCH=arm64 all that build/ names here has -arm64 at its end.
#
# Appended archives are the cheap way: the kernel unpacks any number of them, so
# nothing of the 40 MB root is packed again for a changed test program.

. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/libraries.sh"

kernel=$GM_BUILD/kernel/$GM_KERNEL$GM_OF_ARCH
modules=$GM_BUILD/modules/$GM_KERNEL$GM_OF_ARCH/lib/modules
base=$GM_BUILD/root$GM_OF_ARCH/tree
tests=$GM_BUILD/tests$GM_OF_ARCH
root_files=$GM_TOP/tools/xen-tests/root
out=$GM_BUILD/initrd/$GM_KERNEL$GM_OF_ARCH.cpio
work=$GM_BUILD/initrd/tmp.$GM_KERNEL$GM_OF_ARCH

lock initrd "$GM_BUILD"
mkdir -p "$GM_BUILD/initrd"
stamp=$(sum_of "$GM_SCRIPTS"/{initrd,libraries}.sh "$kernel/vmlinux" "$modules" "$tests/bin" "$tests/suites" "$GM_TOP/configs/xl" "$root_files")-$(readlink "$GM_BUILD/root$GM_OF_ARCH")
[ -e "$out" ] && [ "$(cat "$out.stamp" 2>/dev/null)" = "$stamp" ] && exit 0
fresh_dir "$work"

pack() { (cd "$1" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet); }

# What every guest has; $1 = directory to fill
guest_root()
{
	mkdir -p "$1"/{bin,sbin,usr,dev,proc/xen,sys,tmp,root,mnt,gm/bin,lib}
	cp "$base/bin/busybox" "$1/bin/"
	while read -r name; do
		[ -e "$1/$name" ] && continue
		mkdir -p "$1/${name%/*}"
		ln -s /bin/busybox "$1/$name"
	done <"$base/../applets"
	# busybox's own would ask an init for it, and there is none.
	for name in poweroff reboot; do
		rm "$1/sbin/$name"
		printf '#!/bin/sh\nexec /bin/busybox %s -f\n' $name >"$1/sbin/$name"
		chmod +x "$1/sbin/$name"
	done
	mkdir -p "$1/usr/bin"
	cp "$base"/usr/bin/xenstore "$1/usr/bin/"
	for name in read write ls exists watch rm; do
		ln -s xenstore "$1/usr/bin/xenstore-$name"
	done
	cp "$base/usr/lib/xen-$GM_XEN_VERSION/bin/vchan-socket-proxy" "$1/usr/bin/"
	cp "$root_files/init.guest" "$1/init"
	cp -a "$modules" "$1/lib/"
	if [ -d "$tests/bin" ]; then
		cp -a "$tests/bin/." "$1/gm/bin/"
	fi
	add_libraries "$1" "$base" "$base/$GM_LIB"
}

say "packing programs and guest root"
mkdir -p "$work"/dom0/gm/{bin,suites,guest,xl} "$work"/dom0/{lib,etc/xen/scripts}

guest_root "$work/guest"
pack "$work/guest" | gzip -1 -n >"$work/dom0/gm/guest/initrd.gz"
if [ -d "$tests/suites" ]; then
	cp -a "$tests/suites" "$work/guest/gm/"
	cp -a "$tests/suites/." "$work/dom0/gm/suites/"
	add_libraries "$work/guest" "$base" "$base/$GM_LIB"
fi
pack "$work/guest" | gzip -1 -n >"$work/dom0/gm/guest/initrd-driver.gz"

cp "$kernel/vmlinux" "$work/dom0/gm/guest/"
# For HVM guests; there are none on arm64.
[ ! -e "$kernel/bzImage" ] || cp "$kernel/bzImage" "$work/dom0/gm/guest/"
cp -a "$modules" "$work/dom0/lib/"
if [ -d "$tests/bin" ]; then
	cp -a "$tests/bin/." "$work/dom0/gm/bin/"
fi
cp "$GM_TOP"/configs/xl/*.cfg "$work/dom0/gm/xl/"
cp "$root_files/init.dom0" "$work/dom0/init"
[ ! -e "$root_files/job.sh" ] || cp "$root_files/job.sh" "$work/dom0/gm/"
for name in block vif-bridge; do
	cp "$root_files/hotplug.sh" "$work/dom0/etc/xen/scripts/$name"
done
pack "$work/dom0" >"$work/cpio"
mv "$work/cpio" "$out"
echo "$stamp" >"$out.stamp"
rm -rf "$work"
