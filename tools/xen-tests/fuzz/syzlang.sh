#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# syzlang.sh: do the descriptions for syzkaller (gntdev.txt, xgpu.txt) agree with the headers of
# the user ABI? Numbers, offsets and sizes, and that no ioctl is missing. syzkaller itself, which
# Debian does not have, would check their grammar besides.

. "$(dirname "$0")/../lab/common.sh"

here=$GM_TOP/tools/xen-tests/fuzz
work=$GM_BUILD/syzlang
fresh_dir "$work"

# agrees NAME OWN-TYPES REGEX-OF-IOCTLS
agrees()
{
	local header=$GM_TOP/include/uapi/xen/$1.h

	{
		echo '#include <stdint.h>'
		echo '#include <linux/ioctl.h>'
		echo '#define __user'
		echo 'typedef uint32_t grant_ref_t;'
		echo 'typedef uint16_t domid_t;'
		# Xen's, with which gntdev's callers name what is in a segment
		echo '#define GNTCOPY_source_gref 1'
		echo '#define GNTCOPY_dest_gref 2'
		echo "#include \"$header\""
		awk -v own="$2" -f "$here/syzlang.awk" "$here/$1.txt"
	} >"$work/$1.c" || die "$1.txt cannot be read (see above)"
	gcc -std=gnu11 -Wall -Werror -fsyntax-only "$work/$1.c" ||
		die "$1.txt does not say what include/uapi/xen/$1.h says"
	sed -nE "s/^#define ($3)[[:space:]].*/\1/p" "$header" | sort >"$work/$1.defined"
	grep -oE "cmd const\[($3)\]" "$here/$1.txt" | sed 's/.*\[//;s/\]//' | sort >"$work/$1.described"
	diff "$work/$1.defined" "$work/$1.described" ||
		die "$1.txt: ioctls that only the header (<) or only the description (>) has"
}

agrees gntdev 'gntdev_copy_ptr gntdev_copy_foreign' 'IOCTL_GNTDEV_[A-Z_]+'
agrees xgpu '' 'XGPU_IOCTL_[A-Z_]+'
