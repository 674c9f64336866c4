/* SPDX-License-Identifier: GPL-2.0-only */
/* What the notifier core shows to its KUnit suites only. */
#ifndef _MM_MMU_NOTIFIER_TEST_H
#define _MM_MMU_NOTIFIER_TEST_H

#include <linux/kconfig.h>

struct mm_struct;

#if IS_ENABLED(CONFIG_MMU_NOTIFIER_KUNIT_TEST)
/*
 * Let @seq (odd) be the last ticket that was given to a colliding invalidation of
 * @mm. The mm has had an interval notifier; nothing is in flight, nobody waits.
 */
void mmu_notifier_test_set_seq(struct mm_struct *mm, unsigned long seq);
#endif

#endif /* _MM_MMU_NOTIFIER_TEST_H */
