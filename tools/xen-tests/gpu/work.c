// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ABI of /dev/xgpuN: work on ordinary pointers, fences, errors.
 */
#include "gpu.h"

FIXTURE(work)
{
	int fd;
	char *mem;
};

#define SIZE (1 * MIB)
#define XGPU_MOST_CONTEXTS 128 /* xgpu_hw.h: XGPU_CONTEXTS */

FIXTURE_SETUP(work)
{
	self->fd = gpu_open(_metadata);
	self->mem = anon(_metadata, SIZE);
}

FIXTURE_TEARDOWN(work)
{
	EXPECT_NOTHING_STALE(self->fd);
	close(self->fd);
	munmap(self->mem, SIZE);
}

TEST_F(work, fill_is_seen_by_the_cpu)
{
	size_t i;

	ASSERT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem + 100, 300 * KIB, 0x1111));
	for (i = 0; i < 300 * KIB; i += 8)
		ASSERT_EQ(0x1111, *(uint64_t *)(self->mem + 100 + i)) TH_LOG("byte %zu", i);
	EXPECT_EQ(0, self->mem[99]);
	EXPECT_EQ(0, self->mem[100 + 300 * KIB]);
}

TEST_F(work, copy_checksum_compare)
{
	uint64_t sum = 0, where = 0;

	fill_words(self->mem, SIZE / 2, 7);
	ASSERT_EQ(XGPU_FENCE_OK, gpu_copy(self->fd, self->mem + SIZE / 2, self->mem, SIZE / 2));
	EXPECT_EQ(0, memcmp(self->mem, self->mem + SIZE / 2, SIZE / 2));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_sum(self->fd, self->mem, SIZE, &sum));
	EXPECT_EQ(cpu_sum(self->mem, SIZE), sum);
	EXPECT_EQ(XGPU_FENCE_OK, gpu_do(self->fd, XGPU_WORK_COMPARE, self->mem + SIZE / 2,
					self->mem, SIZE / 2, 0, NULL));
	self->mem[12345] ^= 1;
	EXPECT_EQ(XGPU_FENCE_DIFFERENT, gpu_do(self->fd, XGPU_WORK_COMPARE, self->mem + SIZE / 2,
					       self->mem, SIZE / 2, 0, &where));
	EXPECT_EQ(12345, where);
}

TEST_F(work, atomic_add)
{
	uint64_t before = 0, *word = (uint64_t *)(self->mem + 4096);

	*word = 40;
	EXPECT_EQ(XGPU_FENCE_OK, gpu_do(self->fd, XGPU_WORK_ATOMIC_ADD, word, NULL, 0, 2, &before));
	EXPECT_EQ(40, before);
	EXPECT_EQ(42, *word);
}

/* Work of a call is done in order, and goes on after an error unless it says otherwise. */
TEST_F(work, batch_says_which_work_failed)
{
	struct xgpu_work work[4] = {
		{ .op = XGPU_WORK_FILL, .dst = P(self->mem), .len = 8, .value = 1 },
		{ .op = XGPU_WORK_FILL, .dst = 0x1000, .len = 8, .value = 2 },
		{ .op = XGPU_WORK_FILL, .dst = P(self->mem + 8), .len = 8, .value = 3 },
		{ .op = XGPU_WORK_FILL, .dst = P(self->mem + 16), .len = 8, .value = 4,
		  .flags = XGPU_WORK_FLAG_SKIP },
	};
	uint64_t *word = (uint64_t *)self->mem;
	struct xgpu_wait wait;

	ASSERT_EQ(0, gpu_wait(self->fd, gpu_submit_all(self->fd, work, 4), &wait));
	EXPECT_EQ(XGPU_FENCE_FAULT, wait.status);
	EXPECT_EQ(1, wait.work);
	EXPECT_EQ(0x1000, wait.fault);
	EXPECT_EQ(1, word[0]);
	EXPECT_EQ(3, word[1]);
	EXPECT_EQ(0, word[2]);
	/* The ring goes on, and so do its indices: the number is that in the call, still. */
	ASSERT_EQ(0, gpu_wait(self->fd, gpu_submit_all(self->fd, work, 4), &wait));
	EXPECT_EQ(XGPU_FENCE_FAULT, wait.status);
	EXPECT_EQ(1, wait.work);
}

