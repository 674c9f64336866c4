# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck disable=SC2034 # used by those who source this
#
# Building in a kernel tree of the cache: what kernel.sh, modules.sh and compat.sh share.
# Sourced after common.sh, never run. The caller holds the lock of the tree.

# What the language of messages is does not matter: a terminal and CI have different ones, and
# share what was compiled.
ccache_settings()
{
	export CCACHE_DIR=$GM_CACHE/ccache CCACHE_NOHASHDIR=true CCACHE_MAXSIZE=5G
	export CCACHE_SLOPPINESS=locale
}

# kbuild_in TREE OBJ: from here on $kmake builds TREE with objects in OBJ, which is a
# direct child of it, so that kbuild uses relative paths and ccache finds objects of
# one tree for the other.
kbuild_in()
{
	tree=$1 obj=$2
	ccache_settings
	# Fixed, so that the same source gives the same image.
	export KBUILD_BUILD_TIMESTAMP=2026-01-01 KBUILD_BUILD_USER=grantmirror KBUILD_BUILD_HOST=lab
	forget_make
	if [ "$GM_ARCH" != x86 ]; then
		# In the environment: merge_config.sh calls a make of its own.
		export ARCH=$GM_ARCH CROSS_COMPILE=$GM_CROSS
	fi
	kmake=(make -C "$tree" O="$obj" -j"$(($(nproc) + 1))" CC="ccache ${GM_CROSS}gcc" HOSTCC="ccache gcc")
}

# kbuild_external KERNEL: the same for modules of a kernel that Debian has built; KERNEL is what
# debian.sh has put down. Without BTF: that takes pahole, and nothing here reads it.
kbuild_external()
{
	ccache_settings
	forget_make
	kmake=(make -C "$(realpath "$1/headers")" -j"$(($(nproc) + 1))"
		DEBIAN_KERNEL_USE_CCACHE=1 CONFIG_DEBUG_INFO_BTF_MODULES=)
}

# not_as_asked LOG: what merge_config.sh has found to differ, but symbols that are to be off and
# that this configuration does not even offer
not_as_asked()
{
	awk '/not in final \.config/ { what = $0 }
	     /^Requested value: / { asked = $0 }
	     /^Actual value: / && !(asked ~ /is not set$/ && NF == 2) { print what; print asked; print }' "$1"
}

# configure FRAGMENT...: allnoconfig with these. A symbol that does not end up as we
# asked (a renamed symbol, a missing dependency) is an error, not a silence.
configure()
{
	local sum

	sum=$(sum_of "$@")
	[ -e "$obj/.config" ] && [ "$(cat "$obj/.grantmirror-config" 2>/dev/null)" = "$sum" ] &&
		return
	mkdir -p "$obj"
	rm -f "$obj/.grantmirror-config"
	(cd "$tree" && scripts/kconfig/merge_config.sh -n -O "$obj" "$@") \
		>"$obj/merge.log" 2>&1 || {
		tail -n 20 "$obj/merge.log" >&2
		die "kernel configuration failed (log: $obj/merge.log)"
	}
	if [ -n "$(not_as_asked "$obj/merge.log")" ]; then
		not_as_asked "$obj/merge.log" >&2
		rm -f "$obj/.config"
		die "configs/kernel asks for what this kernel's Kconfig does not give (see above)"
	fi
	echo "$sum" >"$obj/.grantmirror-config"
}

# build_watched TOTAL LOG ARGUMENT...: $kmake with these arguments, whose lines go to LOG, with
# progress() towards what the last full build has had of objects; TOTAL before there was one.
build_watched()
{
	local total=$1 log=$2 full=''

	shift 2
	total=$(cat "$obj/.grantmirror-objects" 2>/dev/null || echo "$total")
	[ -e "$obj/vmlinux" ] || full=1
	"${kmake[@]}" "$@" 2>&1 </dev/null | progress "$total" 3>"$log" || return
	[ -z "$full" ] || cp "$obj/.grantmirror-built" "$obj/.grantmirror-objects"
}

# progress TOTAL: reads kbuild's lines, copies them to fd 3, and says how far it is of
# about so many objects. How many there were is in $obj/.grantmirror-built then.
progress()
{
	local total=$1 n=0 last=-99 shown=-99 begun=$SECONDS pct line

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
				$pct $n "$total" "$(duration $((SECONDS - begun)))"
		elif [ $((SECONDS - shown)) -ge 30 ] && [ $n -gt 0 ]; then
			shown=$SECONDS
			printf '    %2d%%  %d of about %d objects, %s\n' \
				$pct $n "$total" "$(duration $((SECONDS - begun)))"
		fi
	done
	[ ! -t 1 ] || printf '\r%60s\r' ''
	echo $n >"$obj/.grantmirror-built"
}
