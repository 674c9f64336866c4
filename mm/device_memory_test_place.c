// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: where a device may use a page, and how: in the memory of another device (peers), in its
 * own and nowhere else, for a time before the CPU, only to read. The devices are those of
 * device_mirror_test.h.
 */
#include "device_mirror_test.h"

static int mt_fault(struct mt_device *device, unsigned long page, unsigned int flags)
{
	return device_mirror_fault(&device->mirror, ht_addr(device->ctx, page), flags);
}

static u64 mt_used_pages(struct mt_device *device)
{
	return device_memory_used(&device->memory) >> PAGE_SHIFT;
}

/* Pages [0, @nr) with their contents, in the memory of @device */
static void mt_fill_and_move(struct mt_device *device, unsigned long nr)
{
	struct ht_ctx *ctx = device->ctx;

	mt_map_small(ctx, 0, nr);
	ht_fill(ctx, 0, nr);
	KUNIT_EXPECT_EQ(ctx->test, mt_move(device, 0, nr), (long)(nr * PAGE_SIZE));
	KUNIT_EXPECT_EQ(ctx->test, mt_used_pages(device), (u64)nr);
}

/* Both work on it, nothing moves; then the CPU has what either has written. */
static void peer_uses_a_page_where_it_is(struct kunit *test)
{
	struct mt_device *a = mt_device_new_peer(test, MT_MEMORY);
	struct mt_device *b = mt_device_new_peer(test, MT_MEMORY);
	struct ht_ctx *ctx = a->ctx;
	u64 word = 0;

	mt_fill_and_move(a, 64);
	KUNIT_EXPECT_EQ(test, mt_write(a, 7, 99), 0);
	mt_expect_read(b, 8, 20);
	KUNIT_EXPECT_EQ(test, mt_read(b, 7, &word), 0);
	KUNIT_EXPECT_EQ(test, word, 99ULL);
	KUNIT_EXPECT_EQ(test, mt_write(b, 40, 4242), 0);
	KUNIT_EXPECT_EQ(test, mt_read(a, 40, &word), 0);
	KUNIT_EXPECT_EQ(test, word, 4242ULL);
	KUNIT_EXPECT_EQ_MSG(test, mt_used_pages(a), 64ULL, "it has moved");
	KUNIT_EXPECT_TRUE(test, mt_has(b, 40) && !mt_is_local(b, 40));
	KUNIT_EXPECT_EQ(test, atomic_read(&a->peer_runs), 64);

	KUNIT_EXPECT_EQ(test, mt_cpu_read(ctx, 40), 4242ULL);
	KUNIT_EXPECT_EQ(test, mt_cpu_read(ctx, 7), 99ULL);
	mt_expect_cpu(ctx, 8, 32);
	KUNIT_EXPECT_EQ(test, mt_used_pages(a), 0ULL);
	KUNIT_EXPECT_EQ(test, atomic_read(&a->peer_runs), 0);
	KUNIT_EXPECT_FALSE(test, mt_has(b, 40));
	mt_device_free(b);
	mt_device_free(a);
}

/* A network card, say */
static void device_without_memory_uses_that_of_a_peer(struct kunit *test)
{
	struct mt_device *a = mt_device_new_peer(test, MT_MEMORY);
	struct mt_device *b = mt_device_new(test, 0);

	mt_fill_and_move(a, 16);
	mt_expect_read(b, 0, 16);
	KUNIT_EXPECT_EQ(test, mt_used_pages(a), 16ULL);
	mt_device_free(b);
	KUNIT_EXPECT_EQ(test, atomic_read(&a->peer_runs), 0);
	mt_device_free(a);
}

/* What the device does not reach comes to the system's memory, as without peers. */
static void page_out_of_reach_comes_back(struct kunit *test)
{
	struct mt_device *a = mt_device_new_peer(test, MT_MEMORY);
	struct mt_device *b = mt_device_new_peer(test, MT_MEMORY);
	struct mt_device *c = mt_device_new_peer(test, MT_MEMORY);

	a->no_peer = b;
	mt_fill_and_move(a, 64);
	mt_expect_read(c, 0, 64);
	KUNIT_EXPECT_EQ(test, mt_used_pages(a), 64ULL);
	mt_expect_read(b, 0, 64);
	KUNIT_EXPECT_EQ(test, mt_used_pages(a), 0ULL);
	KUNIT_EXPECT_EQ(test, atomic_read(&a->peer_runs), 0);
	mt_expect_read(c, 0, 64);
	mt_device_free(c);
	mt_device_free(b);
	mt_device_free(a);
}

