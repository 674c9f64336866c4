// SPDX-License-Identifier: GPL-2.0-only
/*
 * Invalidations per second, of one thread and of two in the same address space, each
 * on its own page, with subscriptions elsewhere. On two processors: on one the
 * threads only take turns.
 */
#include <pthread.h>
#include <sched.h>

#include "bench.h"

#define OTHERS	1000
#define THREADS	2
#define ROUNDS	20
#define ROUND	(100 * MS)
#define QUICK_ROUND	(20 * MS)
/* Between two looks at the clock. */
#define BATCH	200

enum work {
	BARE, /* start and end, and nothing in between */
	MADVISE, /* of a page that is not there */
	TOUCH, /* of one that is */
};

struct worker {
	pthread_t thread;
	struct bench *bench;
	enum work work;
	char *page;
	int cpu;
	double seconds;
	pthread_barrier_t *barrier;

	double rate; /* out: per second */
	bool failed;
};

FIXTURE(parallel)
{
	struct bench bench;
	char *pages;
	unsigned int rounds;
	uint64_t round;
};

FIXTURE_SETUP(parallel)
{
	char *elsewhere;
	bool full;

	ASSERT_EQ(0, bench_open(&self->bench))
	{
		TH_LOG("no device %s", MNB_DEVICE);
	}
	/* With one processor it is only to be seen that it works. */
	full = self->bench.full && sysconf(_SC_NPROCESSORS_ONLN) > 1;
	self->rounds = full ? ROUNDS : 1;
	self->round = full ? ROUND : QUICK_ROUND;
	self->pages = mmap(NULL, 2 * THREADS * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->pages);
	elsewhere = mmap(NULL, 2 * OTHERS * PAGE, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, elsewhere);
	ASSERT_EQ(0, bench_subscribe(&self->bench, elsewhere, PAGE, 2 * PAGE,
				     OTHERS, MNB_MINIMAL, 0));
}

FIXTURE_TEARDOWN(parallel)
{
	bench_close(&self->bench);
}

FIXTURE_VARIANT(parallel)
{
	const char *name;
	enum work work;
	unsigned int threads;
};

FIXTURE_VARIANT_ADD(parallel, bare_1)
{
	.name = "bare.1",
	.work = BARE,
	.threads = 1,
};

FIXTURE_VARIANT_ADD(parallel, bare_2)
{
	.name = "bare.2",
	.work = BARE,
	.threads = 2,
};

FIXTURE_VARIANT_ADD(parallel, madvise_1)
{
	.name = "madvise.1",
	.work = MADVISE,
	.threads = 1,
};

FIXTURE_VARIANT_ADD(parallel, madvise_2)
{
	.name = "madvise.2",
	.work = MADVISE,
	.threads = 2,
};

FIXTURE_VARIANT_ADD(parallel, touch_1)
{
	.name = "touch.1",
	.work = TOUCH,
	.threads = 1,
};

FIXTURE_VARIANT_ADD(parallel, touch_2)
{
	.name = "touch.2",
	.work = TOUCH,
	.threads = 2,
};

static bool do_batch(struct worker *w)
{
	int i;

	if (w->work == BARE)
		return bench_cost(w->bench, MNB_INVALIDATE, w->page, 0, NULL,
				  BATCH) == BATCH;
	for (i = 0; i < BATCH; i++) {
		if (w->work == TOUCH)
			*(volatile char *)w->page = 1;
		if (madvise(w->page, PAGE, MADV_DONTNEED))
			return false;
	}
	return true;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	double begin, now;
	cpu_set_t set;
	long done = 0;

	CPU_ZERO(&set);
	CPU_SET(w->cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	pthread_barrier_wait(w->barrier);
	begin = gm_now();
	do {
		if (!do_batch(w)) {
			w->failed = true;
			return NULL;
		}
		done += BATCH;
		now = gm_now();
	} while (now < begin + w->seconds);
	w->rate = done / (now - begin);
	return NULL;
}

/* Of all threads together, per second; 0: failed */
static uint64_t one_round(FIXTURE_DATA(parallel) *self,
			  const FIXTURE_VARIANT(parallel) *variant)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct worker workers[THREADS];
	pthread_barrier_t barrier;
	bool failed = false;
	unsigned int i;
	double rate = 0;

	pthread_barrier_init(&barrier, NULL, variant->threads);
	for (i = 0; i < variant->threads; i++) {
		workers[i] = (struct worker){
			.bench = &self->bench,
			.work = variant->work,
			.page = self->pages + 2 * i * PAGE,
			.cpu = i % cpus,
			.seconds = self->round / 1e9,
			.barrier = &barrier,
		};
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			abort();
	}
	for (i = 0; i < variant->threads; i++) {
		pthread_join(workers[i].thread, NULL);
		failed |= workers[i].failed;
		rate += workers[i].rate;
	}
	pthread_barrier_destroy(&barrier);
	return failed ? 0 : rate;
}

TEST_F_TIMEOUT(parallel, rate, GM_TEST_S)
{
	uint64_t samples[ROUNDS];
	char name[64];
	unsigned int i;

	for (i = 0; i < self->rounds; i++) {
		samples[i] = one_round(self, variant);
		ASSERT_LT(0, samples[i]);
	}
	snprintf(name, sizeof(name), "parallel.%s", variant->name);
	bench_print(name, "ops/s", samples, self->rounds, "");
}

BENCH_MAIN
