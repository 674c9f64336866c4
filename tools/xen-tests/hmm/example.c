// SPDX-License-Identifier: GPL-2.0-only
/*
 * The driver of Documentation/tutorial-mirror.md (../modules/mirror_example): what the
 * tutorial says of it is so. The device adds up or fills pages through a page table of its
 * own, so what it gets wrong is a stale entry, a lost write, or a page that is not given back.
 */
#include "../grants/grants.h"
#include "hmm.h"
#include "mirror_example/mirror_example.h"

#define PAGES		64U
#define SIZE		(PAGES * GM_PAGE_SIZE)
#define WORDS		(GM_PAGE_SIZE / sizeof(uint64_t))

/* How long the storm takes, ms */
#define STORM_MS	3000

static int device_open(void)
{
	if (access(GM_MIRROR_DEVICE, F_OK))
		gm_run(NULL, 0, GM_TIMEOUT_MS, "modprobe mirror_example");
	return open(GM_MIRROR_DEVICE, O_RDWR | O_CLOEXEC);
}

static int device_bind(int fd, void *addr, unsigned int pages)
{
	struct gm_mirror_bind arg = { .start = (uintptr_t)addr, .pages = pages };

	return hmm_ioctl(fd, GM_MIRROR_BIND, &arg);
}

static int device_sum(int fd, unsigned int first, unsigned int count, uint64_t *sum)
{
	struct gm_mirror_work arg = { .first = first, .count = count };
	int ret = hmm_ioctl(fd, GM_MIRROR_SUM, &arg);

	*sum = arg.value;
	return ret;
}

static int device_fill(int fd, unsigned int first, unsigned int count, uint64_t value)
{
	struct gm_mirror_work arg = { .first = first, .count = count, .value = value };

	return hmm_ioctl(fd, GM_MIRROR_FILL, &arg);
}

static void cpu_fill(uint64_t *addr, unsigned int pages, uint64_t value)
{
	for (unsigned int i = 0; i < pages * WORDS; i++)
		addr[i] = value;
}

static uint64_t cpu_sum(const uint64_t *addr, unsigned int pages)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < pages * WORDS; i++)
		sum += addr[i];
	return sum;
}

#define OPEN_OR_SKIP(fd) do {							\
	fd = device_open();						\
	if (fd < 0)								\
		SKIP(return, "the module mirror_example needs our HMM");	\
} while (0)

/* On arm64 only a device of which the firmware says so is coherent. */
#define BIND_OR_SKIP(fd, addr, pages) do {					\
	int __ret = device_bind(fd, addr, pages);				\
										\
	if (__ret == -EOPNOTSUPP)						\
		SKIP(return, "this device is not coherent here");		\
	ASSERT_EQ(0, __ret);							\
} while (0)

#define EXPECT_SUM(want, first, count) do {					\
	uint64_t __sum = 0;							\
										\
	EXPECT_EQ(0, device_sum(self->fd, first, count, &__sum));		\
	EXPECT_EQ((uint64_t)(want), __sum);					\
} while (0)

FIXTURE(tutorial_mirror) {
	int fd;
	uint64_t *addr;
	struct gm_mirror_stats stats;
};

FIXTURE_SETUP(tutorial_mirror)
{
	OPEN_OR_SKIP(self->fd);
	self->addr = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->addr);
	BIND_OR_SKIP(self->fd, self->addr, PAGES);
	cpu_fill(self->addr, PAGES, 3);
}

FIXTURE_TEARDOWN(tutorial_mirror)
{
	munmap(self->addr, SIZE);
	close(self->fd);
}

#define STATS()	ASSERT_EQ(0, hmm_ioctl(self->fd, GM_MIRROR_STATS, &self->stats))

TEST_F_TIMEOUT(tutorial_mirror, device_reads_what_the_cpu_wrote, GM_TEST_S)
{
	EXPECT_SUM(3 * WORDS * PAGES, 0, PAGES);
	STATS();
	EXPECT_EQ(PAGES, self->stats.entries);
	/* The same entries serve again. */
	EXPECT_SUM(3 * WORDS, PAGES - 1, 1);
	STATS();
	EXPECT_EQ(1, self->stats.faults);
}

TEST_F_TIMEOUT(tutorial_mirror, cpu_reads_what_the_device_wrote, GM_TEST_S)
{
	EXPECT_EQ(0, device_fill(self->fd, 8, 16, 11));
	EXPECT_EQ(11 * WORDS * 16, cpu_sum(self->addr + 8 * WORDS, 16));
	EXPECT_EQ(3 * WORDS * 8, cpu_sum(self->addr, 8));
}

