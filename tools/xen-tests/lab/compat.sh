#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# compat.sh: does everything in the tree that uses the notifier and HMM APIs still
# build, unmodified, with our headers, and could it be loaded?
#
#   objects   those of compat-objects.txt, with all options that they need
#   exports   what the packaged core exports, and what the objects import
#   options   core mm and the headers alone, with the options that they look at on
#             and off in turn
#   arm64     the core, if there is a cross compiler
#   planted   the same questions with a wrong answer: does this script notice?
#
# $KERNEL: ours, or stock to see that the list itself is right. One line of result
# for each question; what the compiler says of a failure comes before its line.

. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/kbuild.sh"

mapfile -t fragments < <(fragments_of base mm xen test compat)
mapfile -t base < <(fragments_of base)
core=(mm/mmu_notifier.o mm/hmm.o)
case $GM_KERNEL in
ours)	mapfile -t own < <(cd "$GM_TOP" && printf '%s\n' mm/*.c | sed -n '/_test/!s/\.c$/.o/p')
	ours_only=("$GM_TOP/configs/kernel/ours.config") ;;
stock)	own=()
	ours_only=() ;;
*)	die "KERNEL=$GM_KERNEL: there are 'ours' and 'stock'" ;;
esac
mapfile -t core < <(printf '%s\n' "${core[@]}" ${own[@]+"${own[@]}"} | sort -u)
mapfile -t objects < <(grep '^[^#]' "$GM_SCRIPTS/compat-objects.txt")
log=$GM_BUILD/logs/compat/$GM_KERNEL

# One order for sort and comm
export LC_ALL=C

passed=0
failed=0
# result FILE-OF-MESSAGES STATUS NAME
result()
{
	if [ "$2" = 0 ]; then
		echo "ok   compat $3"
		((++passed))
	else
		sed -E -e '/^make(\[[0-9]+\])?: /d' -e 's/^/# /' "$1"
		echo "FAIL compat $3"
		((++failed))
	fi
}

# complaints FILE: what the compiler had to say of an object. A warning counts: none of
# these gives one with the packaged headers.
complaints()
{
	grep -E '(warning|error):' "$1" || true
}

# compile WHAT TARGET...: one after the other, as a result each
compile()
{
	local what=$1 target rc

	shift
	for target; do
		rc=0
		"${kmake[@]}" -s "$target" >"$log/messages" 2>&1 || rc=1
		[ -z "$(complaints "$log/messages")" ] || rc=1
		result "$log/messages" $rc "$what$target"
	done
}

# -- objects -----------------------------------------------------------------------

prepare()
{
	kbuild_in "$1" "$1/build-compat"
	configure "${fragments[@]}" "${@:2}"
	"${kmake[@]}" -s prepare modules_prepare >"$log/prepare" 2>&1 || {
		tail -n 20 "$log/prepare" >&2
		die "the kernel tree cannot be prepared (log: $log/prepare)"
	}
}

check_objects()
{
	local target bad=()

	say "compat: ${#objects[@]} objects that use the notifier and HMM APIs ($GM_KERNEL)"
	"${kmake[@]}" -k "${objects[@]}" "${core[@]}" 2>&1 </dev/null |
		progress ${#objects[@]} 3>"$log/objects" >"$log/progress" || true
	# In parallel nobody can tell whose a message is: ask again for those that failed,
	# and for all that were compiled if there was a warning.
	for target in "${objects[@]}"; do
		if [ -e "$obj/$target" ] && ! grep -qF ": $target] Error" "$log/objects"; then
			grep -q 'warning:' "$log/objects" || {
				result /dev/null 0 "$target"
				continue
			}
			rm -f "$obj/$target"
		fi
		bad+=("$target")
	done
	compile '' ${bad[@]+"${bad[@]}"}
}

# -- exports -------------------------------------------------------------------------

# exports OBJECT...: "symbol EXPORT_SYMBOL[_GPL]", as modpost sees it
exports()
{
	local dir=$log/modpost

	fresh_dir "$dir"
	(cd "$obj" && ld -r -o "$dir/vmlinux.o" "$@")
	(cd "$dir" && "$obj/scripts/mod/modpost" -M -o symvers vmlinux.o) >"$dir/log" 2>&1 || {
		cat "$dir/log" >&2
		die "modpost cannot read ${*}"
	}
	awk '{ print $2, $4 }' "$dir/symvers" | sort
}

# not_exported THEIRS OURS: what ours lacks, or has with another licence
not_exported() { comm -23 "$1" "$2"; }

check_exports()
{
	local more

	exports "${core[@]}" >"$log/exports"
	not_exported "$log/exports.stock" "$log/exports" >"$log/missing"
	result "$log/missing" "$([ ! -s "$log/missing" ]; echo $?)" \
		"exports: all $(wc -l <"$log/exports.stock") of mm/mmu_notifier.o and mm/hmm.o, with their licence"

	# What a module imports and the core has must be exported, also what an inline
	# function of our headers brings along.
	(cd "$obj" && nm -u "${modules[@]}" 2>/dev/null) | awk '/ U / { print $2 }' | sort -u >"$log/imports"
	(cd "$obj" && nm -g --defined-only "${core[@]}") | awk 'NF == 3 { print $3 }' | sort -u >"$log/defined"
	comm -12 "$log/imports" "$log/defined" >"$log/imported"
	comm -23 "$log/imported" <(cut -d ' ' -f 1 "$log/exports") >"$log/missing"
	result "$log/missing" "$([ -s "$log/imported" ] && [ ! -s "$log/missing" ]; echo $?)" \
		"imports: $(wc -l <"$log/imported") symbols of ours that ${#modules[@]} module objects use"

	more=$(not_exported "$log/exports" "$log/exports.stock" | cut -d ' ' -f 1 | paste -sd ' ')
	[ -z "$more" ] || note "exported besides: $more"
}

# -- options -------------------------------------------------------------------------

# What each of the variants adds to base.config; notifiers come with KVM.
kvm='VIRTUALIZATION KVM=m KVM_AMD=m'
hugetlb='HUGETLBFS'
thp='TRANSPARENT_HUGEPAGE TRANSPARENT_HUGEPAGE_MADVISE'
numa='NUMA'
lockdep='PROVE_LOCKING'
hmm='SPARSEMEM_VMEMMAP MEMORY_HOTPLUG MEMORY_HOTREMOVE MIGRATION ZONE_DEVICE DEVICE_PRIVATE'
hmm="$hmm RUNTIME_TESTING_MENU TEST_HMM=m"
variants="
off			|
off_all_else_on		| $hugetlb $thp $numa $lockdep
on			| $kvm
on_hugetlb		| $kvm $hugetlb
on_thp			| $kvm $thp
on_numa			| $kvm $numa
on_lockdep		| $kvm $lockdep
on_all_but_hugetlb	| $kvm $thp $numa $lockdep
on_all_but_thp		| $kvm $hugetlb $numa $lockdep
on_all_but_numa		| $kvm $hugetlb $thp $lockdep
on_all_but_lockdep	| $kvm $hugetlb $thp $numa
on_all			| $kvm $hugetlb $thp $numa $lockdep
on_hmm			| $thp $hmm
on_hmm_hugetlb		| $thp $hmm $hugetlb
"
variant_objects=(fs/proc/task_mmu.o kernel/fork.o mm/memory.o mm/mremap.o mm/oom_kill.o mm/rmap.o)

# A header must not rely on what its user has included before it.
headers_alone()
{
	local header name dir=$GM_CACHE/tree/compat-headers

	fresh_dir "$dir"
	for header in linux/mmu_notifier.h linux/hmm.h linux/hmm-dma.h; do
		name=$(basename "$header" .h)
		printf '%s\n' "#include <$header>" '#include <linux/module.h>' \
			'MODULE_LICENSE("GPL");' >"$dir/$name.c"
		echo "obj-m += $name.o" >>"$dir/Kbuild"
	done
	"${kmake[@]}" -s M="$dir" KBUILD_MODPOST_WARN=1 modules
}

check_variant()
{
	local name=$1 option rc=0 targets=("${variant_objects[@]}")

	kbuild_in "$tree" "$tree/build-compat-$name"
	mkdir -p "$obj"
	for option in $2; do
		[[ $option == *=* ]] || option="$option=y"
		echo "CONFIG_$option"
	done >"$obj/variant.config"
	configure "${base[@]}" "$obj/variant.config"
	if [[ $name == on* ]]; then
		mapfile -t -O ${#targets[@]} targets < <(printf '%s\n' "${core[@]}")
	elif grep -q '^CONFIG_MMU_NOTIFIER=y' "$obj/.config"; then
		die "variant $name: something in base.config selects MMU_NOTIFIER"
	fi
	[[ $2 != *HUGETLBFS* ]] || targets+=(mm/hugetlb.o)
	[[ $2 != *TRANSPARENT* ]] || targets+=(mm/huge_memory.o mm/khugepaged.o)
	{
		"${kmake[@]}" -s modules_prepare && "${kmake[@]}" -s -k "${targets[@]}" && headers_alone
	} >"$log/messages" 2>&1 || rc=1
	complaints "$log/messages" | grep -vE '^WARNING: (Module.symvers|modpost:)' >"$log/complaints" || true
	[ ! -s "$log/complaints" ] || rc=1
	result "$log/messages" $rc "options $name"
}

check_variants()
{
	local name options

	say "compat: core mm and the headers alone, with options on and off"
	while IFS='|' read -r name options; do
		[ -n "$name" ] || continue
		check_variant "${name//[[:space:]]/}" "$options"
	done <<<"$variants"
}

# -- another machine --------------------------------------------------------------------

check_arm64()
{
	local cross=aarch64-linux-gnu-

	command -v ${cross}gcc >/dev/null || {
		note "arm64: not compiled; there is no ${cross}gcc here (package gcc-aarch64-linux-gnu)"
		return
	}
	say "compat: the core for arm64"
	kbuild_in "$tree" "$tree/build-compat-arm64"
	kmake+=(ARCH=arm64 "CROSS_COMPILE=$cross" "CC=ccache ${cross}gcc")
	# Kconfig asks the compiler what it can.
	export ARCH=arm64 CROSS_COMPILE=$cross
	mkdir -p "$obj"
	printf 'CONFIG_%s=y\n' VIRTUALIZATION KVM >"$obj/arm64.config"
	configure "$obj/arm64.config" "$GM_TOP/configs/kernel/mm.config"
	unset ARCH CROSS_COMPILE
	compile 'arm64 ' "${core[@]}" arch/arm64/kvm/mmu.o virt/kvm/kvm_main.o mm/rmap.o
}

# -- can it fail? -------------------------------------------------------------------------

# A callback with one argument more, in a copy of the header that is found first; and
# a symbol that is no longer exported.
check_planted()
{
	local dir=$log/planted victim=drivers/infiniband/hw/mlx5/odp.o first

	say "compat: faults planted on purpose"
	fresh_dir "$dir/linux"
	awk '!done && sub(/unsigned long cur_seq\);/, "unsigned long cur_seq, int planted);") { done = 1 } { print }' \
		"$tree/include/linux/mmu_notifier.h" >"$dir/linux/mmu_notifier.h"
	kmake+=("CC=ccache gcc -I$dir")
	(compile '' "$victim") >"$log/planted.out" 2>&1
	unset 'kmake[-1]'
	rm -f "$obj/$victim"
	result "$log/planted.out" "$(grep -qx "FAIL compat $victim" "$log/planted.out" &&
		grep -q '^# .*odp\.c:.* error: ' "$log/planted.out"; echo $?)" \
		"planted: a callback's signature differs: reported, with the object's name"

	first=$(head -n 1 "$log/exports.stock")
	grep -vxF "$first" "$log/exports" >"$log/planted.exports"
	result /dev/null "$([ "$(not_exported "$log/exports.stock" "$log/planted.exports")" = "$first" ]; echo $?)" \
		"planted: a symbol is not exported: reported (${first% *})"
	sed "s/^$first\$/${first%_GPL}/" "$log/exports" | sort >"$log/planted.exports"
	result /dev/null "$([ "$(not_exported "$log/exports.stock" "$log/planted.exports")" = "$first" ]; echo $?)" \
		"planted: ... or for everybody: reported"
}

# Where HMM is off, a call of it is an error that names the option.
check_named_option()
{
	local dir=$GM_CACHE/tree/compat-option

	kbuild_in "$tree" "$tree/build-compat-on"
	fresh_dir "$dir"
	printf '%s\n' '#include <linux/hmm.h>' '#include <linux/module.h>' \
		'int call(struct hmm_range *range);' \
		'int call(struct hmm_range *range) { return hmm_range_fault(range); }' \
		'MODULE_LICENSE("GPL");' >"$dir/call.c"
	echo 'obj-m += call.o' >"$dir/Kbuild"
	"${kmake[@]}" -s M="$dir" KBUILD_MODPOST_WARN=1 modules >"$log/option.out" 2>&1 || true
	result "$log/option.out" "$(grep -q 'error:.*needs CONFIG_HMM_MIRROR' "$log/option.out"; echo $?)" \
		"planted: a call without CONFIG_HMM_MIRROR: the error names it"
}

# ---------------------------------------------------------------------------------------

started=$SECONDS
mkdir -p "$log"
[ "$GM_KERNEL" = stock ] || lock tree
lock compat
# Modules only: what is built in links against everything.
mapfile -t modules < <(printf '%s\n' "${objects[@]}" | grep -E '^(drivers/(gpu|infiniband|misc|xen)/|lib/|virt/|arch/x86/kvm/)')

if [ "$GM_KERNEL" = ours ]; then
	prepare "$GM_CACHE/tree/stock"
	"${kmake[@]}" -s mm/mmu_notifier.o mm/hmm.o >"$log/stock" 2>&1 || {
		cat "$log/stock" >&2
		die "the packaged core does not compile"
	}
	exports mm/mmu_notifier.o mm/hmm.o >"$log/exports.stock"
	"$GM_SCRIPTS/overlay.sh"
fi
prepare "$GM_CACHE/tree/$GM_KERNEL" ${ours_only[@]+"${ours_only[@]}"}
check_objects
[ "$GM_KERNEL" = ours ] || exports mm/mmu_notifier.o mm/hmm.o >"$log/exports.stock"
check_exports
check_planted
check_variants
[ "$GM_KERNEL" = stock ] || check_named_option
check_arm64

say "compat: $passed ok, $failed failed ($GM_KERNEL, $(duration $((SECONDS - started))); logs: build/logs/compat/$GM_KERNEL)"
[ $failed = 0 ]
