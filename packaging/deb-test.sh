#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# deb-test.sh: are the packages of build/deb what they should be? They are installed, used and
# removed in a Debian 12 of their own, a chroot with Debian's kernel 6.12 and its headers. Nothing
# of this computer but the processor is used: modules are built and looked up, not loaded; what
# they do is for `make test KERNEL=debian`. Root rights are needed for the chroot.
#
# The tests follow one another, as an administrator's commands would; TEST=NAME stops after that one.
# Output and files are those of a lab: build/results/deb/{deb.ktap,counts}.

. "$(dirname "$0")/../tools/xen-tests/lab/common.sh"

results=$GM_BUILD/results/deb
log=$GM_BUILD/logs/deb/test.log
base=$GM_CACHE/debian/chroot-base
root=$GM_CACHE/debian/chroot
mirror=${GM_MIRROR:-http://deb.debian.org/debian}
security=${GM_MIRROR_SECURITY:-http://deb.debian.org/debian-security}
module=xen-gntdev

as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo)
command -v debootstrap >/dev/null || PATH=$PATH:/usr/sbin
mkdir -p "${log%/*}"
fresh_dir "$results"
: >"$log"

inside() { "${as_root[@]}" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive \
	LC_ALL=C chroot "$root" "$@"; }
apt() { inside apt-get -q -y --no-install-recommends \
	-o Dpkg::Options::=--force-confold "$@" >>"$log" 2>&1; }

mounted() { ! mountpoint -q "$root/proc" || "${as_root[@]}" umount "$root/proc"; }
clean_up()
{
	mounted
	"${as_root[@]}" rm -rf --one-file-system "$root"
}

# Once: Debian 12, its kernel 6.12 with headers, and what DKMS needs to build.
make_base()
{
	local started=$SECONDS tmp=$base.tmp

	say "deb: a Debian 12 with kernel 6.12 to install packages in (700 MB, once)"
	"${as_root[@]}" rm -rf --one-file-system "$tmp"
	"${as_root[@]}" debootstrap --variant=minbase bookworm "$tmp" "$mirror" >>"$log" 2>&1 || {
		tail -n 20 "$log" >&2
		die "debootstrap failed (log: $log; another mirror: GM_MIRROR=URL)"
	}
	echo "deb $security bookworm-security main" |
		"${as_root[@]}" tee "$tmp/etc/apt/sources.list.d/security.list" >/dev/null
	# No initial ram disk of a kernel that does not boot here.
	"${as_root[@]}" mkdir -p "$tmp/etc/initramfs-tools"
	echo 'update_initramfs=no' | "${as_root[@]}" tee "$tmp/etc/initramfs-tools/update-initramfs.conf" >/dev/null
	root=$tmp
	"${as_root[@]}" mount -t proc proc "$tmp/proc"
	if ! apt update ||
	   ! apt install linux-image-6.12-amd64 linux-headers-6.12-amd64 dkms man-db; then
		mounted
		tail -n 20 "$log" >&2
		die "Debian's kernel 6.12 cannot be installed in a chroot (log: $log)"
	fi
	apt clean
	mounted
	"${as_root[@]}" mv "$tmp" "$base"
	root=$GM_CACHE/debian/chroot
	note "done in $(duration $((SECONDS - started)))"
}

# The file that modprobe would load for the kernel of the chroot, and what it says of itself
picked() { inside modinfo -k "$release" -F "${1:-filename}" $module; }
mine() { [[ $(picked version) == "$version" ]] &&
	[[ $(picked) == /lib/modules/$release/updates/dkms/$module.ko* ]] &&
	[[ $(picked description) == *grantmirror* ]]; }
stock() { [[ $(picked) == /lib/modules/$release/kernel/drivers/xen/$module.ko* ]] &&
	[[ $(picked description) != *grantmirror* ]]; }
# expect COMMAND...: or it is said how things are
expect() { "$@" || { state; return 1; }; }
state() { echo "modprobe takes $(picked): $(picked description)"; inside dkms status; }

# -- the tests, in this order; what they print is shown when they fail -------------

t_before_it_modprobe_takes_the_stock_driver() { expect stock; }

t_dkms_package_installs()
{
	apt install "./$(basename "$dkms_deb")" || { tail -n 20 "$log"; return 1; }
}

t_the_module_is_built_for_the_kernel_and_taken()
{
	expect grep -q "^grantmirror-gntdev/$version, $release, .*: installed" <(inside dkms status) &&
		expect mine
}

t_the_stock_driver_stays_in_its_place()
{
	compgen -G "$root/lib/modules/$release/kernel/drivers/xen/$module.ko*" >/dev/null
}

t_the_kernel_has_all_symbols_that_it_needs()
{
	local out

	# modprobe would stop at these two complaints of depmod.
	out=$(inside depmod -e -E "/usr/src/linux-headers-$release/Module.symvers" -n "$release" 2>&1 >/dev/null |
		grep "$module.*\(unknown symbol\|disagrees\)") || return 0
	echo "$out"
	return 1
}

t_other_kernels_are_left_alone()
{
	local rc=0

	# 77 is what dkms ends with where BUILD_EXCLUSIVE_KERNEL forbids it.
	inside dkms build -m grantmirror-gntdev -v "$version" -k 6.1.0-13-amd64 \
		--kernelsourcedir "/usr/src/linux-headers-$release" >out 2>&1 || rc=$?
	cat out
	[ $rc = 77 ]
}

t_installed_again_it_is_still_taken()
{
	apt install --reinstall "./$(basename "$dkms_deb")" && expect mine
}

t_a_kernel_that_comes_later_gets_it()
{
	inside dkms unbuild grantmirror-gntdev/"$version" -k "$release" >>"$log" 2>&1
	expect stock || return
	# What the packages of kernels call in /etc/kernel/postinst.d
	inside /etc/kernel/postinst.d/dkms "$release" >>"$log" 2>&1
	expect mine
}

t_removed_it_gives_the_stock_driver_back()
{
	apt remove grantmirror-gntdev-dkms && expect stock
}

t_nothing_is_left()
{
	inside dpkg --purge grantmirror-gntdev-dkms >>"$log" 2>&1
	! find "$root"/{usr/src,var/lib/dkms,usr/share/doc,lib/modules} -iname '*grantmirror*' \
		-o -path "*/updates/dkms/$module*" | grep .
}

t_tools_package_installs_and_runs()
{
	apt install "./$(basename "$tools_deb")" || { tail -n 20 "$log"; return 1; }
	inside gpu-passthrough-check --help | grep -q '^Exit status' &&
		inside man -w gpu-passthrough-check && apt purge grantmirror-tools
}

# -------------------------------------------------------------------------------

lock deb-test
trap clean_up EXIT
[ -d "$base" ] || make_base
clean_up
"${as_root[@]}" cp -a --reflink=auto "$base" "$root"
"${as_root[@]}" mount -t proc proc "$root/proc"

dkms_deb=$(compgen -G "$GM_BUILD/deb/grantmirror-gntdev-dkms_*_all.deb" || true)
tools_deb=$(compgen -G "$GM_BUILD/deb/grantmirror-tools_*.deb" || true)
if [ -z "$dkms_deb" ] || [ -z "$tools_deb" ]; then
	die "there are no packages in build/deb: make deb DEB=modules"
fi
version=$(dpkg-deb -f "$dkms_deb" Version)
"${as_root[@]}" cp "$dkms_deb" "$tools_deb" "$root/"
# apt wants ./FILE, and the directory that it was started in.
release=$(basename "$root"/lib/modules/*-amd64)

mapfile -t tests < <(sed -n 's/^t_\([a-z_0-9]*\)().*/\1/p' "${BASH_SOURCE[0]}")
say "deb: packages $version, kernel $release (log: build/logs/deb/test.log)"
printf 'KTAP version 1\n1..%d\n' ${#tests[@]} >"$results/deb.ktap"
n=0 passed=0 failed=0
cd "$results"
for name in "${tests[@]}"; do
	n=$((n + 1)) begun=$SECONDS rc=0
	echo "== $name" >>"$log"
	text=$(set +e; "t_$name" 2>&1) || rc=$?
	if [ $rc = 0 ]; then
		passed=$((passed + 1))
		printf 'ok   deb %s (%d s)\n' "$name" $((SECONDS - begun))
		echo "ok $n $name" >>deb.ktap
	else
		failed=$((failed + 1))
		printf 'FAIL deb %s (%d s)\n' "$name" $((SECONDS - begun))
		printf '%s\n' "$text" | sed 's/^/# /' | tee -a deb.ktap
		echo "not ok $n $name" >>deb.ktap
	fi
	[ "$name" != "${TEST:-}" ] || break
done
rm -f out
echo "$passed $failed 0" >counts
printf '%d passed, %d failed, 0 skipped\n' $passed $failed
[ $failed = 0 ]
