// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kernel without hmm_range_fault_unlocked_timeout().
 */
#include <linux/errno.h>

#include "internal.h"

bool mn_has_unlocked(void)
{
	return false;
}

int mn_range_fault_unlocked(struct hmm_range *range, unsigned int timeout_ms)
{
	return -EOPNOTSUPP;
}
