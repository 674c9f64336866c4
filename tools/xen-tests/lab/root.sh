#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# root.sh: cut a dom0 root out of Debian packages.
#
# Result: $GM_CACHE/root/<key>/{root.cpio,xen}: an uncompressed newc archive
# (TCG is slow at decompressing, the file only crosses the host's page cache)
# with the Xen tools, the device-model QEMU and the closure of their shared
# libraries, and the hypervisor as an ELF file. The key is a checksum of the
# recipe, so the root is cut again only when the recipe changes. The path of the
# result is left in build/root (a symbolic link), or build/root-arm64.
#
# For another processor than this machine's, apt gets lists of its own, and the result
# has sdk/ besides: what the test programs are compiled and linked with.
#
# No root rights, no debootstrap: packages are downloaded and unpacked only.

. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/packages.sh"
. "$(dirname "$0")/libraries.sh"

KEY=$({ sum_of "$GM_SCRIPTS"/{root,libraries}.sh; echo "$GM_DOM0_PACKAGES$GM_DOM0_SKIP"; } | sha256sum | cut -c1-12)
OUT=$GM_CACHE/root/$KEY$GM_OF_ARCH

link_result()
{
	mkdir -p "$GM_BUILD"
	ln -sfn "$OUT" "$GM_BUILD/root$GM_OF_ARCH"
	touch "$OUT"
}

[ -e "$OUT/root.cpio" ] && { link_result; exit 0; }
lock root
[ -e "$OUT/root.cpio" ] && { link_result; exit 0; }

started=$SECONDS
work=$GM_CACHE/root/tmp
pool=$work/pool
fresh_dir "$work"
mkdir -p "$work/debs/partial" "$pool"
# Roots of earlier recipes that no checkout has asked for in a month
find "$GM_CACHE/root" -mindepth 1 -maxdepth 1 -mtime +30 -exec rm -rf {} +

