# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Tests of gpu-passthrough-check on machines that are only files. Sourced by
# lab/selftest.sh (suite runner), never run: its functions t_* are tests, in a folder of
# their own each.

# file PATH TEXT: PATH of the pretended machine, below tree/
file() { mkdir -p "tree/$(dirname "$1")" && printf '%b' "$2" >"tree/$1"; }

# device NAME CLASS DRIVER: a PCI device in good order: registers below 4 GiB, 16 GiB of
# memory above, MSI with 4 vectors
device()
{
	local d=sys/bus/pci/devices/$1

	file "$d/class" "$2\n"
	file "$d/vendor" "0x1002\n"
	file "$d/device" "0x73bf\n"
	file "$d/reset_method" "flr bus\n"
	bars "$1" "fe000000 fe0fffff 40200" "8000000000 83ffffffff 14220c"
	config "$1" '\x10\x60\x00\x00' '\x05\x00\x04\x00'
	[ -z "$3" ] || driver "$1" "$3"
}

driver()
{
	mkdir -p "tree/sys/bus/pci/drivers/$2"
	ln -sfn "../../drivers/$2" "tree/sys/bus/pci/devices/$1/driver"
}

# bars NAME "FIRST LAST FLAGS"...: hexadecimal, as in the file "resource"
bars()
{
	local name=$1 text='' n=0 first last flags

	shift
	for bar; do
		read -r first last flags <<<"$bar"
		text+="0x$first 0x$last 0x$flags\n"
		n=$((n + 1))
	done
	while [ $((n += 1)) -le 13 ]; do text+="0x0 0x0 0x0\n"; done
	file "sys/bus/pci/devices/$name/resource" "$text"
}

# config NAME AT-0x40 AT-0x60: 256 bytes of configuration space with two capabilities
config()
{
	local zeros

	printf -v zeros '\\x00%.0s' {1..256}
	file "sys/bus/pci/devices/$1/config" \
		"\x02\x10\xbf\x73\x07\x00\x10\x00${zeros:0:176}\x40${zeros:0:44}$2${zeros:0:112}$3${zeros:0:624}"
}

# Everything of a PV dom0 whose GPU can be given to a domain
dom0()
{
	rm -rf tree
	file sys/hypervisor/type 'xen\n'
	file sys/hypervisor/guest_type 'PV\n'
	file sys/hypervisor/version/major '4\n'
	file sys/hypervisor/version/minor '17\n'
	file sys/hypervisor/version/extra '.7\n'
	file sys/hypervisor/properties/features '0000afff\n'
	file proc/sys/kernel/osrelease '6.12.0\n'
	file proc/cpuinfo 'vendor_id\t: GenuineIntel\n'
	file boot/config-6.12.0 '# a\nCONFIG_XEN_PCIDEV_BACKEND=m\nCONFIG_XEN_PCIDEV_FRONTEND=y\nCONFIG_SWIOTLB_XEN=y\nCONFIG_PCI_MSI=y\nCONFIG_IRQ_REMAP=y\nCONFIG_HMM_MIRROR=y\nCONFIG_DEVICE_PRIVATE=y\nCONFIG_DEVICE_MIRROR=y\n'
	file xl/info 'host                   : a\nvirt_caps              : pv hvm hvm_directio pv_directio hap\nxen_commandline        : placeholder dom0-iommu=strict\n'
	file xl/dmesg '(XEN) I/O virtualisation enabled\n(XEN)  - Dom0 mode: Strict\n(XEN) Interrupt remapping enabled\n'
	file xl/pci-assignable-list '0000:01:00.0\n'
	device 0000:00:1f.0 0x060100 ''
	device 0000:01:00.0 0x030000 pciback
	rm -f tree/sys/bus/pci/devices/0000:00:1f.0/config
}

# Linux alone, with an IOMMU and a GPU behind it
bare()
{
	dom0
	rm -r tree/sys/hypervisor tree/xl
	file sys/class/iommu/dmar0/x ''
	file sys/kernel/iommu_groups/7/type 'DMA\n'
	mkdir -p tree/sys/kernel/iommu_groups/7/devices/0000:01:00.0
	ln -sfn ../../../../kernel/iommu_groups/7 tree/sys/bus/pci/devices/0000:01:00.0/iommu_group
	driver 0000:01:00.0 amdgpu
	file proc/interrupts '           CPU0\n  24:   1  IR-PCI-MSI-0000:01:00.0  0-edge  amdgpu\n'
}

