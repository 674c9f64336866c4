// SPDX-License-Identifier: GPL-2.0-only
/*
 * An invalidation that several devices have to shut down for: one after the other, or
 * in two passes at the same time.
 */
#include "bench.h"

#define DEVICES	4
#define SHOOTDOWN	MS
#define SAMPLES	50

FIXTURE(devices)
{
	struct bench bench;
	char *page;
	unsigned int n;
};

FIXTURE_SETUP(devices)
{
	ASSERT_EQ(0, bench_open(&self->bench))
	{
		TH_LOG("no device %s", MNB_DEVICE);
	}
	self->n = self->bench.full ? SAMPLES : SAMPLES / 10;
	self->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->page);
}

FIXTURE_TEARDOWN(devices)
{
	bench_close(&self->bench);
}

FIXTURE_VARIANT(devices)
{
	const char *name;
	enum mnb_kind kind;
	unsigned int count;
};

FIXTURE_VARIANT_ADD(devices, one_alone)
{
	.name = "alone",
	.kind = MNB_DEVICE_1,
	.count = 1,
};

FIXTURE_VARIANT_ADD(devices, one_pass)
{
	.name = "one_pass",
	.kind = MNB_DEVICE_1,
	.count = DEVICES,
};

FIXTURE_VARIANT_ADD(devices, two_pass)
{
	.name = "two_pass",
	.kind = MNB_DEVICE_2,
	.count = DEVICES,
};

TEST_F_TIMEOUT(devices, shootdown, GM_TEST_S)
{
	uint64_t samples[SAMPLES];
	char name[64];
	int ret;

	ret = bench_subscribe(&self->bench, self->page, PAGE, 0, variant->count,
			      variant->kind, SHOOTDOWN);
	if (ret == -EOPNOTSUPP)
		SKIP(return, "this kernel has no second pass");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(self->n, bench_cost(&self->bench, MNB_INVALIDATE, self->page,
				      0, samples, self->n));
	snprintf(name, sizeof(name), "devices.%s", variant->name);
	bench_print_time(&self->bench, name, samples, self->n, false);
}

BENCH_MAIN
