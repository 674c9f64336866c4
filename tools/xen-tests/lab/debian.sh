#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# debian.sh: KERNEL=debian, Debian's own kernel image of our version, as it is: downloaded,
# unpacked, and put into build/kernel/debian as kernel.sh does with one that it has built.
# With it come the headers that modules.sh builds the grant device against.
#
# In the cache: debian/<release>/ with vmlinux (out of the bzImage: Xen and libxc take it as it
# is, and decompressing is slow without KVM), config, modules/ (what the lab has use for) and
# headers/. Whatever point release is found first stays, until `make distclean`.

. "$(dirname "$0")/common.sh"

[ "$GM_ARCH" = x86 ] || die "KERNEL=debian is there for labs with an x86 processor only"

store=$GM_CACHE/debian
out=$GM_BUILD/kernel/debian
meta=linux-image-$GM_KVERSION-amd64
# With what each of them needs
modules="xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xenfs xen-blkback xen-blkfront
	xen-netback xen-netfront xen-pciback brd dm-mod dm-delay"

found() { compgen -G "$store/$GM_KVERSION.*/config" | head -n 1 | xargs -r dirname || true; }

download()
{
	say "downloading Debian's kernel $release and its headers (about 125 MB)"
	(cd "$work" && apt-get download "linux-image-$release" "linux-headers-$release" \
		"linux-headers-${release%-amd64}-common" "linux-kbuild-${release%-amd64}") \
		>"$work/apt.log" 2>&1 || {
		cat "$work/apt.log" >&2
		die "cannot download linux-image-$release and what goes with it (see above)"
	}
}

# number FILE OFFSET BYTES: little-endian, as od reads it here
number() { od -A n -t "u$3" -j "$2" -N "$3" "$1" | tr -d ' '; }

# The bzImage has the ELF file in it, compressed; where, the boot protocol says
# (Documentation/arch/x86/boot.rst): the number of sectors of set-up code is at 0x1f1, and
# payload_offset and payload_length, which count from the end of these, at 0x248. The last four
# bytes of the payload are a length, and no part of what the compressor wrote.
extract_vmlinux()
{
	local image=$1 start length unpack=(xz -dc)

	start=$((($(number "$image" $((0x1f1)) 1) + 1) * 512 + $(number "$image" $((0x248)) 4)))
	length=$(($(number "$image" $((0x24c)) 4) - 4))
	# 0xfd2fb528: zstd
	[ "$(number "$image" "$start" 4)" != 4247762216 ] || unpack=(zstd -dcq)
	dd if="$image" iflag=skip_bytes,count_bytes skip=$start count=$length bs=1M status=none |
		"${unpack[@]}"
}

take_modules()
{
	local from=$work/image file name

	PATH=$PATH:/sbin depmod -b "$from" "$release"
	# shellcheck disable=SC2086 # a list of names
	for name in $modules; do
		PATH=$PATH:/sbin modprobe -d "$from" -S "$release" --show-depends "$name" ||
			die "Debian's kernel $release has no module $name"
	done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u |
	while read -r file; do
		name=${file#"$from"/}
		mkdir -p "$tmp/modules/${name%/*}"
		# Not left to the machine: decompressing is slow there.
		case $file in
		*.xz)	xz -dc "$file" >"$tmp/modules/${name%.xz}" ;;
		*)	cp "$file" "$tmp/modules/$name" ;;
		esac
	done
	cp "$from/lib/modules/$release"/modules.{order,builtin,builtin.modinfo} \
		"$tmp/modules/lib/modules/$release/"
}

unpack()
{
	local deb

	for deb in "$work"/linux-image-*.deb; do
		dpkg-deb -x "$deb" "$work/image"
	done
	for deb in "$work"/linux-{headers,kbuild}-*.deb; do
		dpkg-deb -x "$deb" "$tmp/headers"
	done
	if ! extract_vmlinux "$work/image/boot/vmlinuz-$release" >"$tmp/vmlinux" ||
	   ! readelf -h "$tmp/vmlinux" >/dev/null 2>&1; then
		die "there is no vmlinux, compressed with zstd or xz, in linux-image-$release"
	fi
	take_modules
	# They name each other by where they would be installed.
	sed -i "s|/usr/src/|$store/$release/headers/usr/src/|" \
		"$tmp/headers/usr/src/linux-headers-$release/Makefile"
	echo "$release" >"$tmp/release"
	cp "$work/image/boot/config-$release" "$tmp/config"
}

fetch()
{
	local started=$SECONDS

	# What the newest meta package stands for
	release=$(apt-cache show --no-all-versions "$meta" 2>/dev/null |
		sed -n 's/^Depends:.*linux-image-\([^ ]*\).*/\1/p' | head -n 1)
	[ -n "$release" ] ||
		die "apt does not know the package $meta; it is in Debian 12's bookworm-security and bookworm-backports"
	work=$store/work tmp=$store/tmp
	fresh_dir "$work"
	fresh_dir "$tmp"
	download
	unpack
	rm -rf "${store:?}/$release"
	mv "$tmp" "$store/$release"
	rm -rf "$work"
	note "done in $(duration $((SECONDS - started)))"
}

dir=$(found)
if [ -z "$dir" ]; then
	lock debian
	dir=$(found)
	[ -n "$dir" ] || fetch
	dir=$(found)
fi
inputs="$(cat "$dir/release") $(sum_of "$GM_SCRIPTS/debian.sh")"
[ "$(cat "$out/inputs" 2>/dev/null)" = "$inputs" ] && exit 0
tmp=$GM_BUILD/kernel/tmp.debian
fresh_dir "$tmp"
cp -r "$dir"/{vmlinux,config,release,modules} "$tmp/"
ln -s "$dir/headers/usr/src/linux-headers-$(cat "$dir/release")" "$tmp/headers"
echo "$inputs" >"$tmp/inputs"
rm -rf "$out"
mv "$tmp" "$out"