/* A pointer to nothing is an error of the fence, whatever kind of nothing it is. */
TEST_F(work, wrong_pointers)
{
	char *hole = anon(_metadata, 3 * GM_PAGE_SIZE);
	char *none = anon(_metadata, GM_PAGE_SIZE);
	struct xgpu_wait wait;

	ASSERT_EQ(0, munmap(hole + GM_PAGE_SIZE, GM_PAGE_SIZE));
	ASSERT_EQ(0, mprotect(none, GM_PAGE_SIZE, PROT_NONE));
	ASSERT_EQ(0, gpu_wait(self->fd, gpu_submit(self->fd, XGPU_WORK_FILL, hole, NULL,
						   3 * GM_PAGE_SIZE, 5), &wait));
	EXPECT_EQ(XGPU_FENCE_FAULT, wait.status);
	EXPECT_EQ(P(hole + GM_PAGE_SIZE), wait.fault);
	/* What lies before it has been written. */
	EXPECT_EQ(5, *(uint64_t *)(hole + GM_PAGE_SIZE - 8));
	EXPECT_EQ(XGPU_FENCE_FAULT, gpu_fill(self->fd, none, 8, 1));
	EXPECT_EQ(XGPU_FENCE_FAULT, gpu_fill(self->fd, NULL, 8, 1));
	/* A kernel address, below 48 bits or not */
	EXPECT_EQ(XGPU_FENCE_FAULT, gpu_fill(self->fd, (void *)0x0000800000000000UL, 8, 1));
	EXPECT_EQ(-EINVAL, gpu_fill(self->fd, (void *)0xffff800000000000UL, 8, 1));
	munmap(hole, 3 * GM_PAGE_SIZE);
	munmap(none, GM_PAGE_SIZE);
}

/* The GPU may write what the process may write, and nothing else. */
TEST_F(work, permissions_are_those_of_the_process)
{
	char *ro = anon(_metadata, GM_PAGE_SIZE);
	uint64_t sum;

	*ro = 1;
	ASSERT_EQ(0, mprotect(ro, GM_PAGE_SIZE, PROT_READ));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_sum(self->fd, ro, 8, &sum));
	EXPECT_EQ(1, sum);
	EXPECT_EQ(XGPU_FENCE_FAULT, gpu_fill(self->fd, ro, 8, 2));
	EXPECT_EQ(1, *ro);
	ASSERT_EQ(0, mprotect(ro, GM_PAGE_SIZE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, ro, 8, 2));
	EXPECT_EQ(2, *ro);
	ASSERT_EQ(0, mprotect(ro, GM_PAGE_SIZE, PROT_READ));
	EXPECT_EQ(XGPU_FENCE_FAULT, gpu_fill(self->fd, ro, 8, 3));
	EXPECT_EQ(2, *ro);
	munmap(ro, GM_PAGE_SIZE);
}

TEST_F(work, file_mappings)
{
	int file = memfd_create("gpu", 0);
	char *shared, *private;

	ASSERT_LE(0, file);
	ASSERT_EQ(0, ftruncate(file, 64 * KIB));
	shared = mmap(NULL, 64 * KIB, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	private = mmap(NULL, 64 * KIB, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	ASSERT_NE(MAP_FAILED, shared);
	ASSERT_NE(MAP_FAILED, private);
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, shared, 64 * KIB, 6));
	EXPECT_EQ(6, private[8 * 1000]);
	/* Copy on write: for the GPU, too */
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, private, 4 * KIB, 7));
	EXPECT_EQ(7, private[0]);
	EXPECT_EQ(6, shared[0]);
	/* The file becomes shorter: its pages are gone. */
	ASSERT_EQ(0, ftruncate(file, 4 * KIB));
	EXPECT_EQ(XGPU_FENCE_FAULT, gpu_fill(self->fd, shared + 8 * KIB, 8, 1));
	munmap(shared, 64 * KIB);
	munmap(private, 64 * KIB);
	close(file);
}

