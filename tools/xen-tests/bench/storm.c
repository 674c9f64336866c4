// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long a subscriber waits while threads invalidate other ranges of the same
 * address space without pause: each calls madvise() on a page of its own whose
 * subscriber takes a while. Nobody has to wait for those.
 *
 * The reader's range is invalidated, too, now and then, and it begins its read just
 * then: for that it has to wait. Where it then waits for the storm as well, it may do
 * so for ever; so the storm ends when the time of the test is over.
 */
#include <pthread.h>

#include "bench.h"

#define THREADS	8
#define SAMPLES	500
#define HOLD	(100 * US) /* of each callback */
#define PAUSE	(1 * MS) /* between invalidations of the reader's range */
#define SPACING	(173 * US) /* of samples, so that they meet every phase of the storm */
#define WARM_UP	(20 * MS)
#define BUDGET	(1000 * MS)
#define QUICK_BUDGET	(100 * MS)

/* A thread that invalidates a page again and again. */
struct culprit {
	pthread_t thread;
	char *page;
	uint64_t pause;
	atomic_bool *stop;
};

FIXTURE(storm)
{
	struct bench bench;
	char *pages; /* the reader's, those of the storm, and free ones */
	struct culprit threads[THREADS];
	struct culprit collider;
	unsigned int nr_threads;
	uint64_t budget;
	unsigned int n;
	uint64_t samples[2][SAMPLES];

	pthread_t watchdog;
	atomic_bool over; /* all samples were taken */
	atomic_bool late; /* they were not when the time was over */
	atomic_bool stop_storm;
	atomic_bool stop_collider;
};

FIXTURE_VARIANT(storm)
{
	unsigned int threads;
};

FIXTURE_VARIANT_ADD(storm, 0)
{
	.threads = 0,
};

FIXTURE_VARIANT_ADD(storm, 1)
{
	.threads = 1,
};

FIXTURE_VARIANT_ADD(storm, 2)
{
	.threads = 2,
};

FIXTURE_VARIANT_ADD(storm, 4)
{
	.threads = 4,
};

FIXTURE_VARIANT_ADD(storm, 8)
{
	.threads = 8,
};

static void sleep_ns(uint64_t ns)
{
	struct timespec ts = { ns / 1000000000, ns % 1000000000 };

	nanosleep(&ts, NULL);
}

static void *invalidate(void *arg)
{
	struct culprit *c = arg;

	while (!atomic_load(c->stop)) {
		madvise(c->page, PAGE, MADV_DONTNEED);
		if (c->pause)
			sleep_ns(c->pause);
	}
	return NULL;
}

static int start(struct culprit *c)
{
	return pthread_create(&c->thread, NULL, invalidate, c);
}

static void *watch(void *arg)
{
	FIXTURE_DATA(storm) *self = arg;
	double end = gm_now() + self->budget / 1e9;

	while (!atomic_load(&self->over) && gm_now() < end)
		sleep_ns(MS);
	if (!atomic_load(&self->over))
		atomic_store(&self->late, true);
	atomic_store(&self->stop_storm, true);
	return NULL;
}