/* Unmapped, evicted, destroyed: the other device has let go before the page is anybody's. */
static void peer_lets_go_with_the_page(struct kunit *test)
{
	struct mt_device *a = mt_device_new_peer(test, MT_MEMORY);
	struct mt_device *b = mt_device_new_peer(test, MT_MEMORY);
	struct ht_ctx *ctx = a->ctx;
	u64 word;

	mt_fill_and_move(a, 64);
	mt_expect_read(b, 0, 64);
	mt_unmap(ctx, 0, 16);
	KUNIT_EXPECT_EQ(test, atomic_read(&a->peer_runs), 48);
	KUNIT_EXPECT_EQ(test, mt_used_pages(a), 48ULL);
	KUNIT_EXPECT_EQ(test, mt_read(b, 3, &word), -EFAULT);

	KUNIT_EXPECT_EQ(test, device_memory_evict_all(&a->memory), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&a->peer_runs), 0);
	mt_expect_read(b, 16, 48);

	KUNIT_EXPECT_EQ(test, mt_move(a, 16, 48), 48L * PAGE_SIZE);
	mt_expect_read(b, 16, 48);
	KUNIT_EXPECT_EQ(test, atomic_read(&a->peer_runs), 48);
	mt_device_free(a);
	KUNIT_EXPECT_EQ(test, atomic_read(&a->peer_runs), 0);
	mt_expect_read(b, 16, 48);
	mt_device_free(b);
}

/* A chunk with pages of both: each brings back its own. */
static void cpu_gets_each_page_from_its_device(struct kunit *test)
{
	struct mt_device *a = mt_device_new_peer(test, MT_MEMORY);
	struct mt_device *b = mt_device_new_peer(test, MT_MEMORY);
	struct ht_ctx *ctx = a->ctx;

	mt_map_small(ctx, 0, 64);
	ht_fill(ctx, 0, 64);
	KUNIT_EXPECT_EQ(test, mt_move(a, 0, 32), 32L * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, mt_move(b, 32, 32), 32L * PAGE_SIZE);
	mt_expect_read(a, 0, 64);
	mt_expect_read(b, 0, 64);
	mt_expect_cpu(ctx, 5, 1);
	KUNIT_EXPECT_EQ(test, mt_used_pages(a), 0ULL);
	KUNIT_EXPECT_EQ(test, mt_used_pages(b), 32ULL);
	mt_expect_read(a, 0, 64);
	mt_expect_cpu(ctx, 0, 64);
	KUNIT_EXPECT_EQ(test, mt_used_pages(b), 0ULL);
	mt_device_free(b);
	mt_device_free(a);
}

/* The device's atomics work in its own memory: it gets the page there, or not at all. */
static void only_in_the_devices_memory(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, MT_MEMORY);
	struct mt_device *none = mt_device_new(test, 0);
	struct ht_ctx *ctx = device->ctx;
	const unsigned int flags = DEVICE_MIRROR_ONLY_DEVICE | DEVICE_MIRROR_WRITE;

	mt_map_small(ctx, 0, 64);
	ht_fill(ctx, 0, 64);
	mt_expect_read(device, 0, 1);
	KUNIT_EXPECT_FALSE(test, mt_is_local(device, 0));
	KUNIT_EXPECT_EQ(test, mt_fault(device, 0, flags), 0);
	KUNIT_EXPECT_TRUE(test, mt_is_local(device, 0) && device->table[0].write);
	mt_expect_read(device, 0, 64);
	mt_expect_cpu(ctx, 0, 64);

	KUNIT_EXPECT_EQ(test, mt_fault(none, 0, flags), -EREMOTE);
	device_memory_suspend(&device->memory);
	KUNIT_EXPECT_EQ(test, mt_fault(device, 0, flags), -EREMOTE);
	KUNIT_EXPECT_FALSE_MSG(test, mt_has(device, 0), "mapped elsewhere");
	/* And if it is mapped there already */
	mt_expect_read(device, 0, 1);
	KUNIT_EXPECT_EQ(test, mt_fault(device, 0, flags), -EREMOTE);
	device_memory_resume(&device->memory);
	KUNIT_EXPECT_EQ(test, mt_fault(device, 0, flags), 0);
	KUNIT_EXPECT_TRUE(test, mt_is_local(device, 0));
	mt_device_free(none);
	mt_device_free(device);
}

