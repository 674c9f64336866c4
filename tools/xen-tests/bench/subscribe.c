// SPDX-License-Identifier: GPL-2.0-only
/*
 * What subscribers pay when nothing collides: to come and go, among many others and
 * as the first of an address space, to begin a read, and in memory.
 */
#include <sys/wait.h>

#include "bench.h"

#define MOST	100000
#define SAMPLES	1000
#define STRIDE	(2 * PAGE)
#define FIRST_SAMPLES	5

FIXTURE(subscribe)
{
	struct bench bench;
	char *reserve; /* where nothing is: a subscription needs no VMA */
	unsigned int n;
};

FIXTURE_SETUP(subscribe)
{
	ASSERT_EQ(0, bench_open(&self->bench))
	{
		TH_LOG("no device %s", MNB_DEVICE);
	}
	self->n = self->bench.full ? SAMPLES : SAMPLES / 10;
	self->reserve = mmap(NULL, (MOST + 2) * STRIDE, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, self->reserve);
}

FIXTURE_TEARDOWN(subscribe)
{
	bench_close(&self->bench);
}

TEST_F_TIMEOUT(subscribe, read, GM_TEST_S)
{
	uint64_t samples[SAMPLES];

	ASSERT_EQ(0, bench_subscribe(&self->bench, self->reserve, PAGE, 0, 1,
				     MNB_MINIMAL, 0));
	ASSERT_EQ(self->n, bench_cost(&self->bench, MNB_READ, self->reserve, 0,
				      samples, self->n));
	bench_print_cost(&self->bench, "read_begin", samples, self->n);
}

TEST_F_TIMEOUT(subscribe, memory, GM_TEST_S)
{
	struct mnb_info info;

	ASSERT_EQ(0, bench_subscribe(&self->bench, self->reserve, PAGE, 0, 1,
				     MNB_MINIMAL, 0));
	ASSERT_EQ(0, ioctl(self->bench.fd, MNB_INFO, &info));
	bench_print_one("memory.subscription", "bytes", info.sub_size);
	bench_print_one("memory.range", "bytes", info.range_size);
	ASSERT_NE(0, info.mm_size);
	bench_print_one("memory.mm", "bytes", info.mm_size);
}

/* -- among others --------------------------------------------------------------- */

FIXTURE(among)
{
	struct bench bench;
	char *reserve;
	uint64_t insert[SAMPLES], remove[SAMPLES], both[SAMPLES];
};

FIXTURE_SETUP(among)
{
	ASSERT_EQ(0, bench_open(&self->bench))
	{
		TH_LOG("no device %s", MNB_DEVICE);
	}
	self->reserve = mmap(NULL, (MOST + 2) * STRIDE, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, self->reserve);
}

FIXTURE_TEARDOWN(among)
{
	bench_close(&self->bench);
}

FIXTURE_VARIANT(among)
{
	unsigned int others;
};

FIXTURE_VARIANT_ADD(among, 0)
{
	.others = 0,
};

FIXTURE_VARIANT_ADD(among, 1000)
{
	.others = 1000,
};

FIXTURE_VARIANT_ADD(among, 100000)
{
	.others = MOST,
};

TEST_F_TIMEOUT(among, come_and_go, GM_LONG_TEST_S)
{
	unsigned int n = self->bench.full ? SAMPLES : SAMPLES / 10, i;
	struct mnb_repeat arg = {
		.start = (uintptr_t)self->reserve +
			 variant->others / 2 * STRIDE + PAGE,
		.length = PAGE,
		.count = n,
		.samples = { (uintptr_t)self->insert, 0,
			     (uintptr_t)self->remove },
	};
	char name[64];

	if (variant->others)
		ASSERT_EQ(0, bench_subscribe(&self->bench, self->reserve, PAGE,
					     STRIDE, variant->others,
					     MNB_MINIMAL, 0));
	ASSERT_EQ(n, bench_repeat(&self->bench, MNB_COME_AND_GO, arg));
	for (i = 0; i < n; i++)
		self->both[i] = self->insert[i] + self->remove[i];
	snprintf(name, sizeof(name), "insert.%u", variant->others);
	bench_print_cost(&self->bench, name, self->insert, n);
	snprintf(name, sizeof(name), "remove.%u", variant->others);
	bench_print_cost(&self->bench, name, self->remove, n);
	snprintf(name, sizeof(name), "insert_remove.%u", variant->others);
	bench_print_cost(&self->bench, name, self->both, n);
}

/* -- the first of an address space ------------------------------------------------ */

FIXTURE(first)
{
	char unused;
};

FIXTURE_SETUP(first)
{
}

FIXTURE_TEARDOWN(first)
{
}

FIXTURE_VARIANT(first)
{
	unsigned int vmas;
};

FIXTURE_VARIANT_ADD(first, 10)
{
	.vmas = 10,
};

FIXTURE_VARIANT_ADD(first, 1000)
{
	.vmas = 1000,
};

FIXTURE_VARIANT_ADD(first, 10000)
{
	.vmas = 10000,
};

/* VMAs of a written page each; every second one differs, so that none merge. */
static bool make_vmas(unsigned int count)
{
	char *p = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned int i;

	if (p == MAP_FAILED)
		return false;
	for (i = 0; i < count; i++) {
		p[i * PAGE] = 1;
		if (i % 2 && mprotect(p + i * PAGE, PAGE, PROT_READ))
			return false;
	}
	return true;
}

/* In a new process: ticks of its first insert; 0: failed */
static uint64_t insert_once(unsigned int vmas)
{
	uint64_t ticks = 0;
	struct bench b;
	int ret = -1;

	if (!make_vmas(vmas) || bench_open(&b))
		return 0;
	ret = bench_cost(&b, MNB_COME_AND_GO, (void *)PAGE, 0, &ticks, 1);
	return ret == 1 ? ticks : 0;
}

TEST_F_TIMEOUT(first, insert, GM_LONG_TEST_S)
{
	unsigned int n = bench_is_full() ? FIRST_SAMPLES : 1, i;
	uint64_t *samples;
	struct bench b;
	char name[64];

	ASSERT_EQ(0, bench_open(&b));
	samples = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, samples);
	for (i = 0; i < n; i++) {
		pid_t child = fork();

		ASSERT_LE(0, child);
		if (!child) {
			samples[i] = insert_once(variant->vmas);
			_exit(0);
		}
		ASSERT_EQ(child, waitpid(child, NULL, 0));
		ASSERT_NE(0, samples[i]);
	}
	snprintf(name, sizeof(name), "first_insert.%u", variant->vmas);
	bench_print_cost(&b, name, samples, n);
	bench_close(&b);
}

BENCH_MAIN