apt_options=(-o Dir::State::status=/dev/null -o "Dir::Cache::archives=$work/debs")
# The package lists of this machine have only its own kind.
foreign_lists()
{
	[ "$(dpkg --print-architecture)" != $GM_DEBIAN_ARCH ] || return 0
	mkdir -p "$work/lists/partial" "$work/cache"
	apt_options+=(-o "APT::Architecture=$GM_DEBIAN_ARCH" -o "APT::Architectures=$GM_DEBIAN_ARCH"
		-o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache")
	note "fetching the package lists for $GM_DEBIAN_ARCH (about 10 MB)"
	apt-get "${apt_options[@]}" update >"$work/apt.log" 2>&1 || {
		cat "$work/apt.log" >&2
		note "apt-get update for $GM_DEBIAN_ARCH reported errors; going on with what there is"
	}
}

download()
{
	local names

	say "dom0 root ($GM_ARCH): downloading Debian packages (about 25 MB)"
	foreign_lists
	# Against an empty dpkg status, so that the answer does not depend on
	# what happens to be installed here.
	# shellcheck disable=SC2086 # a list of names
	names=$(apt-get "${apt_options[@]}" install -y --no-install-recommends --print-uris \
			$GM_DOM0_PACKAGES 2>"$work/apt.log" |
		sed -n "s/^'[^']*' \([^ _]*\)_.*/\1/p" |
		grep -vE "$GM_DOM0_SKIP" | sort -u) || {
		cat "$work/apt.log" >&2
		die "apt cannot resolve the packages of dom0 (see above); is this Debian 12 with working sources?"
	}
	# shellcheck disable=SC2086 # a list of names
	(cd "$work/debs" && apt-get "${apt_options[@]}" download $names) >"$work/apt.log" 2>&1 || {
		cat "$work/apt.log" >&2
		die "the download of dom0's packages failed (see above)"
	}
	for deb in "$work"/debs/*.deb; do
		dpkg-deb -x "$deb" "$pool"
	done
	(cd "$work/debs" && ls ./*.deb) | sed 's|^\./||' >"$work/packages.txt"
	list_applets
}

# What busybox has, by path. For another processor the same version for this one says it.
list_applets()
{
	local busybox=$pool/bin/busybox

	if ! "$busybox" true 2>/dev/null; then
		(cd "$work" && apt-get download busybox-static && dpkg-deb -x busybox-static_*.deb native) \
			>"$work/apt.log" 2>&1 || {
			cat "$work/apt.log" >&2
			die "the download of busybox-static for this machine failed (see above)"
		}
		busybox=$work/native/bin/busybox
	fi
	"$busybox" --list-full >"$work/applets"
}

# into DIR FILE...: copy what is there of the named files in the pool, following
# symbolic links (Debian's firmware directories are full of them).
into()
{
	local dir=$root$1 f

	shift
	mkdir -p "$dir"
	for f; do
		[ -e "$pool$f" ] || die "dom0 root: no $f in Debian's packages any more"
		cp -L "$pool$f" "$dir/"
	done
}

# Shell and modules. The links are made here: three hundred of them take a
# noticeable time at boot under TCG.
basics()
{
	local t

	into /bin /bin/busybox
	while read -r t; do
		[ -e "$root/$t" ] && continue
		mkdir -p "$root/${t%/*}"
		ln -s /bin/busybox "$root/$t"
	done <"$work/applets"
	into /usr/bin /bin/kmod
	for t in modprobe insmod rmmod lsmod depmod; do
		ln -sf /usr/bin/kmod "$root/sbin/$t"
	done
}

xen_tools()
{
	local lib=/usr/lib/xen-$GM_XEN_VERSION/bin t
	local commands=(xl xentop xen-diag xenctx vchan-socket-proxy)

	# Debian's packages for arm64 lack it.
	[ "$GM_ARCH" != x86 ] || commands+=(lsevtchn)
	for t in "${commands[@]}" xenstored xenconsoled xenconsole xen-init-dom0 \
		 libxl-save-helper xentrace xenstore-control; do
		into "$lib" "$lib/$t"
	done
	mkdir -p "$root/usr/sbin"
	for t in "${commands[@]}"; do
		ln -s "..${lib#/usr}/$t" "$root/usr/sbin/$t"
	done
	into /usr/bin /usr/bin/xenstore
	for t in chmod exists list ls read rm watch write; do
		ln -s xenstore "$root/usr/bin/xenstore-$t"
	done
	into /etc/xen /etc/xen/xl.conf
}

# The device model, which libxl also starts as backend of a qdisk, and what an HVM guest needs
# besides: firmware, and what loads its kernel. QEMU insists on its key map.
device_model()
{
	local qemu=/usr/share/qemu

	[ "$GM_ARCH" = x86 ] || return 0
	into /usr/libexec /usr/libexec/xen-qemu-system-i386
	into $qemu/keymaps $qemu/keymaps/en-us
	into $qemu $qemu/{linuxboot,linuxboot_dma,pvh}.bin
	into /usr/share/seabios /usr/share/seabios/bios-256k.bin
	into "/usr/lib/xen-$GM_XEN_VERSION/boot" "/usr/lib/xen-$GM_XEN_VERSION/boot/hvmloader"
}

# Everything that a program or library in the root is linked against, and every
# library of Xen, for the test programs.
libraries()
{
	mkdir -p "$root/$GM_LIB" "$root/usr/lib"
	ln -s "../../$GM_LIB" "$root/usr/$GM_LIB"
	cp -a "$pool/usr/$GM_LIB"/libxen*.so.* "$root/$GM_LIB/"
	add_libraries "$root" "$pool" "$pool/$GM_LIB" "$pool/usr/$GM_LIB"
	# The test programs link against it.
	cp -Ln "$pool/$GM_LIB/libgcc_s.so.1" "$root/$GM_LIB/"
}

# Headers of libxen-dev, and libraries as the linker wants them. The C library's are
# installed together with the compiler.
sdk()
{
	[ -d "$pool/usr/include" ] || return 0
	mkdir -p "$work/out/sdk/lib"
	cp -a "$pool/usr/include" "$work/out/sdk/"
	cp -a "$pool/usr/$GM_LIB"/libxen*.so* "$work/out/sdk/lib/"
}

cut_root()
{
	root=$work/root
	say "dom0 root ($GM_ARCH): cutting"
	mkdir -p "$root"/{bin,sbin,dev,proc,sys,tmp,root,mnt,etc/xen/scripts} \
		 "$root"/var/{lib/xen,lib/xenstored,log/xen/console,lock} \
		 "$root"/run/{xen,xenstored,lock}
	ln -s ../run "$root/var/run"
	basics
	xen_tools
	device_model
	libraries
	printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' \
		>"$root/etc/passwd"
	printf 'root:x:0:\n' >"$root/etc/group"
	(cd "$root" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) \
		>"$work/root.cpio"
	case $GM_ARCH in
	x86)	gzip -dc "$pool/boot/xen-$GM_XEN_VERSION-amd64.gz" >"$work/xen" ;;
	arm64)	cp "$pool/boot/xen-$GM_XEN_VERSION-arm64" "$work/xen" ;;
	esac
}

download
cut_root
fresh_dir "$work/out"
mv "$work/root.cpio" "$work/xen" "$work/packages.txt" "$work/applets" "$work/out/"
sdk
# The guests' root is made of the same busybox and libraries (see initrd.sh).
mv "$root" "$work/out/tree"
mv "$work/out" "$OUT"
rm -rf "$work"
link_result
note "$(du -m "$OUT/root.cpio" | cut -f1) MB in $(duration $((SECONDS - started)))"