# judged STATUS REGEX...: what the program must make of tree/, each line with its advice
judged()
{
	local rc=0 want=$1 re

	shift
	timeout 60 "$GM_BUILD/tests/bin/gpu-passthrough-check" --root tree ${check_args[@]+"${check_args[@]}"} >out 2>&1 || rc=$?
	# A line that was broken for the terminal is one line again.
	sed -zE 's/\n {25,}/ /g; s/ -> / -> /g' -i out
	[ $rc = "$want" ] || { echo "exit status $rc, expected $want"; return 1; }
	for re; do
		grep -qE -- "$re" out || { echo "no line of the output matches: $re"; return 1; }
	done
}

# only STATUS REGEX: one thing is wrong, and is said; nothing else is
only()
{
	local wrong

	judged "$@" || return
	wrong=$(grep -cE '^  (WARN|FAIL|\?) ' out)
	[ "$wrong" = 1 ] || { echo "$wrong lines complain, expected 1"; return 1; }
}

gpu=sys/bus/pci/devices/0000:01:00.0

t_gpu_check_ready()
{
	dom0
	judged 0 '^  OK    xen +PV dom0 on Xen 4\.17\.7, Linux 6\.12\.0$' \
		'^  OK    iommu +Xen uses it, and can give devices to PV and HVM domains$' \
		'^  OK    dom0-iommu +strict' '^  OK    intremap' '^  OK    xen-pciback' \
		'^  OK    assignable +1002:73bf can be given to a domain$' \
		'^  OK    group' '^  OK    reset +flr, by the function itself$' \
		'^  OK    bars +BAR 0 1 MiB below 4 GiB, BAR 1 16 GiB above 4 GiB$' \
		'^  OK    msi +MSI with 4 vectors$' '^Ready: 0 warnings\.$' || return
	! grep -E '0000:00:1f|^  (WARN|FAIL|\?)' out
}

t_gpu_check_bare()
{
	bare
	only 1 '^  FAIL  xen .* -> install xen-system' || return
	judged 1 '^  OK    iommu +Linux uses it \(dmar0\): 1 groups' '^  OK    intremap' \
		'^  OK    group +IOMMU group 7: alone' '^  OK    iommu-mode +strict'
}

t_gpu_check_iommu_of_xen()
{
	dom0
	sed -i 's/hvm_directio pv_directio//' tree/xl/info
	only 1 '^  FAIL  iommu .* -> the firmware offers none: turn on VT-d in' || return
	# By this name dom0 has what Xen keeps for itself.
	file sys/firmware/acpi/tables/RMAD ''
	only 1 '^  FAIL  iommu .* -> the firmware offers one: add iommu=force,verbose' || return
	sed -i 's/placeholder/placeholder iommu=no-intremap/' tree/xl/info
	only 1 '^  FAIL  iommu .* -> the firmware offers one: add iommu=force,verbose' || return
	sed -i 's/no-intremap/verbose,no/' tree/xl/info
	only 1 '^  FAIL  iommu .* -> Xen.s command line has iommu=verbose,no: take it off' || return
	dom0
	sed -i 's/pv_directio//' tree/xl/info
	judged 0 '^  OK    iommu +.* to HVM domains only'
}

t_gpu_check_iommu_of_linux()
{
	bare
	rm tree/$gpu/iommu_group
	judged 1 '^  OK    iommu' '^  FAIL  group +it is behind no IOMMU' || return
	rm -r tree/sys/kernel/iommu_groups tree/sys/class/iommu
	judged 1 '^  FAIL  iommu .* -> the firmware offers none: turn on VT-d in' || return
	! grep -E '^  [A-Z?]+ +(group|intremap) ' out || return
	file sys/firmware/acpi/tables/DMAR ''
	judged 1 '^  FAIL  iommu .* -> the firmware offers one.* intel_iommu=on' || return
	file proc/cpuinfo 'vendor_id\t: AuthenticAMD\n'
	judged 1 '^  FAIL  iommu .* -> the firmware offers one.* amd_iommu=on'
}

