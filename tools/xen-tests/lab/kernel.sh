#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# kernel.sh: build the kernel ($KERNEL: ours or stock) and put what boots into
# build/kernel/$KERNEL: vmlinux (an uncompressed, stripped ELF file, which Xen and
# libxl take as it is) and modules/.
#
# The object directory is a direct child of the source tree, so that kbuild uses
# relative paths and ccache finds objects of one tree for the other.

. "$(dirname "$0")/common.sh"

tree=$GM_CACHE/tree/$GM_KERNEL
obj=$tree/build-$GM_FLAVOR
out=$GM_BUILD/kernel/$GM_KERNEL
fragments=("$GM_TOP"/configs/kernel/{base,mm,xen,test}.config)
[ "$GM_FLAVOR" = fast ] || die "FLAVOR=$GM_FLAVOR: only 'fast' exists"

case $GM_KERNEL in
ours)	overlay=("$GM_TOP"/{include,mm,drivers,arch})
	fragments+=("$GM_TOP/configs/kernel/ours.config") ;;
stock)	overlay=() ;;
*)	die "KERNEL=$GM_KERNEL: there are 'ours' and 'stock'" ;;
esac
# One checksum over everything that the result depends on: when it has not
# changed, kbuild is not even started.
release=$(sed -n 's/^\(VERSION\|PATCHLEVEL\|SUBLEVEL\) = //p' "$GM_CACHE/tree/stock/Makefile" | head -n 3 | paste -sd .)
inputs="$release $(sum_of "${fragments[@]}" "$GM_SCRIPTS"/{kernel,overlay}.sh ${overlay[@]+"${overlay[@]}"})"
[ "$(cat "$out/inputs" 2>/dev/null)" = "$inputs" ] && exit 0

lock tree
export CCACHE_DIR=$GM_CACHE/ccache CCACHE_NOHASHDIR=true CCACHE_MAXSIZE=5G
# Fixed, so that the same source gives the same image.
export KBUILD_BUILD_TIMESTAMP=2026-01-01 KBUILD_BUILD_USER=grantmirror KBUILD_BUILD_HOST=lab
jobs=$(($(nproc) + 1))
kmake=(make -C "$tree" O="$obj" -j"$jobs" CC="ccache gcc" HOSTCC="ccache gcc")
unset MAKEFLAGS MFLAGS MAKELEVEL KERNEL FLAVOR LAB SUITE TEST ARCH CROSS_COMPILE

# allnoconfig with our fragments. A symbol that does not end up as we asked (a
# renamed symbol, a missing dependency) is an error, not a silence.
configure()
{
	local sum

	sum=$(sum_of "${fragments[@]}")
	[ -e "$obj/.config" ] && [ "$(cat "$obj/.grantmirror-config" 2>/dev/null)" = "$sum" ] &&
		return
	say "kernel: configuring"
	mkdir -p "$obj"
	rm -f "$obj/.grantmirror-config"
	(cd "$tree" && scripts/kconfig/merge_config.sh -n -O "$obj" "${fragments[@]}") \
		>"$obj/merge.log" 2>&1 || {
		tail -n 20 "$obj/merge.log" >&2
		die "kernel configuration failed (log: $obj/merge.log)"
	}
	if grep -q 'not in final .config' "$obj/merge.log"; then
		grep -A 2 'not in final .config' "$obj/merge.log" >&2
		rm -f "$obj/.config"
		die "configs/kernel asks for what this kernel's Kconfig does not give (see above)"
	fi
	echo "$sum" >"$obj/.grantmirror-config"
}

# Reads kbuild's lines; says how far it is. How many objects there are is known
# from the last full build, or about right from the first.
progress()
{
	local total=1330 n=0 last=-99 shown=-99 pct line

	total=$(cat "$obj/.grantmirror-objects" 2>/dev/null || echo $total)
	while IFS= read -r line; do
		printf '%s\n' "$line" >&3
		case $line in
		'  CC '*|'  AS '*) ((++n)) ;;
		*error:*|*'warning:'*|make*'***'*) printf '\n    %s\n' "$line" ;;
		esac
		[ $((SECONDS - last)) -ge 1 ] || continue
		last=$SECONDS
		pct=$((n * 100 / total))
		[ $pct -lt 100 ] || pct=99
		if [ -t 1 ]; then
			printf '\r    %2d%%  %d of about %d objects, %s  ' \
				$pct $n "$total" "$(duration $((SECONDS - started)))"
		elif [ $((SECONDS - shown)) -ge 30 ] && [ $n -gt 0 ]; then
			shown=$SECONDS
			printf '    %2d%%  %d of about %d objects, %s\n' \
				$pct $n "$total" "$(duration $((SECONDS - started)))"
		fi
	done
	[ ! -t 1 ] || printf '\r%60s\r' ''
	echo $n >"$obj/.grantmirror-built"
}

build()
{
	local log=$obj/build.log full='' what='what has changed'

	if [ ! -e "$obj/vmlinux" ]; then
		full=1
		what='all of it; this takes about 7 min on 2 idle cores'
	fi
	say "kernel: building Linux $release ($GM_KERNEL): $what"
	"${kmake[@]}" vmlinux modules 2>&1 </dev/null | progress 3>"$log" || {
		echo >&2
		tail -n 30 "$log" >&2
		die "the kernel does not build (log: $log)"
	}
	if [ -n "$full" ]; then
		cp "$obj/.grantmirror-built" "$obj/.grantmirror-objects"
	fi
	note "$(cat "$obj/.grantmirror-built") objects in $(duration $((SECONDS - started)))"
}

# Everything that boots is in the checkout before the lock goes: another
# checkout may lay its own overlay over the same tree then.
publish()
{
	local tmp=$GM_BUILD/kernel/tmp.$GM_KERNEL

	fresh_dir "$tmp"
	strip -o "$tmp/vmlinux" "$obj/vmlinux"
	"${kmake[@]}" -s INSTALL_MOD_PATH="$tmp/modules" INSTALL_MOD_STRIP=1 \
		modules_install >"$obj/install.log" 2>&1 || {
		cat "$obj/install.log" >&2
		die "modules_install failed"
	}
	# Links back into the cache.
	find "$tmp/modules" -type l -delete
	cp "$obj/.config" "$tmp/config"
	cp "$obj/include/config/kernel.release" "$tmp/release"
	echo "$inputs" >"$tmp/inputs"
	rm -rf "$out"
	mv "$tmp" "$out"
}

started=$SECONDS
# Says which kernel the object directory holds (modules.sh builds against it).
rm -f "$obj/.grantmirror-inputs"
if [ "$GM_KERNEL" = ours ]; then
	"$GM_SCRIPTS/overlay.sh" "$tree"
fi
configure
build
echo "$inputs" >"$obj/.grantmirror-inputs"
publish