FIXTURE_SETUP(storm)
{
	unsigned int i;

	ASSERT_EQ(0, bench_open(&self->bench))
	{
		TH_LOG("no device %s", MNB_DEVICE);
	}
	self->n = self->bench.full ? SAMPLES : SAMPLES / 25;
	self->budget = self->bench.full ? BUDGET : QUICK_BUDGET;
	self->nr_threads = variant->threads;
	self->pages = mmap(NULL, 2 * (1 + THREADS + 1 + SAMPLES) * PAGE,
			   PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->pages);
	/* Groups: 0 the reader's, 1 of the storm, 2 to be removed */
	ASSERT_EQ(0, bench_subscribe(&self->bench, self->pages, PAGE, 0, 1,
				     MNB_SLEEP, HOLD));
	ASSERT_EQ(1, bench_subscribe(&self->bench, self->pages + 2 * PAGE, PAGE,
				     2 * PAGE, THREADS, MNB_SLEEP, HOLD));
	ASSERT_EQ(2, bench_subscribe(&self->bench,
				     self->pages + 2 * (THREADS + 2) * PAGE, PAGE,
				     2 * PAGE, self->n, MNB_MINIMAL, 0));
	self->collider = (struct culprit){ .page = self->pages,
					   .pause = PAUSE,
					   .stop = &self->stop_collider };
	for (i = 0; i < self->nr_threads; i++) {
		self->threads[i] = (struct culprit){
			.page = self->pages + (2 + 2 * i) * PAGE,
			.stop = &self->stop_storm
		};
		ASSERT_EQ(0, start(&self->threads[i]));
	}
	sleep_ns(WARM_UP);
	ASSERT_EQ(0, pthread_create(&self->watchdog, NULL, watch, self));
}

static void end_storm(FIXTURE_DATA(storm) *self)
{
	unsigned int i;

	if (atomic_exchange(&self->over, true))
		return;
	pthread_join(self->watchdog, NULL);
	for (i = 0; i < self->nr_threads; i++)
		pthread_join(self->threads[i].thread, NULL);
}

FIXTURE_TEARDOWN(storm)
{
	end_storm(self);
	bench_close(&self->bench);
}

/* Was the last sample the longest, and ended only because the storm was ended? */
static bool was_cut(FIXTURE_DATA(storm) *self, const uint64_t *samples,
		    unsigned int n)
{
	unsigned int i;

	if (!atomic_load(&self->late))
		return false;
	for (i = 0; i < n; i++)
		if (samples[i] > samples[n - 1])
			return false;
	return true;
}

static void print_latency(FIXTURE_DATA(storm) *self, const char *what, int which,
			  unsigned int n)
{
	uint64_t *samples = self->samples[which];
	char name[64];

	snprintf(name, sizeof(name), "storm.%s.%u", what, self->nr_threads);
	bench_print_time(&self->bench, name, samples, n,
			 was_cut(self, samples, n));
}

TEST_F_TIMEOUT(storm, read, GM_TEST_S)
{
	struct mnb_repeat arg = {
		.start = (uintptr_t)self->pages,
		.length = PAGE,
		.limit = self->budget,
		.count = self->n,
		.samples = { (uintptr_t)self->samples[0] },
	};
	int n;

	ASSERT_EQ(0, start(&self->collider));
	n = bench_repeat(&self->bench, MNB_READ_COLLIDING, arg);
	end_storm(self);
	atomic_store(&self->stop_collider, true);
	pthread_join(self->collider.thread, NULL);
	ASSERT_LT(0, n);
	print_latency(self, "read", 0, n);
}

TEST_F_TIMEOUT(storm, insert, GM_TEST_S)
{
	struct mnb_repeat arg = {
		.start = (uintptr_t)self->pages + 2 * (THREADS + 1) * PAGE,
		.length = PAGE,
		.limit = self->budget,
		.pause = SPACING,
		.count = self->n,
		.samples = { (uintptr_t)self->samples[0],
			     (uintptr_t)self->samples[1] },
	};
	int n;

	n = bench_repeat(&self->bench, MNB_COME_AND_GO, arg);
	end_storm(self);
	ASSERT_LT(0, n);
	print_latency(self, "insert", 0, n);
	print_latency(self, "of_use", 1, n);
}

TEST_F_TIMEOUT(storm, remove, GM_TEST_S)
{
	struct mnb_repeat arg = {
		.start = (uintptr_t)self->pages,
		.length = PAGE,
		.limit = self->budget,
		.pause = SPACING,
		.count = self->n,
		.group = 2,
		.samples = { (uintptr_t)self->samples[0] },
	};
	int n;

	n = bench_repeat(&self->bench, MNB_REMOVE, arg);
	end_storm(self);
	ASSERT_LT(0, n);
	print_latency(self, "remove", 0, n);
}

BENCH_MAIN
