// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an invalidation of one page costs: of one that no subscription overlaps, with
 * few or many of them elsewhere, and of one that several overlap.
 */
#include <x86intrin.h>

#include "bench.h"

#define MOST	100000
#define SAMPLES	1000
/* Each with a page between it and the next. */
#define STRIDE	(2 * PAGE)

/* Subscriptions need no VMA: those elsewhere are in a part where nothing is. */
FIXTURE(invalidate)
{
	struct bench bench;
	char *reserve;
	char *page; /* in the middle of it */
	uint64_t samples[SAMPLES];
	unsigned int n;
};

FIXTURE_SETUP(invalidate)
{
	size_t half = (MOST + 2) * STRIDE;

	ASSERT_EQ(0, bench_open(&self->bench))
	{
		TH_LOG("no device %s", MNB_DEVICE);
	}
	self->n = self->bench.full ? SAMPLES : SAMPLES / 10;
	self->reserve = mmap(NULL, 2 * half, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, self->reserve);
	self->page = mmap(self->reserve + half, PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ASSERT_EQ(self->reserve + half, self->page);
	/* From now on the mm has subscribers, even if it has none. */
	ASSERT_EQ(0, bench_subscribe(&self->bench, self->reserve, PAGE, 0, 1,
				     MNB_MINIMAL, 0));
	ASSERT_EQ(0, bench_unsubscribe(&self->bench, 0));
}

FIXTURE_TEARDOWN(invalidate)
{
	bench_close(&self->bench);
}

FIXTURE_VARIANT(invalidate)
{
	const char *name;
	unsigned int count;
	bool around; /* the page, or all above it */
};

FIXTURE_VARIANT_ADD(invalidate, none)
{
	.name = "0",
};

FIXTURE_VARIANT_ADD(invalidate, one)
{
	.name = "1",
	.count = 1,
};

FIXTURE_VARIANT_ADD(invalidate, thousand_above)
{
	.name = "1000.above",
	.count = 1000,
};

FIXTURE_VARIANT_ADD(invalidate, thousand_around)
{
	.name = "1000.around",
	.count = 1000,
	.around = true,
};

FIXTURE_VARIANT_ADD(invalidate, hundred_thousand_above)
{
	.name = "100000.above",
	.count = MOST,
};

FIXTURE_VARIANT_ADD(invalidate, hundred_thousand_around)
{
	.name = "100000.around",
	.count = MOST,
	.around = true,
};

/* One madvise() of a page that is there, as user space sees it. */
static uint64_t madvise_once(char *page)
{
	uint64_t t;

	*(volatile char *)page = 1;
	t = __rdtsc();
	if (madvise(page, PAGE, MADV_DONTNEED))
		return 0;
	return __rdtsc() - t;
}

TEST_F_TIMEOUT(invalidate, quiet, GM_LONG_TEST_S)
{
	char *first = self->page + PAGE;
	char name[64];
	unsigned int i;

	if (variant->around)
		first -= variant->count / 2 * STRIDE;
	if (variant->count)
		ASSERT_EQ(0, bench_subscribe(&self->bench, first, PAGE, STRIDE,
					     variant->count, MNB_MINIMAL, 0));

	ASSERT_EQ(self->n, bench_cost(&self->bench, MNB_INVALIDATE, self->page,
				      0, self->samples, self->n));
	snprintf(name, sizeof(name), "quiet.%s", variant->name);
	bench_print_cost(&self->bench, name, self->samples, self->n);

	for (i = 0; i < self->n; i++) {
		self->samples[i] = madvise_once(self->page);
		ASSERT_NE(0, self->samples[i]);
	}
	snprintf(name, sizeof(name), "madvise.%s", variant->name);
	bench_print(name, "ticks", self->samples, self->n, "");
}

FIXTURE(overlap)
{
	struct bench bench;
	char *page;
};

FIXTURE_SETUP(overlap)
{
	ASSERT_EQ(0, bench_open(&self->bench))
	{
		TH_LOG("no device %s", MNB_DEVICE);
	}
	self->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->page);
}

FIXTURE_TEARDOWN(overlap)
{
	bench_close(&self->bench);
}

FIXTURE_VARIANT(overlap)
{
	unsigned int count;
};

FIXTURE_VARIANT_ADD(overlap, 1)
{
	.count = 1,
};

FIXTURE_VARIANT_ADD(overlap, 8)
{
	.count = 8,
};

FIXTURE_VARIANT_ADD(overlap, 64)
{
	.count = 64,
};

TEST_F_TIMEOUT(overlap, minimal, GM_TEST_S)
{
	unsigned int n = self->bench.full ? SAMPLES : SAMPLES / 10;
	uint64_t samples[SAMPLES];
	char name[64];

	ASSERT_EQ(0, bench_subscribe(&self->bench, self->page, PAGE, 0,
				     variant->count, MNB_MINIMAL, 0));
	ASSERT_EQ(n, bench_cost(&self->bench, MNB_INVALIDATE, self->page, 0,
				samples, n));
	snprintf(name, sizeof(name), "overlap.%u", variant->count);
	bench_print_cost(&self->bench, name, samples, n);
}

BENCH_MAIN