t_gpu_check_strict_or_relaxed()
{
	dom0
	sed -i s/Strict/Relaxed/ tree/xl/dmesg
	only 0 '^  WARN  dom0-iommu +relaxed: .* -> .*dom0-iommu=strict' || return
	# Gone from the log: the command line says it.
	echo >tree/xl/dmesg
	judged 0 '^  OK    dom0-iommu +strict' || return
	sed -i s/dom0-iommu=strict// tree/xl/info
	judged 0 '^  WARN  dom0-iommu +relaxed' || return
	bare
	file sys/kernel/iommu_groups/7/type 'DMA-FQ\n'
	judged 1 '^  WARN  iommu-mode +lazy.* -> .*iommu\.strict=1' || return
	file sys/kernel/iommu_groups/7/type 'identity\n'
	judged 1 '^  WARN  iommu-mode +off for this device.* -> .*iommu\.passthrough=0'
}

t_gpu_check_interrupt_remapping()
{
	dom0
	sed -i 's/remapping enabled/remapping disabled/' tree/xl/dmesg
	only 0 '^  WARN  intremap +interrupts are not remapped.* -> .*no-intremap' || return
	sed -i '/remapping/d' tree/xl/dmesg
	only 0 '^  WARN  intremap .*not seen -> .*conring_size' || return
	bare
	file proc/interrupts ' 24: 1 PCI-MSI-0000:01:00.0 0-edge amdgpu\n'
	judged 1 '^  WARN  intremap .* -> .*intremap=off' || return
	sed -i 's/^CONFIG_IRQ_REMAP=y/# CONFIG_IRQ_REMAP is not set/' tree/boot/config-6.12.0
	judged 1 '^  WARN  intremap .* -> this kernel cannot: .*CONFIG_IRQ_REMAP'
}

t_gpu_check_group()
{
	bare
	device 0000:01:00.1 0x040300 snd_hda_intel
	device 0000:00:01.0 0x060400 pcieport
	mkdir -p tree/sys/kernel/iommu_groups/7/devices/0000:0{1:00.1,0:01.0}
	judged 1 '^  WARN  group +IOMMU group 7, with: 0000:01:00\.1 snd_hda_intel -> ' || return
	# Other functions of the card in dom0, until they are held for a domain as well
	dom0
	device 0000:01:00.1 0x040300 snd_hda_intel
	only 0 '^  WARN  group +.* 0000:01:00\.1 snd_hda_intel -> ' || return
	driver 0000:01:00.1 pciback
	judged 0 '^  OK    group'
}

t_gpu_check_reset()
{
	dom0
	rm tree/$gpu/reset_method
	only 1 '^  FAIL  reset +none: ' || return
	file $gpu/reset_method '\n'
	only 1 '^  FAIL  reset +none: ' || return
	file $gpu/reset_method 'pm bus\n'
	only 0 '^  WARN  reset +pm, by its power state' || return
	file $gpu/reset_method 'bus\n'
	judged 0 '^  OK    reset +bus$' || return
	device 0000:01:01.0 0x020000 e1000e
	only 0 '^  WARN  reset +bus only, and it is not alone on its bus' || return
	file $gpu/reset_method 'flr bus\n'
	judged 0 '^  OK    reset +flr' || return
	# Linux before 5.15
	rm tree/$gpu/reset_method
	file $gpu/reset ''
	only 0 '^  WARN  reset .*does not say how'
}

t_gpu_check_bars()
{
	dom0
	bars 0000:01:00.0 "fe000000 fe0fffff 40200" "0 3ffffffff 14220c"
	only 1 '^  FAIL  bars +.*BAR 1 16 GiB without an address: .* -> turn on "Above 4G decoding"' || return
	bars 0000:01:00.0 "fe000000 fe0000ff 40200"
	only 0 '^  WARN  bars +BAR 0 256 bytes below 4 GiB: .* -> pci=resource_alignment=0000:01:00\.0 ' || return
	bars 0000:01:00.0 "c0000000 cfffffff 42208" "fe000000 fe0fffff 40200" "e000 e0ff 40101"
	judged 0 '^  OK    bars +BAR 0 256 MiB below 4 GiB, BAR 1 1 MiB below 4 GiB$' \
		'^  WARN  bars +257 MiB that must lie below .* -> mmio_hole = 768 in' || return
	bars 0000:01:00.0
	only 1 '^  \?     bars '
}