TEST_F(work, many_fences)
{
	int64_t fence = 0, first = 0;
	struct xgpu_wait wait;
	int i;

	for (i = 0; i < 1000; i++) {
		fence = gpu_submit(self->fd, XGPU_WORK_ATOMIC_ADD, self->mem, NULL, 0, 1);
		ASSERT_LT(0, fence) TH_LOG("submission %d: %s", i, strerror(-fence));
		first = first ?: fence;
	}
	EXPECT_EQ(first + 999, fence);
	EXPECT_EQ(0, gpu_wait(self->fd, fence, &wait));
	EXPECT_EQ(XGPU_FENCE_OK, wait.status);
	EXPECT_EQ(999, wait.result);
	EXPECT_EQ(1000, *(uint64_t *)self->mem);
	EXPECT_EQ(0, gpu_wait(self->fd, fence - 10, &wait));
	EXPECT_EQ(989, wait.result);
	EXPECT_EQ(-ESTALE, gpu_wait(self->fd, first, &wait));
	EXPECT_EQ(-EINVAL, gpu_wait(self->fd, fence + 1, &wait));
	EXPECT_EQ(-EINVAL, gpu_wait(self->fd, 0, &wait));
}

/* Calls as long as they may be, more of them than the ring has room for: none is lost. */
TEST_F(work, more_work_than_the_ring_has_room_for)
{
	struct xgpu_work work[XGPU_SUBMIT_MAX];
	int64_t fence = 0;
	struct xgpu_wait wait;
	unsigned int i;

	for (i = 0; i < XGPU_SUBMIT_MAX; i++)
		work[i] = (struct xgpu_work){
			.op = XGPU_WORK_ATOMIC_ADD, .dst = P(self->mem), .value = 1,
		};
	/* Something slow first, so that the rest is behind it. */
	ASSERT_LT(0, gpu_submit(self->fd, XGPU_WORK_FILL, self->mem + GM_PAGE_SIZE, NULL,
				SIZE - GM_PAGE_SIZE, 1));
	for (i = 0; i < 30; i++) {
		fence = gpu_submit_all(self->fd, work, XGPU_SUBMIT_MAX);
		ASSERT_LT(0, fence) TH_LOG("call %u: %s", i, strerror(-fence));
	}
	EXPECT_EQ(0, gpu_wait(self->fd, fence, &wait));
	EXPECT_EQ(XGPU_FENCE_OK, wait.status);
	EXPECT_EQ(30 * XGPU_SUBMIT_MAX - 1, wait.result);
	EXPECT_EQ(30 * XGPU_SUBMIT_MAX, *(uint64_t *)self->mem);
}

/* The GPU has a limited number of contexts: closed ones can be had again. */
TEST_F(work, contexts_come_back)
{
	unsigned int i;
	int fd;

	for (i = 0; i < 2 * XGPU_MOST_CONTEXTS; i++) {
		fd = open(GPU_0, O_RDWR | O_CLOEXEC);
		ASSERT_LE(0, fd) TH_LOG("file %u: %s", i, strerror(errno));
		close(fd);
	}
	fd = gpu_open(_metadata);
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(fd, self->mem, 8, 1));
	close(fd);
}

