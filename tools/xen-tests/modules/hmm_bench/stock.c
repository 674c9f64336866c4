// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kernel without what ours.c measures.
 */
#include <linux/errno.h>

#include "internal.h"

int hmb_unlocked(struct hmb_ctx *ctx)
{
	return -EOPNOTSUPP;
}

int hmb_dma(struct device *dev, struct hmb_ctx *ctx)
{
	return -EOPNOTSUPP;
}
