#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# tree.sh DIR: lay out in DIR, which is made, what the grant device is built from as an
# external module of a stock kernel: the driver as it is, its headers, and what is in this
# directory. The package for DKMS and the lab's KERNEL=debian take it from here.
# The version is that of the packages.
set -eu

if [ $# != 1 ] || [ "$1" = --help ]; then
	echo "usage: $0 DIR    (then: make -C /lib/modules/VERSION/build M=DIR modules)" >&2
	exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
version=$(sed -n '1s/^grantmirror (\(.*\)).*/\1/p' "$top/debian/changelog")
headers='uapi/xen/gntdev.h xen/gntdev.h trace/events/gntdev.h'

mkdir -p "$1/gntdev"
for file in "$top"/drivers/xen/gntdev/*.[ch] "$top/drivers/xen/gntdev/Makefile"; do
	install -m 644 "$file" "$1/gntdev/"
done
sed "s/@VERSION@/$version/" "$here/version.c" >"$1/gntdev/version.c"
echo 'xen-gntdev-y += version.o' >>"$1/gntdev/Makefile"
for name in $headers; do
	install -D -m 644 "$top/include/$name" "$1/include/$name"
done
for name in Kbuild dkms.conf; do
	install -D -m 644 "$here/$name" "$1/$name"
done
