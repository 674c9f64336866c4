# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The headers that the installed QEMU was built with, in $GM_CACHE/qemu/<its version>: from
# Debian's source package of exactly that version, with Debian's patches that make it so.
# Sourced by build.sh, never run.

# What the headers want to know of a build: that of Debian's QEMU for x86 and arm64 hosts is
# like this as far as a device sees it. device.c checks the sizes that come out of it.
config_host()
{
	local host

	case $(uname -m) in
	x86_64)	host='#define HOST_X86_64 1
#define CONFIG_CPUID_H 1
#define CONFIG_CMPXCHG128 1' ;;
	aarch64) host='#define HOST_AARCH64 1' ;;
	*)	die "xgpu: there is no QEMU configuration for a $(uname -m) machine" ;;
	esac
	cat <<-END
	$host
	#define CONFIG_POSIX 1
	#define CONFIG_LINUX 1
	#define CONFIG_IOVEC 1
	#define CONFIG_ATOMIC64 1
	#define CONFIG_INT128 1
	#define CONFIG_MADVISE 1
	#define CONFIG_POSIX_MADVISE 1
	#define CONFIG_BYTESWAP_H 1
	#define CONFIG_TCG 1
	#define CONFIG_PLUGIN 1
	#define CONFIG_MEMBARRIER 1
	#define HOST_LONG_BITS 64
	#define QEMU_VERSION "$1"
	END
}

# apt_source DIR VERSION: the source package, in DIR. The machine's own package lists need
# not have sources: apt gets lists of its own, from the mirror that it has.
apt_source()
{
	local dir=$1 version=$2 apt=(apt-get -q) mirror key

	# shellcheck disable=SC2016 # apt replaces it
	mirror=$(apt-get indextargets --format '$(SITE)' 'Codename: bookworm' 'Created-By: Packages' |
		head -n 1)
	key=/usr/share/keyrings/debian-archive-keyring.gpg
	mkdir -p "$dir/lists/partial"
	{
		echo "deb-src [signed-by=$key] ${mirror:-http://deb.debian.org/debian} bookworm main"
		echo "deb-src [signed-by=$key] ${mirror:-http://deb.debian.org/debian} bookworm-updates main"
		echo "deb-src [signed-by=$key] http://deb.debian.org/debian-security bookworm-security main"
	} >"$dir/sources"
	apt+=(-o "Dir::Etc::sourcelist=$dir/sources" -o Dir::Etc::sourceparts=/dev/null
		-o "Dir::State::Lists=$dir/lists" -o APT::Sandbox::User=root)
	(cd "$dir" && "${apt[@]}" update && "${apt[@]}" source --download-only "qemu=$version") \
		>"$dir/apt.log" 2>&1 || {
		tail -n 8 "$dir/apt.log" >&2
		die "cannot download the source package of qemu $version (see above)"
	}
}

# make_headers OUT VERSION: in a directory beside, which becomes OUT when it is finished
make_headers()
{
	local out=$1 version=$2 tmp=$1.tmp started=$SECONDS patch

	say "headers of QEMU $version: source package (24 MB), unpacked"
	fresh_dir "$tmp"
	apt_source "$tmp" "$version"
	mkdir "$tmp/src"
	tar -xf "$tmp"/qemu_*.orig.tar.xz -C "$tmp/src" --strip-components=1
	tar -xf "$tmp"/qemu_*.debian.tar.xz -C "$tmp/src"
	# Those that bring the upstream release of the day it was packaged to the version's
	while read -r patch; do
		patch -d "$tmp/src" -p1 -s --no-backup-if-mismatch <"$tmp/src/debian/patches/$patch"
	done < <(grep -E '^v[0-9.]+\.diff$' "$tmp/src/debian/patches/series")
	mkdir -p "$tmp/out/qapi"
	(cd "$tmp/src" && /usr/bin/python3 scripts/qapi-gen.py -o "$tmp/out/qapi" -b qapi/qapi-schema.json)
	config_host "$(cat "$tmp/src/VERSION")" >"$tmp/out/config-host.h"
	: >"$tmp/out/config-poison.h"
	cp -r "$tmp/src/include" "$tmp/src/linux-headers" "$tmp/out/"
	rm -f "$tmp"/out/qapi/*.c "$tmp"/out/qapi/*/*.c
	rm -rf "$out"
	mv "$tmp/out" "$out"
	rm -rf "$tmp"
	note "done in $(duration $((SECONDS - started)))"
}
