#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# collect.sh DIR: copies into DIR what gpu-passthrough-check wants to know of this machine,
# so that `gpu-passthrough-check --root DIR` can judge it anywhere else. As root, in dom0.
# Nothing else is read: sysfs has files that do something when they are.

set -euo pipefail
shopt -s nullglob
[ $# = 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
dir=$1
mkdir -p "$dir"

for f in /proc/{sys/kernel/osrelease,cpuinfo,interrupts,config.gz} "/boot/config-$(uname -r)" \
	 /sys/hypervisor/{type,guest_type,version/{major,minor,extra},properties/features} \
	 /sys/kernel/iommu_groups/*/type \
	 /sys/bus/pci/devices/*/{class,vendor,device,resource,config,reset_method,boot_vga}; do
	[ -r "$f" ] || continue
	mkdir -p "$dir${f%/*}"
	cat "$f" >"$dir$f"
done
# Where a link points to is all that matters.
for link in /sys/bus/pci/devices/*/{driver,iommu_group}; do
	[ ! -L "$link" ] || cp -d "$link" "$dir$link"
done
for name in /sys/bus/pci/drivers/pciback /sys/class/iommu/* /sys/kernel/iommu_groups/*/devices/* \
	    /sys/firmware/acpi/tables/{DMAR,RMAD,IVRS} /sys/bus/pci/devices/*/reset; do
	[ ! -e "$name" ] || mkdir -p "$dir$name"
done
mkdir -p "$dir/xl"
for command in info dmesg pci-assignable-list; do
	xl $command >"$dir/xl/$command" 2>/dev/null || rm "$dir/xl/$command"
done
