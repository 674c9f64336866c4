// SPDX-License-Identifier: GPL-2.0-only
/*
 * GPU and CPU work on the same memory at once, while all that can happen to memory happens
 * to it: thrown away, mapped anew, protected, forked, made of huge pages and of small ones,
 * swapped out, merged (KSM), moved to video memory and back. What is in it is compared with
 * what should be.
 *
 * The memory is slots. Whoever changes what a slot holds has its lock, and writes down what
 * that is (a value that all its words have); who only disturbs needs no lock.
 */
#include "gpu.h"

#define SLOT_SIZE	(64 * KIB)
#define MAX_SLOTS	(256 * MIB / SLOT_SIZE)
#define WORKERS		3
#define SECONDS		4
#define LONG_SECONDS	120

struct slot {
	pthread_mutex_t lock;
	uint64_t value;
};

struct storm {
	char *mem;
	size_t size;
	unsigned int nr_slots;
	struct slot *slots;
	_Atomic bool stop;
	_Atomic unsigned long done[8];
	bool swap;
	_Atomic unsigned long wrong;
	_Atomic unsigned long failed;
	int fd;
};

struct actor {
	struct storm *storm;
	pthread_t thread;
	uint64_t rnd;
	unsigned int kind;
};

static uint64_t rnd(struct actor *actor)
{
	actor->rnd ^= actor->rnd << 13;
	actor->rnd ^= actor->rnd >> 7;
	actor->rnd ^= actor->rnd << 17;
	return actor->rnd;
}

static char *slot_at(struct storm *storm, unsigned int i)
{
	return storm->mem + i * SLOT_SIZE;
}

static void verify(struct storm *storm, unsigned int i, uint64_t expected)
{
	uint64_t *word = (uint64_t *)slot_at(storm, i);
	unsigned int w;

	for (w = 0; w < SLOT_SIZE / 8; w++) {
		if (word[w] == expected)
			continue;
		storm->wrong++;
		return;
	}
}

/* What the sum of a slot of equal words is: the sum of (2 * i + 1) for i < n is n * n. */
static uint64_t sum_of(uint64_t value)
{
	return value * (SLOT_SIZE / 8) * (SLOT_SIZE / 8);
}

