// SPDX-License-Identifier: GPL-2.0-only
/*
 * An invalidation that must not sleep, which a plain notifier refuses after interval
 * notifiers have been called for it: what the OOM reaper may meet. Afterwards nothing
 * is in flight, and a reader of the range must not wait.
 */
#include <linux/completion.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>

#include "internal.h"

typedef int (*mn_start_fn)(struct mmu_notifier_range *range);
typedef void (*mn_end_fn)(struct mmu_notifier_range *range);

/* Modules do not invalidate, so these are not exported. */
static void *mn_find(const char *name)
{
	/* Never armed: QEMU may run another processor into a breakpoint that is gone again. */
	struct kprobe probe = { .symbol_name = name, .flags = KPROBE_FLAG_DISABLED };
	void *addr;

	if (register_kprobe(&probe))
		return NULL;
	addr = probe.addr;
	unregister_kprobe(&probe);
	return addr;
}

static int mn_refuse(struct mmu_notifier *notifier,
		     const struct mmu_notifier_range *range)
{
	return mmu_notifier_range_blockable(range) ? 0 : -EAGAIN;
}

static const struct mmu_notifier_ops mn_refuse_ops = {
	.invalidate_range_start = mn_refuse,
};

struct mn_reader {
	struct mn_sub *sub;
	struct completion done;
};

static int mn_reader_thread(void *arg)
{
	struct mn_reader *reader = arg;

	mmu_interval_read_begin(&reader->sub->notifier);
	complete(&reader->done);
	return 0;
}

static void mn_read_begin_or_mend(struct mn_sub *sub, struct gm_mn_refused *arg,
				  struct mmu_notifier_range *range, mn_end_fn end)
{
	struct mn_reader reader = { .sub = sub };
	struct task_struct *task;

	init_completion(&reader.done);
	task = kthread_create(mn_reader_thread, &reader, "mn_check reader");
	if (IS_ERR(task)) {
		arg->error = PTR_ERR(task);
		return;
	}
	get_task_struct(task);
	wake_up_process(task);
	if (!wait_for_completion_timeout(&reader.done, msecs_to_jiffies(arg->ms))) {
		arg->stuck = 1;
		/* What was left in flight comes down, or the reader never ends. */
		end(range);
		wait_for_completion(&reader.done);
	}
	kthread_stop_put(task);
}

int mn_refused_start(struct mn_sub *sub, struct gm_mn_refused *arg)
{
	mn_start_fn start = mn_find("__mmu_notifier_invalidate_range_start");
	mn_end_fn end = mn_find("__mmu_notifier_invalidate_range_end");
	struct mmu_notifier plain = { .ops = &mn_refuse_ops };
	struct mm_struct *mm = sub->notifier.mm;
	struct mmu_notifier_range range;
	int ret;

	if (!start || !end)
		return -EOPNOTSUPP;
	if (mm != current->mm)
		return -EXDEV;
	ret = mmu_notifier_register(&plain, mm);
	if (ret)
		return ret;

	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, mm,
				sub->start & PAGE_MASK,
				PAGE_ALIGN(sub->start + sub->length));
	mmap_read_lock(mm);
	arg->error = start(&range);
	if (!arg->error)
		end(&range);
	mmap_read_unlock(mm);

	arg->stuck = 0;
	mn_read_begin_or_mend(sub, arg, &range, end);
	mmu_notifier_unregister(&plain, mm);
	return 0;
}
