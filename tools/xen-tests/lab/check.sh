#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# check.sh [CHECK...]: everything about the source that a program can judge without a
# boot, or only what is named. One line per check; what a check complains of comes before
# its line.

. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/kbuild.sh"

stock=$GM_CACHE/tree/stock
ours=$GM_CACHE/tree/ours
obj=$ours/build-check
log=$GM_BUILD/logs/check
mkdir -p "$log"
cd "$GM_TOP"

# What git knows or would add; without git (a tarball), what is there.
all_files()
{
	git ls-files -co --exclude-standard 2>/dev/null ||
		find . -name .git -prune -o -path ./build -prune -o -type f -print |
		sed 's|^\./||'
}
mapfile -t files < <(all_files | LC_ALL=C sort -u | while read -r f; do [ ! -e "$f" ] || echo "$f"; done)
# matching REGEX: those of the files
matching() { printf '%s\n' "${files[@]}" | grep -E "$1" || true; }

mapfile -t kernel_files < <(matching '^(include|mm|drivers|arch|packaging/module|tools/xen-tests/modules)/.*\.[ch]$')
mapfile -t kernel_objects < <(matching '^(mm|drivers|arch)/.*\.c$' | sed 's/\.c$/.o/')
# Not the suites nor the trace events: clang-format does not understand their macros.
mapfile -t format_files < <(matching '^(include|mm|drivers|arch|packaging/module|tools/xen-tests/(lab|lib|agent|demo|examples|gpu-passthrough-check|modules))/.*\.[ch]$|^tools/(xen-tests/xgpu-device|lib|gnttop|gntctl)/[^/]*\.[ch]$' |
	grep -v '^include/trace/')
mapfile -t scripts < <(for f in "${files[@]}"; do
	if head -n 1 "$f" | grep -qE '^#!.*(sh|bash)( |$)'; then echo "$f"; fi
	done; matching '^tools/(lib|xen-tests/(lab|gpu-passthrough-check))/.*\.sh$|^tools/.*/completion\.bash$')
mapfile -t scripts < <(printf '%s\n' "${scripts[@]}" | sort -u)

c_spdx()
{
	local f bad=0

	for f in "${files[@]}"; do
		case $f in
		COPYING|.gitignore|*.md|*.config|*.conf|*.cfg|*.txt|*.prog|*.append|*.svg) continue ;;
		# In debian/copyright; but for what is a program
		debian/rules) ;;
		debian/*) continue ;;
		esac
		head -n 3 "$f" | grep -qE 'SPDX-License-Identifier: [(]*GPL-2.0' && continue
		echo "$f: no SPDX licence line"
		bad=1
	done
	return "$bad"
}

# Every file is a new one for checkpatch; MAINTAINERS is not ours. Without a
# GIT_DIR it leaves out spdxcheck.py, which wants a Python module. The arrays of
# one element in the user ABI stay: their size is part of the ioctl numbers.
c_checkpatch()
{
	local f ignore bad=0

	for f in "${kernel_files[@]}"; do
		ignore=FILE_PATH_CHANGES
		[[ $f != include/uapi/* ]] || ignore+=,FLEXIBLE_ARRAY
		# A table of trace events is a language of its own.
		[[ $f != include/trace/* ]] ||
			ignore+=,COMPLEX_MACRO,MACRO_ARG_UNUSED,TRAILING_SEMICOLON,PARENTHESIS_ALIGNMENT,OPEN_ENDED_LINE
		GIT_DIR=/nonexistent perl "$stock/scripts/checkpatch.pl" \
			--root="$stock" --strict --quiet --no-summary \
			--show-types --ignore "$ignore" -f "$f" || bad=1
	done
	# Its memory of names, which it leaves where it runs.
	rm -f .checkpatch-camelcase.*
	return "$bad"
}

# Runs of blanks inside a line count as one: in which column a comment or the
# value of a macro starts is the author's choice. So are the blanks in "{ }".
blanks() { sed -E -e 's/([^[:blank:]])[[:blank:]]+/\1 /g' -e 's/\{ \}/{}/g' -e 's/\) \{/){/g'; }

c_clang_format()
{
	local f bad=0

	for f in "${format_files[@]}"; do
		diff -u --label "$f" --label "$f (clang-format)" <(blanks <"$f") \
			<(clang-format --style=file "$f" | blanks) || bad=1
	done
	return "$bad"
}

# kbuild FILE-OF-MESSAGES ARG...: in an object directory of its own, because
# other flags than those of the lab's kernel would have that built again.
kbuild()
{
	local out=$1

	shift
	(
		unset MAKEFLAGS MFLAGS MAKELEVEL KERNEL LAB SUITE TEST
		ccache_settings
		export KBUILD_BUILD_TIMESTAMP=2026-01-01 KBUILD_BUILD_USER=grantmirror KBUILD_BUILD_HOST=lab
		make -s -C "$ours" O="$obj" -j"$(nproc)" CC="ccache gcc" \
			HOSTCC="ccache gcc" "$@"
	) >"$out" 2>&1
}

prepare_kernel()
{
	local fragments

	mapfile -t fragments < <(fragments_of base mm xen test ours)
	"$GM_SCRIPTS/overlay.sh" "$ours" >/dev/null || return
	mkdir -p "$obj"
	if [ "$(cat "$obj/.grantmirror-config" 2>/dev/null)" != "$(sum_of "${fragments[@]}")" ]; then
		(cd "$ours" && scripts/kconfig/merge_config.sh -n -O "$obj" "${fragments[@]}") \
			>"$log/config" 2>&1 || { cat "$log/config"; return 1; }
		sum_of "${fragments[@]}" >"$obj/.grantmirror-config"
	fi
	kbuild "$log/prepare" prepare modules_prepare || { cat "$log/prepare"; return 1; }
}

# The compiler's extra warnings and sparse, for our files. Every message counts,
# also one about a header that only shows with our file.
c_W1_and_sparse()
{
	[ ${#kernel_objects[@]} -gt 0 ] || return 0
	prepare_kernel || return
	# An object that is up to date would not be compiled, and say nothing.
	(cd "$obj" && rm -f "${kernel_objects[@]}")
	kbuild "$log/w1" W=1 C=1 CHECK=sparse "${kernel_objects[@]}" ||
		{ cat "$log/w1"; return 1; }
	# Sparse does not follow pte_offset_map_lock(), which locks only if it succeeds.
	! grep -E '(warning|error):' "$log/w1" |
		grep -v "context imbalance in 'hmm_walk_pte_table'"
}

# The same for the test modules. What they link against is checked when the lab's
# are built (modules.sh).
c_modules()
{
	local dir src=$GM_CACHE/tree/modules-check

	prepare_kernel || return
	fresh_dir "$src"
	for dir in tools/xen-tests/modules/*/; do
		[ -e "$dir/Kbuild" ] || continue
		cp -r "$dir" "$src/"
		echo "obj-m += $(basename "$dir")/" >>"$src/Kbuild"
	done
	[ -e "$src/Kbuild" ] || return 0
	kbuild "$log/w1-modules" M="$src" W=1 C=1 CHECK=sparse GM_KERNEL=ours \
		KBUILD_MODPOST_WARN=1 modules || { cat "$log/w1-modules"; return 1; }
	! grep -vE '^WARNING: (Module.symvers|modpost:)' "$log/w1-modules" |
		grep -E '(warning|error):'
}