TEST_F(work, poll_and_time_limits)
{
	struct pollfd pfd = { .fd = self->fd, .events = POLLIN };
	struct xgpu_wait wait = { .size = sizeof(wait), .timeout_ns = 1000000 };

	EXPECT_EQ(1, poll(&pfd, 1, 0));
	wait.fence = gpu_submit(self->fd, XGPU_WORK_HANG, NULL, NULL, 0, 0);
	EXPECT_EQ(0, poll(&pfd, 1, 20));
	EXPECT_EQ(-ETIME, gpu_ioctl(self->fd, XGPU_IOCTL_WAIT, &wait));
	wait.timeout_ns = 0;
	EXPECT_EQ(-EAGAIN, gpu_ioctl(self->fd, XGPU_IOCTL_WAIT, &wait));
}

TEST_F(work, nonsense_is_refused)
{
	struct xgpu_work good = { .op = XGPU_WORK_FILL, .dst = P(self->mem), .len = 8 }, work;
	struct { struct xgpu_submit submit; uint64_t more; } longer = {
		.submit = { .size = sizeof(longer), .nr = 1, .work = P(&good) },
	};
	struct xgpu_submit submit = { .size = sizeof(submit), .work = P(&good) };

	work = good;
	work.op = 99;
	EXPECT_EQ(-EINVAL, gpu_submit_all(self->fd, &work, 1));
	work = good;
	work.flags = 0x8000;
	EXPECT_EQ(-EINVAL, gpu_submit_all(self->fd, &work, 1));
	work = good;
	work.reserved = 1;
	EXPECT_EQ(-EINVAL, gpu_submit_all(self->fd, &work, 1));
	work = good;
	work.len = ~0ULL;
	EXPECT_EQ(-EINVAL, gpu_submit_all(self->fd, &work, 1));
	EXPECT_EQ(-EFAULT, gpu_submit_all(self->fd, (void *)8, 1));
	EXPECT_EQ(-EINVAL, gpu_submit_all(self->fd, &good, XGPU_SUBMIT_MAX + 1));
	EXPECT_EQ(-EINVAL, gpu_ioctl(self->fd, XGPU_IOCTL_SUBMIT, &submit));
	submit.size = 4;
	EXPECT_EQ(-EINVAL, gpu_ioctl(self->fd, XGPU_IOCTL_SUBMIT, &submit));
	/* A caller of the future: fine as long as it wants nothing of the future */
	EXPECT_EQ(0, gpu_ioctl(self->fd, XGPU_IOCTL_SUBMIT, &longer));
	longer.more = 1;
	EXPECT_EQ(-E2BIG, gpu_ioctl(self->fd, XGPU_IOCTL_SUBMIT, &longer));
	EXPECT_EQ(-ENOTTY, gpu_ioctl(self->fd, _IO('X', 0x7f), NULL));
	EXPECT_EQ(-EFAULT, gpu_ioctl(self->fd, XGPU_IOCTL_QUERY, NULL));
	EXPECT_EQ(-EINVAL, gpu_range(self->fd, XGPU_IOCTL_PREFETCH, self->mem, 0, 0, NULL));
	EXPECT_EQ(-EINVAL, gpu_range(self->fd, XGPU_IOCTL_PREFETCH, self->mem, 8, 8, NULL));
	EXPECT_EQ(-EINVAL, gpu_range(self->fd, XGPU_IOCTL_ADVISE, self->mem, 8, 4, NULL));
	EXPECT_EQ(-EINVAL, gpu_range(self->fd, XGPU_IOCTL_PREFETCH, self->mem, ~0ULL, 0, NULL));
}

/*
 * A fence whose number cannot be told to the caller is no fence, and its work is not done: the
 * call may be read from where it is, but nothing can be written there.
 */