t_gpu_check_interrupts()
{
	dom0
	config 0000:01:00.0 '\x05\x60\x00\x00' '\x11\x00\x1f\x00'
	judged 0 '^  OK    msi +MSI-X with 32 vectors, and MSI$' || return
	config 0000:01:00.0 '\x10\x60\x00\x00' '\x01\x00\x00\x00'
	only 0 '^  WARN  msi +neither MSI nor MSI-X.* -> .*/proc/interrupts' || return
	# A list that goes in a circle
	config 0000:01:00.0 '\x10\x60\x00\x00' '\x01\x40\x00\x00'
	only 0 '^  WARN  msi +neither' || return
	# All that others than root can read
	truncate -s 64 tree/$gpu/config
	only 0 '^  WARN  msi +what interrupts it can raise was not seen -> '
}

t_gpu_check_owner()
{
	local check_args=()

	dom0
	driver 0000:01:00.0 amdgpu
	only 1 "^  FAIL  assignable +1002:73bf is dom0's, driver: amdgpu -> xl pci-assignable-add 0000:01:00\.0 .*xen-pciback\.hide=\(0000:01:00\.0\)" || return
	rm -r tree/sys/bus/pci/drivers/pciback
	judged 1 '^  FAIL  xen-pciback .* -> modprobe xen-pciback passthrough=1' \
		'^  FAIL  assignable .* -> load xen-pciback, then: xl pci-assignable-add' || return
	sed -i /BACKEND/d tree/boot/config-6.12.0
	judged 1 '^  FAIL  xen-pciback .* -> this kernel does not have it: .*CONFIG_XEN_PCIDEV_BACKEND' || return
	dom0
	: >tree/xl/pci-assignable-list
	only 1 '^  FAIL  assignable .*given to a domain already' || return
	echo 0000:02:00.0 >tree/xl/pci-assignable-list
	only 1 '^  FAIL  assignable .*given to a domain already -> .*xl pci-detach DOMAIN 0000:01:00\.0' || return
	dom0
	file $gpu/boot_vga '1\n'
	only 1 '^  FAIL  devices ' || return
	check_args=(01:00.0)
	only 0 '^  WARN  boot-vga '
}

t_gpu_check_kernel()
{
	dom0
	# Commented out, or another option that begins or ends alike, is not it.
	sed -i 's/^CONFIG_HMM_MIRROR=y/# CONFIG_HMM_MIRROR is not set\nCONFIG_HMM_MIRROR_TEST=y\nCONFIG_X_CONFIG_HMM_MIRROR=y/' tree/boot/config-6.12.0
	only 0 '^  WARN  kernel +CONFIG_HMM_MIRROR is not set' || return
	rm tree/boot/config-6.12.0
	only 0 '^  WARN  kernel +its options were not seen -> .*/boot/config-6\.12\.0' || return
	dom0
	mv tree/boot/config-6.12.0 tree/proc/config && gzip tree/proc/config && mv tree/proc/config.gz tree/proc/c
	mv tree/proc/c tree/proc/config.gz
	judged 0 '^  OK    kernel +has XEN_PCIDEV_BACKEND=m '
}

t_gpu_check_not_root()
{
	dom0
	rm -r tree/xl
	judged 1 '^  \?     iommu .* -> ' '^Not ready: 0 failures, 0 warnings, 1 thing not seen\.$'
}

t_gpu_check_domain()
{
	dom0
	rm -r tree/xl
	file sys/hypervisor/properties/features '000002ff\n'
	driver 0000:01:00.0 amdgpu
	judged 0 '^  OK    xen +PV domain on Xen 4\.17\.7.* -> IOMMU, reset and the like are dom0' \
		'^  OK    driver +1002:73bf, driver: amdgpu$' || return
	! grep -E '^  [A-Z?]+ +(iommu|reset|assignable|xen-pciback) ' out || return
	sed -i /FRONTEND/d tree/boot/config-6.12.0
	only 1 '^  FAIL  kernel +CONFIG_XEN_PCIDEV_FRONTEND is not set' || return
	file sys/hypervisor/guest_type 'PVH\n'
	judged 1 '^  FAIL  xen +PVH domain .* cannot have PCI devices' || return
	dom0
	file sys/hypervisor/guest_type 'PVH\n'
	only 0 '^  WARN  xen +PVH dom0'
}

