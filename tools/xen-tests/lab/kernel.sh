#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# kernel.sh: build the kernel ($KERNEL: ours, stock or a flavour of ours) and put what boots into
# build/kernel/$KERNEL: vmlinux (uncompressed, as Xen and libxl take it: a stripped ELF
# file; for arm64 the Image) and modules/; of gcov also gcno/, what its counts are explained with.

. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/kbuild.sh"

[ "$GM_KERNEL" != debian ] || exec "$GM_SCRIPTS/debian.sh"
tree=$GM_CACHE/tree/$GM_SOURCE
obj=$tree/build-$GM_FLAVOR$GM_OF_ARCH
out=$GM_BUILD/kernel/$GM_KERNEL$GM_OF_ARCH
names=(base mm xen test)
image=vmlinux
# What the firmware of an HVM guest can load
packed=bzImage
[ "$GM_ARCH" != arm64 ] || { image=Image; packed=''; }

# flavor NAME: the fragments that make it, from the list of flavours; nothing if there is none
flavor() { awk -v name="$1" '$1 == name { $1 = ""; print }' "$GM_TOP/configs/kernel/flavors"; }

case $GM_KERNEL in
ours)	names+=(ours) ;;
stock)	;;
*)	read -ra more <<<"$(flavor "$GM_KERNEL")"
	[ ${#more[@]} != 0 ] ||
		die "there is no kernel '$GM_KERNEL': KERNEL=ours, stock or debian, FLAVOR=fast or one of those in configs/kernel/flavors"
	names+=(ours "${more[@]}") ;;
esac
overlay=()
[ "$GM_SOURCE" != ours ] || overlay=("$GM_TOP"/{include,mm,drivers,arch,lib})
mapfile -t fragments < <(fragments_of "${names[@]}")
# One checksum over everything that the result depends on: when it has not
# changed, kbuild is not even started.
release=$(kernel_release "$GM_CACHE/tree/stock")
inputs="$release $(sum_of "${fragments[@]}" "$GM_SCRIPTS"/{kernel,kbuild,overlay}.sh ${overlay[@]+"${overlay[@]}"})"
[ "$(cat "$out/inputs" 2>/dev/null)" = "$inputs" ] && exit 0

lock tree
kbuild_in "$tree" "$obj"
# FLAVOR=kcsan: accesses are watched where a Makefile asks for it, which only ours do
export KCSAN_SANITIZE=n

build()
{
	local log=$obj/build.log what='what has changed'

	[ -e "$obj/vmlinux" ] || what='all of it; this takes about 7 min on 2 idle cores'
	say "kernel: building Linux $release ($GM_KERNEL$GM_OF_ARCH): $what"
	build_watched 1430 "$log" $image ${packed:+"$packed"} modules || {
		echo >&2
		tail -n 30 "$log" >&2
		die "the kernel does not build (log: $log)"
	}
	note "$(cat "$obj/.grantmirror-built") objects in $(duration $((SECONDS - started)))"
}

# Everything that boots is in the checkout before the lock goes: another
# checkout may lay its own overlay over the same tree then.
publish()
{
	local tmp=$GM_BUILD/kernel/tmp.$GM_KERNEL$GM_OF_ARCH

	fresh_dir "$tmp"
	if [ $image = Image ]; then
		cp "$obj/arch/arm64/boot/Image" "$tmp/vmlinux"
	else
		strip -o "$tmp/vmlinux" "$obj/vmlinux"
		cp "$obj/arch/x86/boot/bzImage" "$tmp/"
	fi
	"${kmake[@]}" -s INSTALL_MOD_PATH="$tmp/modules" INSTALL_MOD_STRIP=1 \
		modules_install >"$obj/install.log" 2>&1 || {
		cat "$obj/install.log" >&2
		die "modules_install failed"
	}
	# Links back into the cache.
	find "$tmp/modules" -type l -delete
	if [ "$GM_KERNEL" = gcov ]; then
		# What its counts are explained with (coverage.sh): of this build, and no other
		mkdir "$tmp/gcno"
		(cd "$obj" && find . -name '*.gcno' | rsync -a --files-from=- . "$tmp/gcno/")
	fi
	cp "$obj/.config" "$tmp/config"
	cp "$obj/include/config/kernel.release" "$tmp/release"
	echo "$inputs" >"$tmp/inputs"
	rm -rf "$out"
	mv "$tmp" "$out"
}

started=$SECONDS
# Says which kernel the object directory holds (modules.sh builds against it).
rm -f "$obj/.grantmirror-inputs"
if [ "$GM_SOURCE" = ours ]; then
	"$GM_SCRIPTS/overlay.sh" "$tree"
fi
configure "${fragments[@]}"
build
echo "$inputs" >"$obj/.grantmirror-inputs"
publish
