// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pattern that pages are filled with: every 64-bit word differs from every
 * other in the same run, so a page that is lost, swapped, stale or shifted shows.
 */
#include "gm.h"

uint64_t gm_pattern(uint64_t seed, uint64_t page, uint64_t word)
{
	uint64_t z = (seed ^ (page << 20) ^ word) + 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* Writes pages [first, first + count) of a run at @addr, which is page @first. */
void gm_fill(void *addr, uint64_t seed, unsigned int first, unsigned int count)
{
	uint64_t *p = addr;

	for (unsigned int page = first; page < first + count; page++)
		for (unsigned int w = 0; w < GM_PAGE_WORDS; w++)
			*p++ = gm_pattern(seed, page, w);
}

/* Byte offset from @addr of the first wrong word, or -1 when all are right. */
ssize_t gm_check(const void *addr, uint64_t seed, unsigned int first,
		 unsigned int count)
{
	const uint64_t *start = addr, *p = addr;

	for (unsigned int page = first; page < first + count; page++)
		for (unsigned int w = 0; w < GM_PAGE_WORDS; w++, p++)
			if (*p != gm_pattern(seed, page, w))
				return (p - start) * sizeof(*p);
	return -1;
}