t_gpu_check_which_devices()
{
	local check_args

	dom0
	device 0000:02:00.0 0x020000 e1000e
	device 0000:03:00.0 0x120000 ''
	judged 1 '^0000:01:00\.0$' '^0000:03:00\.0$' || return
	! grep 0000:02 out || return
	check_args=(01:00.0)
	judged 0 '^0000:01:00\.0$' || return
	check_args=(0000:02:00.0 1:0.0)
	judged 1 '^0000:01:00\.0$' '^0000:02:00\.0$' || return
	check_args=(04:00.0)
	judged 1 '^  FAIL  present .*no such device' || return
	device 0000:00:01.0 0x060400 pcieport
	check_args=(00:01.0)
	judged 1 '^  FAIL  present .*a bridge' || return
	check_args=()
	rm -r tree/sys/bus/pci/devices/0000:0{1,3}*
	only 1 '^  FAIL  devices +there is no display controller'
}

t_gpu_check_usage()
{
	local arg check_args

	dom0
	for arg in 01:00 01:00.8 01:20.0 01:00.0x gpu ../../x '' --no-such; do
		check_args=("$arg")
		judged 2 || { echo "with '$arg'"; return 1; }
	done
	check_args=(--root /nonexistent)
	judged 2 'no such directory' || return
	check_args=(--help)
	judged 0 'Exit status: 0 ready, 1 not ready' 'gpu-passthrough-check 01:00\.0'
}

t_gpu_check_json()
{
	local check_args=(--json)

	if [ ! -x /usr/bin/python3 ]; then
		echo "SKIP there is no python3 here"
		return 4
	fi
	dom0
	judged 0 || return
	python3 -c 'import json; j = json.load(open("out")); assert j["ready"] and not j["failures"]; assert all(f["verdict"] == "ok" for f in j["findings"]); assert "reset" in [f["check"] for f in j["findings"] if f["device"] == "0000:01:00.0"]' || return
	# What a file says may be anything.
	file sys/hypervisor/version/extra '."\\\\\x01\xff\x1b[2J\n'
	rm tree/$gpu/reset_method
	judged 1 || return
	python3 -c 'import json; j = json.load(open("out")); assert not j["ready"] and j["failures"] == 1; assert [f for f in j["findings"] if f["verdict"] == "failure"][0]["todo"]' || return
	check_args=()
	judged 1 || return
	! grep -q $'[\x01\x1b]' out
}

# This computer, by itself and from a copy
t_gpu_check_collect()
{
	local check_args=() rc=0 devices

	if grep -qs xen /sys/hypervisor/type; then
		echo "SKIP what root may ask Xen here is not known"
		return 4
	fi
	"$GM_TOP/tools/xen-tests/gpu-passthrough-check/collect.sh" tree || return
	# Something to look at, wherever this runs
	mapfile -t devices < <(grep -L '^0x06' /sys/bus/pci/devices/*/class | sed 's|/class$||; s|.*/||')
	check_args=(${devices[@]+"${devices[@]}"})
	"$GM_BUILD/tests/bin/gpu-passthrough-check" ${devices[@]+"${devices[@]}"} >live || rc=$?
	[ $rc = 1 ] || { echo "exit status $rc without Xen"; return 1; }
	sed -zE 's/\n {25,}/ /g; s/ -> / -> /g' -i live
	judged 1 '^  FAIL  xen ' || return
	# What only root can see is missing in both, and what to do about it differs.
	[ "$(id -u)" = 0 ] || sed -E 's/( was not seen) -> .*/\1/' -i live out
	diff live out
}

# Files with nonsense, or cut short: some verdict, and no crash
t_gpu_check_nonsense()
{
	local f n=0 files

	dom0
	mapfile -t files < <(find tree -type f)
	for f in "${files[@]}"; do
		cp "$f" saved
		for size in 0 1 63 65 70; do
			head -c $size saved >"$f"
			judged_at_all "$f, $size bytes" || return
		done
		head -c 5000 "$GM_BUILD/tests/bin/gpu-passthrough-check" >"$f"
		judged_at_all "$f, nonsense" || return
		yes '0x1 ffffffffffffffff : x,' | head -c 20000 >"$f"
		judged_at_all "$f, far too much" || return
		cp saved "$f"
		n=$((n + 1))
	done
	[ $n -gt 15 ] || { echo "only $n files"; return 1; }
	judged 0
}

judged_at_all()
{
	local rc=0

	timeout 60 "$GM_BUILD/tests/bin/gpu-passthrough-check" --root tree >out 2>&1 || rc=$?
	[ $rc -le 1 ] || { echo "exit status $rc with $1"; return 1; }
	grep -qE '^(Ready|Not ready): ' out || { echo "no verdict with $1"; return 1; }
}