/* One step of one who works, with the slot's lock */
static void work_on(struct actor *actor, unsigned int i)
{
	struct storm *storm = actor->storm;
	struct slot *slot = &storm->slots[i];
	unsigned int kind = rnd(actor) % 7;
	uint64_t value = rnd(actor), sum = 0;
	char *at = slot_at(storm, i);
	int ret = 0;

	switch (kind) {
	case 0:
		ret = gpu_fill(storm->fd, at, SLOT_SIZE, value);
		slot->value = value;
		break;
	case 1:
		ret = gpu_sum(storm->fd, at, SLOT_SIZE, &sum);
		storm->wrong += !ret && sum != sum_of(slot->value);
		break;
	case 2:
		verify(storm, i, slot->value);
		break;
	case 3:
		for (uint64_t *w = (uint64_t *)at; (char *)w < at + SLOT_SIZE; w++)
			*w = value;
		slot->value = value;
		break;
	case 4:
		if (madvise(at, SLOT_SIZE, MADV_DONTNEED))
			storm->failed++;
		slot->value = 0;
		break;
	case 5:
		if (mmap(at, SLOT_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != at)
			storm->failed++;
		slot->value = 0;
		break;
	case 6:
		/* What the process may not write the GPU may not either; then both may again. */
		if (mprotect(at, SLOT_SIZE, PROT_READ))
			storm->failed++;
		storm->wrong += gpu_fill(storm->fd, at, SLOT_SIZE, value) != XGPU_FENCE_FAULT;
		if (mprotect(at, SLOT_SIZE, PROT_READ | PROT_WRITE))
			storm->failed++;
		break;
	}
	storm->failed += ret != XGPU_FENCE_OK;
	storm->done[kind]++;
}

static void *worker(void *arg)
{
	struct actor *actor = arg;
	struct storm *storm = actor->storm;

	while (!storm->stop) {
		unsigned int i = rnd(actor) % storm->nr_slots;

		pthread_mutex_lock(&storm->slots[i].lock);
		work_on(actor, i);
		pthread_mutex_unlock(&storm->slots[i].lock);
	}
	return NULL;
}

/* Changes nothing of what the memory holds. */
static void disturb(struct actor *actor)
{
	static const int advice[] = {
		MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_PAGEOUT, MADV_COLD, MADV_MERGEABLE,
		MADV_UNMERGEABLE, MADV_POPULATE_READ,
	};
	struct storm *storm = actor->storm;
	size_t at = rnd(actor) % storm->size & ~(GM_PAGE_SIZE - 1);
	size_t len = (rnd(actor) % (2 * PMD_SIZE) & ~(GM_PAGE_SIZE - 1)) + GM_PAGE_SIZE;
	unsigned int kind = rnd(actor) % 10;
	pid_t pid;

	len = at + len > storm->size ? storm->size - at : len;
	if (kind < 7) {
		madvise(storm->mem + at, len, advice[kind]);
	} else if (kind == 7) {
		pid = fork();
		if (!pid)
			_exit(*(volatile char *)(storm->mem + at) == 1);
		if (pid > 0)
			waitpid(pid, NULL, 0);
	} else {
		gpu_range(storm->fd, XGPU_IOCTL_PREFETCH, storm->mem + at, len,
			  kind == 8 ? XGPU_PREFETCH_VRAM : XGPU_PREFETCH_WRITE, NULL);
	}
	storm->done[7]++;
}

static void *disturber(void *arg)
{
	struct actor *actor = arg;

	while (!actor->storm->stop)
		disturb(actor);
	return NULL;
}

FIXTURE(storm)
{
	struct storm s;
};

FIXTURE_VARIANT(storm)
{
	size_t size;
};

/* Few slots: all is about the same pages. Many: more than there is video memory. */
FIXTURE_VARIANT_ADD(storm, few) { .size = 4 * MIB };
FIXTURE_VARIANT_ADD(storm, many) { .size = 256 * MIB };

FIXTURE_SETUP(storm)
{
	unsigned int i;

	self->s.fd = gpu_open(_metadata);
	self->s.size = variant->size;
	self->s.swap = !gm_run(NULL, 0, GM_TIMEOUT_MS,
			       "modprobe brd rd_nr=1 rd_size=65536 && mkswap /dev/ram0 && swapon /dev/ram0");
	EXPECT_TRUE(self->s.swap);
	EXPECT_EQ(0, gm_write_file("/sys/kernel/mm/ksm/run", "1"));
	self->s.mem = anon_aligned(_metadata, self->s.size, true);
	self->s.nr_slots = self->s.size / SLOT_SIZE;
	self->s.slots = calloc(self->s.nr_slots, sizeof(*self->s.slots));
	ASSERT_NE(NULL, self->s.slots);
	for (i = 0; i < self->s.nr_slots; i++)
		pthread_mutex_init(&self->s.slots[i].lock, NULL);
}

FIXTURE_TEARDOWN(storm)
{
	EXPECT_NOTHING_STALE(self->s.fd);
	EXPECT_EQ(0, munmap(self->s.mem, self->s.size));
	EXPECT_EQ(0, gpu_query(_metadata, self->s.fd).vram_used);
	close(self->s.fd);
	free(self->s.slots);
	EXPECT_EQ(0, gm_write_file("/sys/kernel/mm/ksm/run", "2"));
	EXPECT_EQ(0, gm_write_file("/sys/kernel/mm/ksm/run", "0"));
	if (self->s.swap)
		EXPECT_EQ(0, gm_run(NULL, 0, GM_TIMEOUT_MS, "swapoff /dev/ram0 && modprobe -r brd"));
}

TEST_F_TIMEOUT(storm, memory_is_what_it_should_be, GM_LONG_TEST_S)
{
	struct actor actors[WORKERS + 1] = {};
	struct storm *s = &self->s;
	struct xgpu_query query;
	unsigned int i;

	for (i = 0; i <= WORKERS; i++) {
		actors[i].storm = s;
		actors[i].rnd = 0x9e3779b97f4a7c15ULL * (i + 1);
		ASSERT_EQ(0, pthread_create(&actors[i].thread, NULL, i < WORKERS ? worker : disturber,
					    &actors[i]));
	}
	sleep(getenv("GM_LONG") && *getenv("GM_LONG") ? LONG_SECONDS : SECONDS);
	s->stop = true;
	for (i = 0; i <= WORKERS; i++)
		ASSERT_EQ(0, pthread_join(actors[i].thread, NULL));
	for (i = 0; i < s->nr_slots; i++)
		verify(s, i, s->slots[i].value);

	EXPECT_EQ(0, s->wrong);
	EXPECT_EQ(0, s->failed);
	query = gpu_query(_metadata, s->fd);
	gm_note("GPU filled %lu, summed %lu; CPU read %lu, wrote %lu; thrown away %lu, mapped anew %lu, protected %lu; disturbed %lu",
		s->done[0], s->done[1], s->done[2], s->done[3], s->done[4], s->done[5], s->done[6],
		s->done[7]);
	gm_note("%llu faults, %llu retries, %llu shootdowns, %llu pages to video memory, %llu back",
		query.faults, query.retries, query.shootdowns, query.to_vram, query.to_system);
}

TEST_HARNESS_MAIN