/* Pages that are thrown away come back as zeroes, to the device as to the CPU. */
TEST_F_TIMEOUT(tutorial_mirror, no_entry_outlives_its_page, GM_TEST_S)
{
	EXPECT_SUM(3 * WORDS * PAGES, 0, PAGES);
	ASSERT_EQ(0, madvise(self->addr, SIZE / 2, MADV_DONTNEED));
	STATS();
	EXPECT_EQ(PAGES / 2, self->stats.entries);
	EXPECT_LE(1, self->stats.invalidations);
	EXPECT_SUM(3 * WORDS * PAGES / 2, 0, PAGES);
}

TEST_F_TIMEOUT(tutorial_mirror, unmapped_memory_is_an_error, GM_TEST_S)
{
	uint64_t sum;

	EXPECT_SUM(3 * WORDS * PAGES, 0, PAGES);
	ASSERT_EQ(0, munmap(self->addr + 8 * WORDS, 8 * GM_PAGE_SIZE));
	EXPECT_EQ(-EFAULT, device_sum(self->fd, 0, PAGES, &sum));
	EXPECT_SUM(3 * WORDS * 8, 0, 8);
	EXPECT_SUM(3 * WORDS * (PAGES - 16), 16, PAGES - 16);
}

TEST_F_TIMEOUT(tutorial_mirror, permission_is_that_of_the_process, GM_TEST_S)
{
	EXPECT_EQ(0, device_fill(self->fd, 0, PAGES, 5));
	ASSERT_EQ(0, mprotect(self->addr, SIZE, PROT_READ));
	/* The device has entries again, and may not write through them. */
	EXPECT_SUM(5 * WORDS * PAGES, 0, PAGES);
	EXPECT_EQ(-EPERM, device_fill(self->fd, 0, 1, 6));
	EXPECT_SUM(5 * WORDS * PAGES, 0, PAGES);
	ASSERT_EQ(0, mprotect(self->addr, SIZE, PROT_READ | PROT_WRITE));
	/* From an entry without permission to write to one with it. */
	EXPECT_EQ(0, device_fill(self->fd, 0, PAGES, 6));
	EXPECT_EQ(6 * WORDS * PAGES, cpu_sum(self->addr, PAGES));
}

/* The device writes into its own process's copy. */
TEST_F_TIMEOUT(tutorial_mirror, child_of_fork_has_its_own, GM_TEST_S)
{
	int fds[2], status;
	pid_t pid;
	char c;

	EXPECT_EQ(0, device_fill(self->fd, 0, PAGES, 5));
	ASSERT_EQ(0, pipe(fds));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(fds[1]);
		/* Until the device has written. */
		_exit(read(fds[0], &c, 1) == 0 &&
		      cpu_sum(self->addr, PAGES) == 5 * WORDS * PAGES ? 0 : 1);
	}
	close(fds[0]);
	/* Entries of pages that are both processes', then of pages that are this one's. */
	EXPECT_SUM(5 * WORDS * PAGES, 0, PAGES);
	EXPECT_EQ(0, device_fill(self->fd, 0, PAGES, 9));
	close(fds[1]);
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(9 * WORDS * PAGES, cpu_sum(self->addr, PAGES));
}

TEST_F_TIMEOUT(tutorial_mirror, nonsense_is_refused, GM_TEST_S)
{
	int fd = device_open();
	uint64_t sum;

	EXPECT_EQ(-EBUSY, device_bind(self->fd, self->addr, PAGES));
	EXPECT_EQ(-EINVAL, device_sum(self->fd, 0, 0, &sum));
	EXPECT_EQ(-EINVAL, device_sum(self->fd, PAGES, 1, &sum));
	EXPECT_EQ(-EINVAL, device_sum(self->fd, 1, PAGES, &sum));
	EXPECT_EQ(-EINVAL, device_sum(self->fd, 1, ~0U, &sum));
	EXPECT_EQ(-ENXIO, device_sum(fd, 0, 1, &sum));
	EXPECT_EQ(-EINVAL, device_bind(fd, self->addr, 0));
	EXPECT_EQ(-EINVAL, device_bind(fd, self->addr, GM_MIRROR_MAX_PAGES + 1));
	EXPECT_EQ(-EINVAL, device_bind(fd, self->addr + 1, 1));
	close(fd);
}

/* The process ends first; the device is somebody else's then. */
TEST_F_TIMEOUT(tutorial_mirror, process_may_end_first, GM_TEST_S)
{
	int fd = device_open(), status;
	uint64_t sum;
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(device_bind(fd, self->addr, PAGES) || device_sum(fd, 0, PAGES, &sum) ||
		      sum != 3 * WORDS * PAGES);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(-ESRCH, device_sum(fd, 0, PAGES, &sum));
	close(fd);
}

/*
 * A round of the storm: the device reads pages that were thrown away, so it faults, while they
 * are thrown away once more and written. What it read then is anybody's guess; what it reads
 * after is not, unless its fault entered a page that had gone meanwhile.
 */
struct storm {
	int fd;
	_Atomic uint64_t go, done;
	atomic_bool stop;
};