TEST_F(work, call_that_cannot_be_answered_does_nothing)
{
	struct xgpu_work work = { .op = XGPU_WORK_FILL, .dst = P(self->mem), .len = 8, .value = 7 };
	uint64_t submitted = gpu_query(_metadata, self->fd).submitted;
	struct xgpu_submit *submit = (void *)anon(_metadata, GM_PAGE_SIZE);

	*submit = (struct xgpu_submit){ .size = sizeof(*submit), .nr = 1, .work = P(&work) };
	ASSERT_EQ(0, mprotect(submit, GM_PAGE_SIZE, PROT_READ));
	EXPECT_EQ(-EFAULT, gpu_ioctl(self->fd, XGPU_IOCTL_SUBMIT, submit));
	EXPECT_EQ(submitted, gpu_query(_metadata, self->fd).submitted);
	ASSERT_EQ(0, mprotect(submit, GM_PAGE_SIZE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, gpu_ioctl(self->fd, XGPU_IOCTL_SUBMIT, submit));
	EXPECT_EQ(submitted + 1, submit->fence);
	EXPECT_EQ(0, munmap(submit, GM_PAGE_SIZE));
}

#define SUBMITTERS 4
#define SUBMISSIONS 200

struct submitter {
	int fd;
	char *mem;
	uint64_t fences[SUBMISSIONS];
	unsigned int failed;
};

static void *submit_many(void *arg)
{
	struct submitter *s = arg;
	unsigned int i;

	for (i = 0; i < SUBMISSIONS; i++) {
		int64_t fence = gpu_submit(s->fd, XGPU_WORK_ATOMIC_ADD, s->mem, NULL, 0, 1);

		s->fences[i] = fence;
		s->failed += fence <= 0;
	}
	return NULL;
}

/* Threads that submit to one context at the same time: each fence is one caller's. */
TEST_F(work, fences_of_threads_are_apart)
{
	static struct submitter s[SUBMITTERS];
	static unsigned int seen[SUBMITTERS * SUBMISSIONS + 1];
	uint64_t first = gpu_query(_metadata, self->fd).submitted;
	pthread_t threads[SUBMITTERS];
	struct xgpu_wait wait;
	unsigned int i, k, once = 0;

	for (i = 0; i < SUBMITTERS; i++) {
		s[i] = (struct submitter){ .fd = self->fd, .mem = self->mem };
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, submit_many, &s[i]));
	}
	for (i = 0; i < SUBMITTERS; i++) {
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
		EXPECT_EQ(0, s[i].failed);
	}
	memset(seen, 0, sizeof(seen));
	for (i = 0; i < SUBMITTERS; i++)
		for (k = 0; k < SUBMISSIONS; k++)
			if (s[i].fences[k] - first <= SUBMITTERS * SUBMISSIONS)
				seen[s[i].fences[k] - first]++;
	for (i = 1; i <= SUBMITTERS * SUBMISSIONS; i++)
		once += seen[i] == 1;
	EXPECT_EQ(SUBMITTERS * SUBMISSIONS, once);
	EXPECT_EQ(0, gpu_wait(self->fd, first + SUBMITTERS * SUBMISSIONS, &wait));
	EXPECT_EQ(SUBMITTERS * SUBMISSIONS - 1, wait.result);
	EXPECT_EQ(SUBMITTERS * SUBMISSIONS, *(uint64_t *)self->mem);
}

/* A context is its opener's: whoever else gets the file has other memory. */
TEST_F(work, context_of_another_process)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(gpu_fill(self->fd, self->mem, 8, 1) == -EPERM ? 0 : 1);
	ASSERT_LT(0, pid);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem, 8, 1));
}

/* Contexts do not see each other's memory, though addresses are the same. */
TEST_F(work, contexts_are_apart)
{
	int status;
	pid_t pid;

	ASSERT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem, SIZE, 1));
	pid = fork();
	if (!pid) {
		int fd = open(GPU_0, O_RDWR);

		_exit(gpu_fill(fd, self->mem, SIZE, 2) || self->mem[8] != 2);
	}
	ASSERT_LT(0, pid);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(1, self->mem[8]);
	EXPECT_EQ(1, *(uint64_t *)(self->mem + SIZE - 8));
}

TEST_HARNESS_MAIN
