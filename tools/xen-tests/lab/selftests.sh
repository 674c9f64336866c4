#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# selftests.sh: build the kernel's own selftests that root/selftests.list names, from
# the unmodified source package, and pack them for the lab.
#
# Out: build/initrd/selftests.cpio: the programs, the list, and for each line of the
#      list a link in its suite's folder (boot.sh appends the archive where these
#      suites run)
#
# Not with the selftests' own Makefiles, which write into the source tree and know no
# static linking. The programs are the same for every kernel and are in the cache.

. "$(dirname "$0")/common.sh"

tree=$GM_CACHE/tree/stock
src=$tree/tools/testing/selftests
list=$GM_TOP/tools/xen-tests/root/selftests.list
skips=$GM_TOP/tools/xen-tests/root/selftests.skips
runner=$GM_TOP/tools/xen-tests/root/gm-selftest.sh
out=$GM_BUILD/initrd/selftests.cpio

# fields N...: these columns of the list
fields() { awk -F '|' -v "cols=$*" '!/^#/ && NF { n = split(cols, c, " "); s = ""; for (i = 1; i <= n; i++) { gsub(/^ +| +$/, "", $c[i]); s = s " " $c[i] } print substr(s, 2) }' "$list"; }
# mm/NAME or kvm/NAME, each once
programs() { fields 5 | cut -d' ' -f1 | LC_ALL=C sort -u; }

release=$(kernel_release "$tree")
key=$({ echo "$release"; programs; cat "$GM_SCRIPTS/selftests.sh"; } | sha256sum | cut -c1-12)
bin=$GM_CACHE/selftests/$key

stamp="$key $(sum_of "$list" "$skips" "$runner")"
[ "$(cat "$out.stamp" 2>/dev/null)" = "$stamp" ] && [ -e "$out" ] && exit 0

# compile OUTPUT ARG...: C of the kernel's is not ours to warn about.
compile()
{
	local output=$1

	shift
	mkdir -p "${output%/*}"
	CCACHE_DIR=$GM_CACHE/ccache ccache gcc -w -O2 -U_FORTIFY_SOURCE \
		-isystem "$work/usr/include" "$@" -o "$output" 2>"$work/error" || {
		cat "$work/error" >&2
		die "the kernel's selftest ${output#"$work/"} does not build"
	}
}

# The file local_config.h is what the Makefile there finds out: no liburing here.
# KSFT_SKIP: khugepaged.c of 6.12.117 lacks the header that defines it.
build_mm()
{
	local name=$1 more=(vm_util.c thp_settings.c)

	case $name in
	uffd-*)	more+=(uffd-common.c) ;;
	khugepaged) more+=(-DKSFT_SKIP=4) ;;
	ksm_tests) more+=(-lnuma) ;;
	ksm_functional_tests)
		# It gives execv() a list without an end.
		printf '#include <unistd.h>\n#define execv(prog, argv) execl(prog, %s)\n' \
			'(argv)[0], (argv)[1], NULL' >"$work/execv.h"
		more+=(-include "$work/execv.h")
		;;
	esac
	: >"$work/local_config.h"
	compile "$work/bin/mm/$name" -static -no-pie -D_GNU_SOURCE= -I"$work" -I"$tree" \
		-I"$tree/tools/include" "$name.c" "${more[@]}" -lrt -lpthread -lm
}

# The flags that keep gcc from putting calls to a C library into code that runs
# as the guest
kvm_flags=(-std=gnu99 -D_GNU_SOURCE -DCONFIG_64BIT -fno-builtin-memcmp
	-fno-builtin-memcpy -fno-builtin-memset -fno-builtin-strnlen
	-fno-stack-protector -fno-PIE -fno-strict-aliasing -march=x86-64-v2
	-I"$tree/tools/include" -I"$tree/tools/arch/x86/include"
	-Iinclude -Iinclude/x86_64 -I../rseq -I..)

build_kvm_library()
{
	local f flags

	for f in lib/*.c lib/x86_64/*.[cS]; do
		flags=(-I"${f%/*}")
		[ "$f" != lib/string_override.c ] || flags+=(-ffreestanding)
		compile "$work/lib/${f//\//_}.o" "${kvm_flags[@]}" "${flags[@]}" -c "$f"
	done
}

build_kvm()
{
	local file=$1.c

	[ -e "$file" ] || file=x86_64/$file
	compile "$work/bin/kvm/$1" -static -no-pie -pthread "${kvm_flags[@]}" -I"${file%/*}" \
		"$file" "$work"/lib/*.o -lrt -lm
}

build()
{
	local p started=$SECONDS

	say "the kernel's own selftests: $(programs | wc -l) programs"
	work=$GM_CACHE/selftests/tmp
	fresh_dir "$work"
	(
		forget_make
		make -s -C "$tree" O="$work/headers" headers_install \
			INSTALL_HDR_PATH="$work/usr"
	) >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		die "headers_install failed"
	}
	cd "$src/kvm"
	build_kvm_library
	for p in $(programs); do
		cd "$src/${p%/*}"
		"build_${p%/*}" "${p#*/}"
	done
	find "$work/bin" -type f -exec strip {} +
	find "$GM_CACHE/selftests" -mindepth 1 -maxdepth 1 -mtime +30 -exec rm -rf {} +
	mv "$work/bin" "$bin"
	rm -rf "$work"
	note "in $(duration $((SECONDS - started)))"
}

lock selftests
[ -e "$bin" ] || build
touch "$bin"

root=$GM_BUILD/initrd/tmp.selftests
fresh_dir "$root"
mkdir -p "$root/gm/selftests"
cp -r "$bin/." "$root/gm/selftests/"
cp "$list" "$root/gm/selftests/list"
cp "$skips" "$root/gm/selftests/skips"
install -m 755 "$runner" "$root/gm/selftests/run"
fields 1 2 | while read -r name suite; do
	mkdir -p "$root/gm/suites/$suite"
	ln -s ../../selftests/run "$root/gm/suites/$suite/$name"
done
(cd "$root" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) >"$out.tmp"
mv "$out.tmp" "$out"
rm -rf "$root"
echo "$stamp" >"$out.stamp"
