#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# deb.sh [modules] [kernel]: build Debian packages, into build/deb/.
#
#   modules  grantmirror-gntdev-dkms and grantmirror-tools, by debian/, and lintian's verdict
#   kernel   linux-image-6.12.N-grantmirror and its headers, by the kernel's own bindeb-pkg
#
# Without a word, both, the quick one first. DEB_CONFIG says what is in the kernel:
#   debian   Debian's configuration and ours: for computers of any make, takes hours (default)
#   cloud    that of Debian's cloud image and ours: virtual machines, a third of the modules
#   lab      what the lab runs: no driver of hardware, minutes
#
# The kernel has a source tree of its own in the cache, tree/package: who runs tests meanwhile
# does not wait for the lock of tree/ours for hours.

. "$(dirname "$0")/../tools/xen-tests/lab/common.sh"
. "$(dirname "$0")/../tools/xen-tests/lab/kbuild.sh"

out=$GM_BUILD/deb
log=$GM_BUILD/logs/deb
mkdir -p "$out" "$log"

# A copy of the source, so that neither debhelper nor dpkg leaves anything in the checkout.
copy_source()
{
	fresh_dir "$1"
	cd "$GM_TOP"
	{ git ls-files -co --exclude-standard 2>/dev/null ||
		find . -name .git -prune -o -path ./build -prune -o -type f -print; } |
		while IFS= read -r f; do [ ! -e "$f" ] || printf '%s\n' "$f"; done |
		rsync -a --files-from=- . "$1/"
}

modules()
{
	local work=$out/work started=$SECONDS name

	say "packages: grantmirror-gntdev-dkms, grantmirror-tools"
	copy_source "$work/grantmirror"
	cd "$work/grantmirror"
	(forget_make; dpkg-buildpackage -b -us -uc) >"$log/modules.log" 2>&1 || {
		tail -n 30 "$log/modules.log" >&2
		die "the packages cannot be built (log: $log/modules.log)"
	}
	rm -f "$out"/grantmirror*
	mv "$work"/grantmirror*_* "$out/"
	cd "$out"
	rm -rf "$work"
	lintian --allow-root --fail-on error,warning "$out"/grantmirror*.changes || die "lintian complains (see above)"
	for name in "$out"/grantmirror*.deb; do
		note "build/deb/${name##*/}"
	done
	note "lintian is content; $(duration $((SECONDS - started)))"
}

# The configuration of Debian's cloud image is in a package beside the source.
cloud_config()
{
	local pkg=linux-config-$GM_KVERSION file=$GM_CACHE/dl/config-cloud work=$GM_CACHE/dl/tmp.config

	[ ! -e "$file" ] || { echo "$file"; return; }
	fresh_dir "$work"
	(cd "$work" && apt-get download "$pkg") >"$log/config.log" 2>&1 || {
		cat "$log/config.log" >&2
		die "cannot download the package $pkg (see above); it is in Debian 12's bookworm-security and bookworm-backports"
	}
	dpkg-deb --fsys-tarfile "$work"/*.deb |
		tar -xO "./usr/src/$pkg/config.amd64_none_cloud-amd64.xz" | xz -dc >"$work/config"
	mv "$work/config" "$file"
	rm -rf "$work"
	echo "$file"
}

# A tree for packages: the pristine source, and the overlay.
package_tree()
{
	[ ! -e "$tree/Makefile" ] || return 0
	note "copying the kernel source (1.7 GB), so that tests and packages do not wait for each other"
	fresh_dir "$GM_CACHE/tree/tmp.package"
	rsync -a --exclude='/build-*' "$GM_CACHE/tree/stock/" "$GM_CACHE/tree/tmp.package/"
	rm -rf "$tree"
	mv "$GM_CACHE/tree/tmp.package" "$tree"
}

# What the kernel is configured from, in order. Debian's own configuration is that of the image
# that KERNEL=debian runs.
kernel_fragments()
{
	case ${DEB_CONFIG:-debian} in
	debian)
		KERNEL=debian "$GM_SCRIPTS/debian.sh" >&2
		echo "$GM_BUILD/kernel/debian/config"
		fragments_of package ;;
	cloud)
		cloud_config || exit 1
		fragments_of package ;;
	lab)	fragments_of base mm xen test ours ;;
	*)	die "DEB_CONFIG=$DEB_CONFIG: debian, cloud or lab" ;;
	esac
}

# As kbuild.sh's, but for the symbols that nobody asked about: Kconfig's defaults.
configure_package()
{
	(cd "$tree" && scripts/kconfig/merge_config.sh -O "$obj" "$@") >"$obj/merge.log" 2>&1 || {
		tail -n 20 "$obj/merge.log" >&2
		die "kernel configuration failed (log: $obj/merge.log)"
	}
}

kernel()
{
	local started=$SECONDS fragments name version
	# What the first build has of them, about
	local -A objects=([debian]=25000 [cloud]=6000 [lab]=1430)

	say "package: linux-image, configuration ${DEB_CONFIG:-debian}"
	[ "${DEB_CONFIG:-debian}" != debian ] || note "this takes hours on a small machine; DEB_CONFIG=cloud less"
	tree=$GM_CACHE/tree/package
	lock package
	mapfile -t fragments < <(kernel_fragments)
	[ ${#fragments[@]} -gt 0 ] || exit 1
	package_tree
	"$GM_SCRIPTS/overlay.sh" "$tree"
	kbuild_in "$tree" "$tree/build-package-${DEB_CONFIG:-debian}"
	mkdir -p "$obj"
	if [ "${DEB_CONFIG:-debian}" = lab ]; then
		configure "${fragments[@]}"
	else
		configure_package "${fragments[@]}"
	fi
	version=$(dpkg-parsechangelog -l "$GM_TOP/debian/changelog" -S Version)
	rm -f "$tree"/linux-*.{deb,buildinfo,changes}
	# Its maintainer is that of the other packages.
	DEBFULLNAME=$(sed -n 's/^Maintainer: \(.*\) <.*/\1/p' "$GM_TOP/debian/control")
	DEBEMAIL=$(sed -n 's/^Maintainer: .*<\(.*\)>/\1/p' "$GM_TOP/debian/control")
	export DEBFULLNAME DEBEMAIL
	build_watched "${objects[${DEB_CONFIG:-debian}]}" "$log/kernel.log" \
		KDEB_PKGVERSION="$(kernel_release "$tree")-$version" DPKG_FLAGS="-d" bindeb-pkg || {
		tail -n 30 "$log/kernel.log" >&2
		die "the kernel package cannot be built (log: $log/kernel.log)"
	}
	rm -f "$out"/linux-*
	# User space has Debian's headers; that of the user ABI is in grantmirror's source.
	rm -f "$tree"/linux-libc-dev_*.deb
	mv "$tree"/linux-*.{deb,buildinfo,changes} "$out/"
	for name in "$out"/linux-*.deb; do
		note "build/deb/${name##*/}"
	done
	note "$(duration $((SECONDS - started)))"
}

[ $# -gt 0 ] || set -- modules kernel
for what; do
	case $what in
	modules | kernel) ;;
	*)	die "deb.sh: no package '$what'; there are modules and kernel" ;;
	esac
	"$what"
done
