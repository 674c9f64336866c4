/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the KUnit suites of the notifier core share: an mm, subscriptions and plain
 * notifiers that write down who called them, invalidations, and threads that may wait.
 *
 * A test body has expectations only, no assertions: it always runs to its end, and
 * what it leaves behind (when something failed) is undone by mn_test_exit(). Whatever
 * may wait runs in a thread of its own. When such a thread does not come back, the
 * test fails, and everything that the thread may still touch is leaked on purpose.
 *
 * Addresses are given in pages, ends are exclusive.
 */
#ifndef _MM_MMU_NOTIFIER_TEST_H
#define _MM_MMU_NOTIFIER_TEST_H

#include <kunit/test.h>
#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/jiffies.h>
#include <linux/mmu_notifier.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

/* Ends a hang, never measures: no correct core comes near it, however busy the host. */
#define MN_LIMIT (20 * HZ)

/* As many as the greediest test needs: subscriptions for three batches of the core ... */
#define MN_SUBS 48
#define MN_PLAINS 4
#define MN_INVS 24
#define MN_THREADS 12
/* ... and two passes of these. */
#define MN_LOG 128

struct mn_ctx;
struct mn_sub;

struct mn_finish {
	struct mmu_interval_notifier_finish finish;
	atomic_t calls;
};

/**
 * struct mn_sub - an interval notifier that writes down who called it
 * @notifier: the subscription
 * @ctx: the test's
 * @name: a letter for the log
 * @inserted: to be removed at the end
 * @two_pass: use ops with two passes; before insert
 * @no_finish: the first pass does everything
 * @no_set_seq: the callback does not call mmu_interval_set_seq()
 * @in_callback: run in the callback (in the first pass), after set_seq
 * @in_finish: run in the second pass
 * @entered: completed by mn_block()
 * @gate: what mn_block() waits for
 * @other: for @in_callback and @in_finish
 * @signals: for @in_callback: another, of which the completions only are used
 * @thread: for @in_callback: to be started there
 * @calls: of the callback, refused ones included
 * @seen: the range of the last call
 * @cur_seq: of the last call
 * @finish_was_null: *finish was NULL whenever the first pass was called
 * @finishes: one for each call that wants a second pass, taken in turn
 * @flag: for @in_callback and @in_finish
 */
struct mn_sub {
	struct mmu_interval_notifier notifier;
	struct mn_ctx *ctx;
	char name;
	bool inserted;
	bool two_pass;
	bool no_finish;
	bool no_set_seq;
	void (*in_callback)(struct mn_sub *sub);
	void (*in_finish)(struct mn_sub *sub);
	struct completion entered;
	struct completion gate;
	struct mn_sub *other;
	struct mn_sub *signals;
	struct mn_thread *thread;
	atomic_t calls;
	struct mmu_notifier_range seen;
	unsigned long cur_seq;
	bool finish_was_null;
	struct mn_finish finishes[4];
	bool flag;
};

/**
 * struct mn_plain - a plain notifier that writes down who called it
 * @notifier: the notifier
 * @ctx: the test's
 * @name: a digit for the log
 * @registered: to be unregistered at the end
 * @young: what the young callbacks return
 * @in_start: run in invalidate_range_start
 * @in_release: run in release
 * @entered: completed by @in_start
 * @gate: what @in_start waits for
 * @starts: calls of invalidate_range_start
 * @ends: calls of invalidate_range_end
 * @releases: calls of release
 * @seen: the range of the last start
 * @flag: for @in_start and @in_release
 */
struct mn_plain {
	struct mmu_notifier notifier;
	struct mn_ctx *ctx;
	char name;
	bool registered;
	int young;
	void (*in_start)(struct mn_plain *plain);
	void (*in_release)(struct mn_plain *plain);
	struct completion entered;
	struct completion gate;
	atomic_t starts;
	atomic_t ends;
	atomic_t releases;
	struct mmu_notifier_range seen;
	bool flag;
};

/* An invalidation that the test's own thread has started. */
struct mn_inv {
	struct mn_ctx *ctx;
	struct mmu_notifier_range range;
	bool in_flight;
};

/**
 * struct mn_thread - something that may wait
 * @task: who does it, until mn_returns(); the test holds a reference
 * @fn: what
 * @sub: to what, if to one
 * @plain: to what, if to one
 * @ctx: the test's
 * @going: mn_go() was called
 * @started: @fn is about to be called
 * @done: @fn has returned
 * @switches: see mn_sleeps()
 * @seq: what read_begin returned
 * @first: page
 * @end: page
 * @start_cpu: where to start an invalidation; nr_cpu_ids: anywhere
 * @end_cpu: where to end it
 * @ret: what @fn's call returned
 */
struct mn_thread {
	struct task_struct *task;
	void (*fn)(struct mn_thread *thread);
	struct mn_sub *sub;
	struct mn_plain *plain;
	struct mn_ctx *ctx;
	bool going;
	struct completion started;
	struct completion done;
	unsigned long switches;
	unsigned long seq;
	unsigned long first;
	unsigned long end;
	unsigned int start_cpu;
	unsigned int end_cpu;
	int ret;
};

