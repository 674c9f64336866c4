// SPDX-License-Identifier: GPL-2.0-only
/*
 * In place of two_pass.c on a kernel whose interval notifiers have one pass.
 */
#include "internal.h"

const struct mmu_interval_notifier_ops *mnb_two_pass_ops(void)
{
	return NULL;
}