static void *storm_thread(void *arg)
{
	struct storm *storm = arg;
	uint64_t sum;

	while (!storm->stop) {
		if (storm->go == storm->done) {
			sched_yield();
			continue;
		}
		device_sum(storm->fd, 0, PAGES, &sum);
		storm->done++;
	}
	return NULL;
}

static void storm_round(uint64_t *addr, struct storm *storm, uint64_t round)
{
	madvise(addr, SIZE, MADV_DONTNEED);
	storm->go++;
	/* Not always at the same moment */
	for (volatile unsigned int i = 0; i < round % 64 * 256; i++)
		;
	madvise(addr, SIZE, MADV_DONTNEED);
	for (unsigned int p = 0; p < PAGES; p++)
		addr[p * WORDS] = round;
	while (storm->go != storm->done)
		sched_yield();
}

TEST_F_TIMEOUT(tutorial_mirror, storm_while_the_device_faults, GM_TEST_S)
{
	/* With one processor they hardly ever meet. */
	bool must_meet = sysconf(_SC_NPROCESSORS_ONLN) > 1;
	struct storm storm = { .fd = self->fd };
	double end = gm_now() + STORM_MS / 1000.0;
	uint64_t round = 0, sum;
	pthread_t thread;
	int ret = 0;

	ASSERT_EQ(0, pthread_create(&thread, NULL, storm_thread, &storm));
	do {
		storm_round(self->addr, &storm, ++round);
		ret = device_sum(self->fd, 0, PAGES, &sum);
		STATS();
	} while (!ret && sum == round * PAGES &&
		 (gm_now() < end || (must_meet && !self->stats.retries)));
	storm.stop = true;
	pthread_join(thread, NULL);
	EXPECT_EQ(0, ret);
	EXPECT_EQ(round * PAGES, sum) TH_LOG("in round %llu", (unsigned long long)round);
	gm_note("%llu rounds, %llu faults, %llu retries, %llu invalidations",
		(unsigned long long)round, (unsigned long long)self->stats.faults,
		(unsigned long long)self->stats.retries,
		(unsigned long long)self->stats.invalidations);
}

/* ---- memory that another domain has granted ---- */

#define GRANTED		16U
#define GRANT_SEED	0x77ULL

FIXTURE(tutorial_mirror_grants) {
	struct granter gr;
	struct gm_grant *grant;
	int gntdev;
	int64_t index;
	uint64_t *addr;
	int fd;
};

FIXTURE_SETUP(tutorial_mirror_grants)
{
	if (!getenv("GM_DOMID"))
		SKIP(return, "no granting guest in this lab");
	OPEN_OR_SKIP(self->fd);
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, GRANTED, true, GRANT_SEED);
	self->gntdev = gm_gntdev_open();
	ASSERT_LE(0, self->gntdev);
	self->addr = gm_gntdev_map(self->gntdev, self->grant, PROT_READ | PROT_WRITE, &self->index);
	ASSERT_NE(MAP_FAILED, self->addr) TH_LOG("map: %s", strerror(errno));
	BIND_OR_SKIP(self->fd, self->addr, GRANTED);
}

FIXTURE_TEARDOWN(tutorial_mirror_grants)
{
	if (self->addr)
		munmap(self->addr, GRANTED * GM_PAGE_SIZE);
	close(self->gntdev);
	close(self->fd);
	granter_teardown(_metadata, &self->gr);
}

static uint64_t granted_sum(void)
{
	uint64_t sum = 0;

	for (unsigned int p = 0; p < GRANTED; p++)
		for (unsigned int w = 0; w < GM_PAGE_WORDS; w++)
			sum += gm_pattern(GRANT_SEED, p, w);
	return sum;
}

TEST_F_TIMEOUT(tutorial_mirror_grants, device_works_on_granted_memory, GM_TEST_S)
{
	EXPECT_SUM(granted_sum(), 0, GRANTED);
	EXPECT_EQ(0, device_fill(self->fd, 0, GRANTED, 0x4141414141414141ULL));
	EXPECT_EQ(0x41, gm_guest_peek(self->gr.g, self->grant, 5 * GM_PAGE_SIZE + 77));
}

/* The device lets go at once, so the guest has its pages back at once. */
TEST_F_TIMEOUT(tutorial_mirror_grants, device_holds_nothing_back, GM_TEST_S)
{
	uint64_t sum;

	EXPECT_SUM(granted_sum(), 0, GRANTED);
	EXPECT_IN_USE(&self->gr, GRANTED);
	ASSERT_EQ(0, munmap(self->addr, GRANTED * GM_PAGE_SIZE));
	self->addr = NULL;
	EXPECT_IN_USE(&self->gr, 0);
	EXPECT_EQ(-EFAULT, device_sum(self->fd, 0, GRANTED, &sum));
}

TEST_HARNESS_MAIN