/**
 * struct mn_ctx - one test's
 * @test: the test
 * @mm: mm with one user and without threads; the test has a mm_count, too
 * @exited: mn_exit_mm() was called
 * @nr_in_flight: how many invalidations the test's own thread has in flight
 * @refuse: the callback of an interval notifier that refuses a non-blockable
 *	invalidation: 1 the first that is called, 0 none
 * @nr_calls: callbacks of interval notifiers so far
 * @log: who was called: for interval notifiers a letter, a capital for the second
 *	pass, '!' for a refusal; for plain ones a digit and '(' start, ')' end,
 *	'!' refusal, 'x' release, 'f' free, 'y' young
 * @log_lock: of @log
 * @log_len: of @log
 * @nr_subs: how many of @subs are in use
 * @nr_plains: how many of @plains are in use
 * @subs: interval notifiers
 * @plains: plain notifiers
 * @invs: invalidations, used again when they have ended
 * @threads: used again when they have returned
 */
struct mn_ctx {
	struct kunit *test;
	struct mm_struct *mm;
	bool exited;
	unsigned int nr_in_flight;
	int refuse;
	atomic_t nr_calls;
	spinlock_t log_lock; /* log, log_len */
	unsigned int log_len;
	char log[MN_LOG];
	unsigned int nr_subs, nr_plains;
	struct mn_sub subs[MN_SUBS];
	struct mn_plain plains[MN_PLAINS];
	struct mn_inv invs[MN_INVS];
	struct mn_thread threads[MN_THREADS];
};

int mn_test_init(struct kunit *test);
int mn_test_init_fresh(struct kunit *test);
void mn_test_exit(struct kunit *test);
void mn_log(struct mn_ctx *ctx, char who, char what);

/* -- subscriptions -------------------------------------------------------- */

extern const struct mmu_interval_notifier_ops mn_one_pass_ops;
extern const struct mmu_interval_notifier_ops mn_two_pass_ops;

struct mn_sub *mn_new_sub(struct mn_ctx *ctx);
void mn_insert_sub(struct mn_sub *sub, unsigned long first, unsigned long end);
struct mn_sub *mn_insert(struct mn_ctx *ctx, unsigned long first,
			 unsigned long end);
struct mn_sub *mn_insert_two_pass(struct mn_ctx *ctx, unsigned long first,
				  unsigned long end);
void mn_remove(struct mn_sub *sub);
void mn_enable(struct mn_ctx *ctx);
void mn_warm_up(struct mn_ctx *ctx);
void mn_set_seq(struct mn_ctx *ctx, unsigned long seq);
void mn_block(struct mn_sub *sub);
bool mn_collides(struct mn_sub *sub);
unsigned long mn_try_read(struct mn_sub *sub);
void mn_expect_returns(struct mn_thread *thread);

static inline int mn_calls(const struct mn_sub *sub)
{
	return atomic_read(&sub->calls);
}

static inline int mn_finish_calls(const struct mn_sub *sub, unsigned int n)
{
	return atomic_read(&sub->finishes[n].calls);
}

/* -- plain notifiers ------------------------------------------------------ */

/* start, end, release, young */
extern const struct mmu_notifier_ops mn_plain_ops;
/* a start that refuses what is not blockable, and no end */
extern const struct mmu_notifier_ops mn_refusing_ops;

struct mn_plain *mn_new_plain(struct mn_ctx *ctx,
			      const struct mmu_notifier_ops *ops);
struct mn_plain *mn_register(struct mn_ctx *ctx,
			     const struct mmu_notifier_ops *ops);
void mn_unregister(struct mn_plain *plain);

/* -- invalidations -------------------------------------------------------- */

struct mn_inv *mn_start(struct mn_ctx *ctx, unsigned long first,
			unsigned long end);
struct mn_inv *mn_start_bytes(struct mn_ctx *ctx, unsigned long start,
			      unsigned long end);
int mn_start_nonblock(struct mn_ctx *ctx, unsigned long first,
		      unsigned long end, struct mn_inv **inv);
void mn_end(struct mn_inv *inv);
void mn_invalidate(struct mn_ctx *ctx, unsigned long first, unsigned long end);
void mn_exit_mm(struct mn_ctx *ctx);

/* -- threads -------------------------------------------------------------- */

struct mn_thread *mn_new_thread(struct mn_ctx *ctx,
				void (*fn)(struct mn_thread *thread));
struct mn_thread *mn_go(struct mn_thread *thread);
struct mn_thread *mn_read_thread(struct mn_sub *sub);
struct mn_thread *mn_remove_thread(struct mn_sub *sub);
struct mn_thread *mn_invalidate_thread(struct mn_ctx *ctx, unsigned long first,
				       unsigned long end);

/* The same and more, to be started with mn_go(). */
struct mn_thread *mn_new_reader(struct mn_sub *sub);
struct mn_thread *mn_new_inserter(struct mn_sub *sub, unsigned long first,
				  unsigned long end);
struct mn_thread *mn_new_invalidation(struct mn_ctx *ctx, struct mn_sub *sub,
				      unsigned long first, unsigned long end);

bool mn_sleeps(struct mn_thread *thread);
bool mn_sleeps_on(struct mn_thread *thread);
bool mn_returns(struct mn_thread *thread);

/* Did what the gate or the thread stands for happen? */
static inline bool mn_happens(struct completion *completion)
{
	return wait_for_completion_timeout(completion, MN_LIMIT);
}

#endif /* _MM_MMU_NOTIFIER_TEST_H */