c_kernel_doc()
{
	perl "$stock/scripts/kernel-doc" -none -Wall -Werror "${kernel_files[@]}"
}

c_shellcheck()
{
	shellcheck "${scripts[@]}"
}

# The user ABI, number by number, against the packaged kernel's.
c_abi()
{
	local tree

	for tree in "$stock" "$GM_TOP"; do
		gcc -Wall -DGNTDEV_H="\"$tree/include/uapi/xen/gntdev.h\"" \
			-o "$log/abi" tools/xen-tests/lab/abi.c || return
		"$log/abi" >"$log/abi.${tree##*/}.txt" || return
	done
	diff -u "$log/abi.${stock##*/}.txt" "$log/abi.${GM_TOP##*/}.txt"
}

# Links, files that are named, the API reference (docs.sh)
c_docs()
{
	"$GM_SCRIPTS/docs-plot.sh" check && "$GM_SCRIPTS/docs.sh"
}

# With -Wall -Wextra -Werror, from nothing.
c_programs()
{
	make --no-print-directory -s -C tools/xen-tests O="$log/tests" KTREE="$stock"
}

# What syzkaller is told of our devices
c_syzlang()
{
	tools/xen-tests/fuzz/syzlang.sh
}

# The programs of the fuzzer's corpus: they are understood, and written as it writes them.
c_corpus()
{
	local f bad=0

	make --no-print-directory -s -C tools/xen-tests O="$log/tests" KTREE="$stock" \
		"$log/tests/bin/gm-fuzz" || return
	for f in tools/xen-tests/fuzz/corpus/*/*.prog; do
		"$log/tests/bin/gm-fuzz" format --target "$(basename "$(dirname "$f")")" \
			--input "$f" | diff -u --label "$f" --label "$f (gm-fuzz format)" "$f" - || bad=1
	done
	return "$bad"
}

# The notifier protocol, every order of its steps (tools/xen-tests/model)
c_spin()
{
	tools/xen-tests/model/run.sh
}

# Figures are judged, and the page of `make report` made, as they should be.
c_python()
{
	(cd tools/xen-tests/report && /usr/bin/python3 -B -m unittest -q)
}

failed=0
run()
{
	local check begun

	for check; do
		begun=$SECONDS
		if "c_$check" >"$log/$check.log" 2>&1; then
			printf 'ok   %s (%s)\n' "$check" "$(duration $((SECONDS - begun)))"
		else
			cat "$log/$check.log"
			printf 'FAIL %s (log: build/logs/check/%s.log)\n' "$check" "$check"
			failed=1
		fi
	done
}

for check; do
	declare -F "c_$check" >/dev/null ||
		die "check.sh: no check '$check'; there are $(declare -F | sed -n 's/.* c_//p' | paste -sd ' ')"
done
if [ $# -gt 0 ]; then
	lock tree
	run "$@"
	exit $failed
fi
# What needs no kernel tree does not keep others from theirs.
run spdx shellcheck syzlang spin python
lock tree
run docs checkpatch clang_format kernel_doc W1_and_sparse modules abi programs corpus
exit $failed
