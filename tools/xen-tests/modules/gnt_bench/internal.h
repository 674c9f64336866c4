/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of gnt_bench share.
 */
#ifndef GNT_BENCH_INTERNAL_H
#define GNT_BENCH_INTERNAL_H

#include "gnt_bench.h"

/* calls.c */
int gnb_run(struct gnb_run *run);

/* lock.c: one process at a time is watched */
int gnb_lock_watch(void);
void gnb_lock_forget(void);
void gnb_lock_read(struct gnb_lock *lock);

#endif /* GNT_BENCH_INTERNAL_H */