/* The CPU, which wants the page at once, gets it when the device has had it for its time. */
static void timeslice_is_the_devices(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, MT_MEMORY);
	struct ht_ctx *ctx = device->ctx;
	u64 began;

	device->memory.timeslice_ms = 200;
	mt_map_small(ctx, 0, 32);
	ht_fill(ctx, 0, 32);
	began = get_jiffies_64();
	KUNIT_EXPECT_EQ(test, mt_move(device, 0, 32), 32L * PAGE_SIZE);
	mt_expect_cpu(ctx, 0, 1);
	KUNIT_EXPECT_GE(test, get_jiffies_64() - began, (u64)msecs_to_jiffies(200));
	KUNIT_EXPECT_EQ(test, mt_used_pages(device), 0ULL);

	/* Whoever makes room does not wait for an hour. */
	device->memory.timeslice_ms = 3600 * MSEC_PER_SEC;
	KUNIT_EXPECT_EQ(test, mt_move(device, 0, 32), 32L * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, device_memory_evict_all(&device->memory), 0);
	mt_expect_cpu(ctx, 0, 32);
	mt_device_free(device);
}

/* The process may write, the device may not: until it asks for that. */
static void read_only_although_the_process_writes(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, 0);
	struct ht_ctx *ctx = device->ctx;
	unsigned long i, writable = 0;

	mt_map_small(ctx, 0, 32);
	ht_fill(ctx, 0, 32);
	KUNIT_EXPECT_EQ(test, mt_fault(device, 0, DEVICE_MIRROR_READ_ONLY), 0);
	KUNIT_EXPECT_EQ(test, mt_prefetch(device, 16, 16, DEVICE_MIRROR_READ_ONLY),
			16L * PAGE_SIZE);
	for (i = 0; i < 32; i++) {
		KUNIT_EXPECT_TRUE(test, mt_has(device, i));
		writable += device->table[i].write;
	}
	KUNIT_EXPECT_EQ(test, writable, 0UL);
	mt_expect_read(device, 0, 32);
	KUNIT_EXPECT_EQ(test, mt_write(device, 4, 17), 0);
	KUNIT_EXPECT_EQ(test, mt_cpu_read(ctx, 4), 17ULL);
	KUNIT_EXPECT_EQ(test, mt_fault(device, 0, DEVICE_MIRROR_READ_ONLY | DEVICE_MIRROR_WRITE),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, mt_prefetch(device, 0, 1, DEVICE_MIRROR_ONLY_DEVICE), (long)-EINVAL);
	mt_device_free(device);
}

static struct kunit_case device_memory_place_cases[] = {
	KUNIT_CASE(peer_uses_a_page_where_it_is),
	KUNIT_CASE(device_without_memory_uses_that_of_a_peer),
	KUNIT_CASE(page_out_of_reach_comes_back),
	KUNIT_CASE(peer_lets_go_with_the_page),
	KUNIT_CASE(cpu_gets_each_page_from_its_device),
	KUNIT_CASE(only_in_the_devices_memory),
	KUNIT_CASE(timeslice_is_the_devices),
	KUNIT_CASE(read_only_although_the_process_writes),
	{}
};

static struct kunit_suite device_memory_place_suite = {
	.name = "device_memory_place",
	.init = mt_test_init,
	.exit = ht_test_exit,
	.test_cases = device_memory_place_cases,
};

kunit_test_suite(device_memory_place_suite);
