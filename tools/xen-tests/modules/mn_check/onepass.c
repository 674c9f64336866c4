// SPDX-License-Identifier: GPL-2.0-only
/*
 * For kernels without two-pass invalidation.
 */
#include "internal.h"

const struct mmu_interval_notifier_ops *mn_two_pass_ops(void)
{
	return NULL;
}
