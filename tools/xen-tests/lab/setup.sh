#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# setup.sh [check|docs|bench|report|coverage|gpu|deb|test-root]: install the Debian packages
# that this machine lacks.
#
# Each package is probed for by a file of it: when all are there, apt is not even
# started. With the name of a part, what only that part needs is installed too; with
# GM_ARCH=arm64, what a lab with that processor needs, and with KERNEL=debian what unpacking
# Debian's image takes.

. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/packages.sh"

list=$GM_HOST_PACKAGES
case ${1:-} in
check)	list+=$GM_CHECK_PACKAGES$GM_DOCS_PACKAGES ;;
docs)	list+=$GM_DOCS_PACKAGES ;;
bench)	list+=$GM_BENCH_PACKAGES ;;
report)	list+=$GM_BENCH_PACKAGES$GM_REPORT_PACKAGES ;;
coverage) list+=$GM_COVERAGE_PACKAGES ;;
gpu)	list+=$GM_GPU_PACKAGES ;;
deb)	list+=$GM_DEB_PACKAGES ;;
test-root) list+=$GM_TEST_ROOT_PACKAGES ;;
esac
[ "$GM_KERNEL" != debian ] || list+=$GM_DEBIAN_PACKAGES
[ "$GM_ARCH" != arm64 ] || list+=$GM_ARM64_PACKAGES

missing=()
reasons=()
while IFS='|' read -r package probe reason; do
	package=${package//[[:space:]]/}
	probe=${probe//[[:space:]]/}
	if [ -z "$package" ] || [ -e "$probe" ]; then
		continue
	fi
	missing+=("$package")
	reasons+=("$(printf '%-16s %s' "$package" "${reason# }")")
done <<<"$list"

# Kernel source and dom0's packages come from apt too: without package lists
# nothing can be downloaded.
have_lists() { compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null; }
need_lists=
if [ ! -e "$GM_BUILD/root$GM_OF_ARCH/root.cpio" ] && ! have_lists; then
	need_lists=1
fi
[ ${#missing[@]} -gt 0 ] || [ -n "$need_lists" ] || exit 0

. /etc/os-release
[ "${VERSION_CODENAME:-}" = bookworm ] ||
	note "this is ${PRETTY_NAME:-an unknown system}, not Debian 12: package names may differ"
command -v apt-get >/dev/null ||
	die "no apt-get here; install by hand: ${missing[*]}"

as_root=()
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null ||
		die "not root, and no sudo: ask an administrator to run: apt-get install ${missing[*]}"
	as_root=(sudo)
	note "apt-get is called through sudo, which may ask for your password"
fi

log=$GM_BUILD/logs/apt.log
mkdir -p "${log%/*}"
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q "$@" >>"$log" 2>&1 </dev/null; }
: >"$log"
if [ ${#as_root[@]} -gt 0 ] && ! sudo -n true 2>/dev/null; then
	sudo -v || die "sudo was refused; ask an administrator to run: apt-get install ${missing[*]}"
fi

# Names of packages that cannot be had, by apt's own words.
culprits()
{
	sed -n -e "s/^E: Unable to locate package \(.*\)/\1/p" \
	       -e "s/^E: Package '\([^']*\)' has no installation candidate/\1/p" \
	       -e "s/^E: Failed to fetch [^ ]*\/\([^/_]*\)_[^ ]*.*/\1/p" "$log" |
		sort -u | paste -sd ' '
}

update_lists()
{
	say "updating apt's package lists"
	apt update || {
		tail -n 5 "$log" >&2
		die "apt-get update failed (log: $log): ${missing[*]:-the packages of dom0} cannot be downloaded"
	}
}

install_missing()
{
	apt install -y --no-install-recommends "${missing[@]}"
}

if ! have_lists; then
	update_lists
fi
if [ ${#missing[@]} -gt 0 ]; then
	say "installing ${#missing[@]} Debian packages:"
	printf '      %s\n' "${reasons[@]}"
	# Lists that are too old name versions that the mirror has dropped.
	install_missing || { update_lists; : >>"$log"; install_missing; } || {
		tail -n 8 "$log" >&2
		names=$(culprits)
		die "cannot install: ${names:-${missing[*]}} (log: $log)"
	}
fi
