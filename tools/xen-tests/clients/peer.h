/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs of this suite share: the guest they use, and a checksum.
 *
 * Each program has two roles. Run without arguments it is a test, in dom0. In the guest, whose
 * initial ram disk holds the suite, it is the peer of that test: the first argument names what
 * to do, and the agent starts it.
 */
#ifndef GM_CLIENTS_PEER_H
#define GM_CLIENTS_PEER_H

#include <stddef.h>
#include <stdint.h>

#include "dom.h"
#include "gm.h"

#define PEER_GUEST(name_, config_, more) {				\
	.name = (name_),						\
	.config = "/gm/xl/" config_ ".cfg",				\
	.extra = "'ramdisk=\"/gm/guest/initrd-driver.gz\"' " more,	\
}

/* In seconds; a limit on a hang. */
#define TEST_S	(600 * gm_scale())

#define WHY()	TH_LOG("%s", dom_error())

/* FNV-1a by words: @bytes is a multiple of their size, @sum what the bytes before gave, or 0. */
static inline uint64_t peer_sum(uint64_t sum, const void *data, size_t bytes)
{
	const uint64_t *word = data;

	if (!sum)
		sum = 0xcbf29ce484222325ULL;
	for (size_t i = 0; i < bytes / sizeof(*word); i++)
		sum = (sum ^ word[i]) * 0x100000001b3ULL;
	return sum;
}

#endif
