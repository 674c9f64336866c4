// SPDX-License-Identifier: GPL-2.0-only
/*
 * Readers that leave the loop to HMM.
 */
#include <linux/hmm.h>

#include "internal.h"

bool mn_has_unlocked(void)
{
	return true;
}

int mn_range_fault_unlocked(struct hmm_range *range, unsigned int timeout_ms)
{
	return hmm_range_fault_unlocked_timeout(range, timeout_ms);
}
