// SPDX-License-Identifier: GPL-2.0-only
/* hmm_check on a kernel that has only the call under the mmap lock */
#include "internal.h"

bool hc_has_unlocked(void)
{
	return false;
}

int hc_unlocked(struct hmm_range *range, unsigned int timeout_ms)
{
	return -EOPNOTSUPP;
}
