// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults of contexts at the same time, without a GPU in the way (module mirror_bench): how many
 * are served a second, and how many of them find a lock taken. Each context is a process of
 * its own. The same with all of them on one processor is what more processors are compared
 * with. The last rows are what one lock for all of them would look like.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>

#include "../bench/bench.h"
#include "mirror_bench/uapi.h"

#define MAX_CONTEXTS	8
#define SIZE		(8 * MRB_CHUNK)
#define SECONDS		(bench_is_full() ? 3 : 1)

struct shared {
	pthread_barrier_t start;
	struct {
		uint64_t faults, contended, ns;
		bool ok;
	} of[MAX_CONTEXTS];
};

static uint64_t mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* Huge pages that are there: a fault has nothing to wait for. NULL: not to be had */
static char *memory(void)
{
	char *p = mmap(NULL, SIZE + MRB_CHUNK, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	p = (char *)(((uintptr_t)p + MRB_CHUNK - 1) & ~(MRB_CHUNK - 1));
	madvise(p, SIZE, MADV_HUGEPAGE);
	memset(p, 1, SIZE);
	return p;
}

/* Faults all of the memory in, and takes it away again, until the time is over. */
static void faulter(struct shared *shared, unsigned int n, unsigned int flags)
{
	struct mrb_fault fault = { .length = SIZE, .flags = flags };
	int fd = open(MRB_DEVICE, O_RDWR | O_CLOEXEC);
	char *mem = memory();
	uint64_t began;
	bool ok = fd >= 0 && mem;

	fault.start = (uintptr_t)mem;
	pthread_barrier_wait(&shared->start);
	began = mono_ns();
	while (ok && mono_ns() - began < SECONDS * 1000000000ULL) {
		ok = !ioctl(fd, MRB_FAULT, &fault) && fault.entered == SIZE / GM_PAGE_SIZE;
		shared->of[n].faults += fault.faults;
		shared->of[n].contended += fault.contended;
		mprotect(mem, SIZE, PROT_READ);
		mprotect(mem, SIZE, PROT_READ | PROT_WRITE);
	}
	shared->of[n].ns = mono_ns() - began;
	shared->of[n].ok = ok;
	_exit(0);
}

/* Faults a second of @nr contexts; of a million, how many found a lock taken. */
static uint64_t measure(struct __test_metadata *_metadata, unsigned int nr, unsigned int flags,
			uint64_t *ppm)
{
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t faults = 0, contended = 0, longest = 0;
	pthread_barrierattr_t attr;
	pid_t pid[MAX_CONTEXTS];
	unsigned int i;
	int status;

	ASSERT_NE(MAP_FAILED, shared);
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	ASSERT_EQ(0, pthread_barrier_init(&shared->start, &attr, nr));
	for (i = 0; i < nr; i++) {
		pid[i] = fork();
		if (!pid[i])
			faulter(shared, i, flags);
		ASSERT_LT(0, pid[i]);
	}
	for (i = 0; i < nr; i++) {
		ASSERT_EQ(pid[i], waitpid(pid[i], &status, 0));
		EXPECT_EQ(0, status);
		EXPECT_TRUE(shared->of[i].ok);
		faults += shared->of[i].faults;
		contended += shared->of[i].contended;
		if (shared->of[i].ns > longest)
			longest = shared->of[i].ns;
	}
	ASSERT_LT(0, faults);
	munmap(shared, sizeof(*shared));
	gm_note("%u contexts: %lu faults, %lu found a lock taken", nr, faults, contended);
	*ppm = contended * 1000000 / faults;
	return faults * 1000000000ULL / longest;
}

static void contexts(struct __test_metadata *_metadata, unsigned int nr, unsigned int flags,
		     const char *name)
{
	uint64_t ppm, rate = measure(_metadata, nr, flags, &ppm);
	char row[64];

	snprintf(row, sizeof(row), "mirror.%s.%u", name, nr);
	bench_print_one(row, "ops/s", rate);
	snprintf(row, sizeof(row), "mirror.%s.contended.%u", name, nr);
	bench_print_one(row, "ppm", ppm);
}

static bool is_there(void)
{
	gm_run(NULL, 0, GM_TIMEOUT_MS, "modprobe mirror_bench");
	return !access(MRB_DEVICE, F_OK);
}

TEST(mirror_faults)
{
	if (!is_there())
		SKIP(return, "no device mirrors in this kernel");
	contexts(_metadata, 1, 0, "faults");
	contexts(_metadata, 2, 0, "faults");
	contexts(_metadata, 8, 0, "faults");
	contexts(_metadata, 1, MRB_ONE_LOCK, "one_lock");
	contexts(_metadata, 2, MRB_ONE_LOCK, "one_lock");
	contexts(_metadata, 8, MRB_ONE_LOCK, "one_lock");
}

FIXTURE(mirror) {};

FIXTURE_SETUP(mirror)
{
}

FIXTURE_TEARDOWN(mirror)
{
}

/*
 * One context and eight, on one processor and on all, side by side: what the computer has to
 * give changes from one second to the next, so each round has all four.
 */
TEST_F_TIMEOUT(mirror, scale, GM_TEST_S)
{
	static const char * const rows[] = {
		"mirror.scale.one_cpu.1", "mirror.scale.one_cpu.8",
		"mirror.scale.all_cpus.1", "mirror.scale.all_cpus.8",
	};
	unsigned int round, rounds = bench_is_full() ? 5 : 1, i;
	uint64_t rate[4][5], ppm;
	cpu_set_t all, one;

	if (!is_there())
		SKIP(return, "no device mirrors in this kernel");
	ASSERT_EQ(0, sched_getaffinity(0, sizeof(all), &all));
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	for (round = 0; round < rounds; round++) {
		for (i = 0; i < 4; i++) {
			ASSERT_EQ(0, sched_setaffinity(0, sizeof(all), i < 2 ? &one : &all));
			rate[i][round] = measure(_metadata, i % 2 ? 8 : 1, 0, &ppm);
		}
		gm_note("round %u: one processor %lu, %lu; all %lu, %lu faults a second", round,
			rate[0][round], rate[1][round], rate[2][round], rate[3][round]);
	}
	for (i = 0; i < 4; i++)
		bench_print(rows[i], "ops/s", rate[i], rounds, "");
}

TEST_HARNESS_MAIN
