// SPDX-License-Identifier: GPL-2.0-only
/* hmm_check on a kernel that has the call without the mmap lock */
#include "internal.h"

bool hc_has_unlocked(void)
{
	return true;
}

int hc_unlocked(struct hmm_range *range, unsigned int timeout_ms)
{
	return hmm_range_fault_unlocked_timeout(range, timeout_ms);
}
