// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device and a CPU that use the same memory, while others do to it everything that
 * exchanges the pages behind it. What the device writes through the page frame that was
 * reported, the CPU has to read, and the other way round.
 *
 * One thread verifies, and it alone writes the words that it looks at: each value once.
 * So a word holds the last one, and anything else is a frame that was no longer the
 * page's. Two more threads make the device look at the same pages all the time.
 *
 * Where a thread throws pages away, a CPU may go on using the old one until that call
 * returns, beside a device that has the new one: what is read meanwhile says nothing. But
 * what the verifying thread itself has thrown away is gone.
 *
 * A test ends when enough has happened, not when time is up.
 */
#include <setjmp.h>
#include <signal.h>
#include <linux/userfaultfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "hmm.h"

#define HUGE_SIZE	(2UL << 20)
#define AREA_SIZE	(2 * HUGE_SIZE)

/* A busy machine does less. */
#define LONG_MS		(GM_TEST_S * 1000 / 2)

/* Few, so that all meet there; and a look at several at once */
#define HOT_PAGES	32
#define LOOK_PAGES	32

/* Enough: values verified in both directions, and changes made meanwhile */
#define ROUNDS		(long_run() ? 2000000U : 5000U)
#define CHANGES		(long_run() ? 100000U : 100U)

static bool long_run(void)
{
	const char *s = getenv("GM_LONG");

	return s && atoi(s);
}

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

struct race;

struct change {
	bool (*prepare)(struct race *race); /* false: not possible here */
	bool (*make)(struct race *race); /* true: something was changed */
	bool lossy;
};

struct race {
	int fd;
	unsigned int how;
	char *area;
	char *spare;
	int uffd;
	bool swap;
	const struct change *change;
	atomic_bool stop;
	atomic_uint changes;
	atomic_uint turns; /* odd: a change is under way */
	unsigned int rounds, wrong, lost, refused;
	uint64_t next;
};

FIXTURE(race) {
	struct race race;
};

static char *reserve(size_t size)
{
	char *addr = mmap(NULL, size + HUGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (addr == MAP_FAILED)
		return NULL;
	return (char *)(((uintptr_t)addr + HUGE_SIZE - 1) & ~(HUGE_SIZE - 1));
}

FIXTURE_SETUP(race)
{
	struct race *race = &self->race;

	race->fd = hmm_open(_metadata);
	race->how = hmm_how(race->fd);
	race->uffd = -1;
	race->area = reserve(AREA_SIZE);
	race->spare = reserve(AREA_SIZE);
	ASSERT_NE(NULL, race->area);
	ASSERT_NE(NULL, race->spare);
	ASSERT_NE(MAP_FAILED, mmap(race->area, AREA_SIZE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	race->next = 1;
}

FIXTURE_TEARDOWN(race)
{
	if (self->race.uffd >= 0)
		close(self->race.uffd);
	if (self->race.swap)
		EXPECT_EQ(0, gm_run(NULL, 0, GM_TIMEOUT_MS,
				    "swapoff /dev/ram0 && modprobe -r brd"));
	hmm_close(_metadata, self->race.fd);
}

/* ---- chance ---- */

static __thread unsigned int chance_state;

static unsigned long chance(unsigned long below)
{
	if (!chance_state)
		chance_state = gettid();
	return ((unsigned long)rand_r(&chance_state) << 15 ^ rand_r(&chance_state)) % below;
}

static char *a_page(struct race *race)
{
	return race->area + chance(HOT_PAGES) * GM_PAGE_SIZE;
}

/* ---- the CPU, where memory may be missing or protected ---- */

static __thread sigjmp_buf cpu_env;
static __thread volatile bool cpu_armed;

static void cpu_handler(int sig)
{
	if (cpu_armed)
		siglongjmp(cpu_env, 1);
	signal(sig, SIG_DFL);
	raise(sig);
}

static bool cpu_access(volatile uint64_t *word, bool write, uint64_t *value)
{
	if (sigsetjmp(cpu_env, 1)) {
		cpu_armed = false;
		return false;
	}
	cpu_armed = true;
	if (write)
		*word = *value;
	else
		*value = *word;
	cpu_armed = false;
	return true;
}

/* ---- who verifies ---- */

static void judge(struct race *race, const char *who, volatile uint64_t *word, uint64_t got,
		  uint64_t expected, unsigned int turn)
{
	if (got == expected)
		return;
	if (race->change->lossy && expected && (turn & 1 || turn != race->turns)) {
		race->lost++;
		return;
	}
	if (race->wrong++ < 5)
		gm_note("%s reads %#llx at %p, not %#llx", who, (unsigned long long)got,
			(void *)word, (unsigned long long)expected);
}

/* One value from the device to the CPU, and one back. False: not now. */
static bool verify(struct race *race)
{
	char *page = a_page(race);
	volatile uint64_t *word = (volatile uint64_t *)page;
	uint64_t value = race->next++, got = 0;
	unsigned int turn = race->turns;

	if (hmm_access(race->fd, word, race->how, true, &value, GM_TIMEOUT_MS) ||
	    !cpu_access(word, false, &got))
		return false;
	judge(race, "the CPU", word, got, value, turn);

	value = race->next++;
	if (!cpu_access(word, true, &value) ||
	    hmm_access(race->fd, word, race->how, false, &got, GM_TIMEOUT_MS))
		return false;
	judge(race, "the device", word, got, value, turn);

	if (!race->change->lossy)
		return true;
	if (madvise(page, GM_PAGE_SIZE, MADV_DONTNEED) ||
	    hmm_access(race->fd, word, race->how, false, &got, GM_TIMEOUT_MS))
		return false;
	judge(race, "the device, after MADV_DONTNEED,", word, got, 0, turn);
	return true;
}

/* Between two steps of the threads beside: who verifies has to get on, too. */
static void breathe(void)
{
	usleep(200 + chance(500));
}

static void *look_main(void *data)
{
	struct race *race = data;
	struct gm_hmm_entry entries[LOOK_PAGES] = { };
	struct gm_hmm_take take = {
		.pages = LOOK_PAGES,
		.entries = (uintptr_t)entries,
		.how = race->how,
		.timeout_ms = GM_TIMEOUT_MS,
	};
	uint64_t value = 0;

	while (!race->stop) {
		breathe();
		hmm_access(race->fd, a_page(race) + 64, race->how, false, &value, GM_TIMEOUT_MS);
		take.start = (uintptr_t)a_page(race);
		take.request = chance(2) ? ASK_READ : 0;
		hmm_ioctl(race->fd, GM_HMM_TAKE, &take);
	}
	return NULL;
}

static void *change_main(void *data)
{
	struct race *race = data;

	while (!race->stop) {
		breathe();
		race->turns++;
		race->changes += race->change->make(race);
		race->turns++;
	}
	return NULL;
}

static void race_run(HMM_META, struct race *race, const struct change *change)
{
	struct sigaction sa = { .sa_handler = cpu_handler };
	double end = gm_now() + gm_scale() * (long_run() ? LONG_MS : SOON_MS) / 1000;
	pthread_t threads[3];

	race->change = change;
	if (change->prepare && !change->prepare(race))
		SKIP(return, "not possible on this machine");
	ASSERT_EQ(0, sigaction(SIGSEGV, &sa, NULL));
	ASSERT_EQ(0, sigaction(SIGBUS, &sa, NULL));
	ASSERT_EQ(0, pthread_create(&threads[0], NULL, change_main, race));
	ASSERT_EQ(0, pthread_create(&threads[1], NULL, look_main, race));
	ASSERT_EQ(0, pthread_create(&threads[2], NULL, look_main, race));
	while ((race->rounds < ROUNDS || race->changes < CHANGES) &&
	       gm_now() < end) {
		if (verify(race))
			race->rounds++;
		else
			race->refused++;
	}
	race->stop = true;
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
	gm_note("%u changes; %u values each way, %u wrong, %u lost; %u times refused",
		race->changes, race->rounds, race->wrong, race->lost, race->refused);
	EXPECT_EQ(0, race->wrong);
	EXPECT_LT(0, race->rounds);
	EXPECT_LT(0, race->changes);
}

/* ---- what changes ---- */

static bool make_dontneed(struct race *race)
{
	return !madvise(a_page(race), GM_PAGE_SIZE, MADV_DONTNEED);
}

static bool make_free(struct race *race)
{
	char *page = a_page(race);

	return !madvise(page, GM_PAGE_SIZE, MADV_FREE) &&
	       !madvise(page, GM_PAGE_SIZE, MADV_PAGEOUT);
}

static bool prepare_swap(struct race *race)
{
	race->swap = !gm_run(NULL, 0, GM_TIMEOUT_MS,
			     "modprobe brd rd_nr=1 rd_size=65536 && mkswap /dev/ram0 && "
			     "swapon /dev/ram0");
	return race->swap;
}

static bool make_pageout(struct race *race)
{
	return !madvise(race->area + chance(2) * HUGE_SIZE, HUGE_SIZE, MADV_PAGEOUT);
}

static bool make_fork(struct race *race)
{
	pid_t pid = fork();

	(void)race;
	if (!pid)
		_exit(0);
	return pid > 0 && waitpid(pid, NULL, 0) == pid;
}

static bool make_mprotect(struct race *race)
{
	char *page = a_page(race);
	bool ok;

	ok = !mprotect(page, GM_PAGE_SIZE, chance(2) ? PROT_READ : PROT_NONE);
	ok &= !mprotect(page, GM_PAGE_SIZE, PROT_READ | PROT_WRITE);
	return ok;
}

/* Away and back again */
static bool make_mremap(struct race *race)
{
	size_t off = chance(HOT_PAGES) * GM_PAGE_SIZE, size = 16 * GM_PAGE_SIZE;
	char *from = race->area + off, *to = race->spare + off;

	if (mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		return false;
	return mremap(to, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, from) == from;
}

static bool prepare_thp(struct race *race)
{
	memset(race->area, 0, AREA_SIZE);
	return !madvise(race->area, AREA_SIZE, MADV_HUGEPAGE) &&
	       !madvise(race->area, HUGE_SIZE, MADV_COLLAPSE);
}

/* Collapsed, and split by a protection that ends in the middle of it */
static bool make_thp(struct race *race)
{
	char *huge = race->area + chance(2) * HUGE_SIZE;
	bool ok = !madvise(huge, HUGE_SIZE, MADV_COLLAPSE);

	mprotect(huge, HUGE_SIZE / 2, PROT_READ);
	mprotect(huge, HUGE_SIZE / 2, PROT_READ | PROT_WRITE);
	return ok;
}

static bool prepare_ksm(struct race *race)
{
	memset(race->area, 7, AREA_SIZE);
	return !madvise(race->area, AREA_SIZE, MADV_MERGEABLE) &&
	       !gm_run(NULL, 0, GM_TIMEOUT_MS,
		       "cd /sys/kernel/mm/ksm && echo 0 >sleep_millisecs && "
		       "echo 5000 >pages_to_scan && echo 1 >run");
}

/* Pages become the same again, for ksmd to merge. */
static bool make_ksm(struct race *race)
{
	static atomic_ulong merged;
	unsigned long now = 0;
	FILE *f = fopen("/sys/kernel/mm/ksm/full_scans", "re");

	(void)race;
	if (f) {
		if (fscanf(f, "%lu", &now) != 1)
			now = 0;
		fclose(f);
	}
	gm_sleep_ms(5);
	return now != atomic_exchange(&merged, now);
}

static bool prepare_uffd(struct race *race)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { (uintptr_t)race->area, AREA_SIZE },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	memset(race->area, 0, AREA_SIZE);
	race->uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	return race->uffd >= 0 && !ioctl(race->uffd, UFFDIO_API, &api) &&
	       !ioctl(race->uffd, UFFDIO_REGISTER, &reg);
}

/* Who writes meanwhile waits until the pages are released. */
static bool make_uffd_wp(struct race *race)
{
	struct uffdio_writeprotect wp = {
		.range = { (uintptr_t)race->area + chance(2) * HUGE_SIZE, HUGE_SIZE },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	bool ok = !ioctl(race->uffd, UFFDIO_WRITEPROTECT, &wp);

	gm_sleep_ms(2);
	wp.mode = 0;
	return ok & !ioctl(race->uffd, UFFDIO_WRITEPROTECT, &wp);
}

/* Another process gives the advice. */
static bool make_process_madvise(struct race *race)
{
	struct iovec piece = { race->area + chance(2) * HUGE_SIZE, HUGE_SIZE };
	pid_t self = getpid(), pid = fork();
	int status;

	if (!pid) {
		int pidfd = syscall(SYS_pidfd_open, self, 0);
		int made = 0;

		for (int i = 0; i < 20; i++) {
			made += syscall(SYS_process_madvise, pidfd, &piece, 1UL, MADV_PAGEOUT,
					0U) > 0;
			made += syscall(SYS_process_madvise, pidfd, &piece, 1UL, MADV_COLLAPSE,
					0U) > 0;
		}
		_exit(made ? 0 : 1);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       !WEXITSTATUS(status);
}

static const struct change changes_dontneed = { .make = make_dontneed, .lossy = true };
static const struct change changes_free = { prepare_swap, make_free, true };
static const struct change changes_swap = { prepare_swap, make_pageout, false };
static const struct change changes_fork = { .make = make_fork };
static const struct change changes_mprotect = { .make = make_mprotect };
static const struct change changes_mremap = { .make = make_mremap };
static const struct change changes_thp = { prepare_thp, make_thp, false };
static const struct change changes_ksm = { prepare_ksm, make_ksm, false };
static const struct change changes_uffd = { prepare_uffd, make_uffd_wp, false };
static const struct change changes_madvise = { prepare_swap, make_process_madvise, false };

TEST_F_TIMEOUT(race, madv_dontneed, GM_TEST_S)
{
	race_run(_metadata, &self->race, &changes_dontneed);
}

TEST_F_TIMEOUT(race, madv_free, GM_TEST_S)
{
	race_run(_metadata, &self->race, &changes_free);
}

TEST_F_TIMEOUT(race, swap, GM_TEST_S)
{
	race_run(_metadata, &self->race, &changes_swap);
}

TEST_F_TIMEOUT(race, fork_and_copy_on_write, GM_TEST_S)
{
	race_run(_metadata, &self->race, &changes_fork);
}

TEST_F_TIMEOUT(race, mprotect, GM_TEST_S)
{
	race_run(_metadata, &self->race, &changes_mprotect);
}

TEST_F_TIMEOUT(race, mremap, GM_TEST_S)
{
	race_run(_metadata, &self->race, &changes_mremap);
}

TEST_F_TIMEOUT(race, huge_pages_collapsed_and_split, GM_TEST_S)
{
	race_run(_metadata, &self->race, &changes_thp);
}

TEST_F_TIMEOUT(race, ksm, GM_TEST_S)
{
	race_run(_metadata, &self->race, &changes_ksm);
	gm_run(NULL, 0, GM_TIMEOUT_MS, "echo 2 >/sys/kernel/mm/ksm/run");
}

/* Under the mmap lock nobody can wait for userfaultfd: only the other call is raced. */
TEST_F_TIMEOUT(race, userfaultfd_write_protection, GM_TEST_S)
{
	if (!hmm_has_unlocked(self->race.fd))
		SKIP(return, "this kernel has no call without the mmap lock");
	race_run(_metadata, &self->race, &changes_uffd);
}

TEST_F_TIMEOUT(race, process_madvise, GM_TEST_S)
{
	race_run(_metadata, &self->race, &changes_madvise);
}

/* The same by hand, as drivers do it under the mmap lock */
TEST_F_TIMEOUT(race, madv_dontneed_under_the_mmap_lock, GM_TEST_S)
{
	self->race.how = GM_HMM_LOOP;
	race_run(_metadata, &self->race, &changes_dontneed);
}

TEST_F_TIMEOUT(race, swap_under_the_mmap_lock, GM_TEST_S)
{
	self->race.how = GM_HMM_LOOP;
	race_run(_metadata, &self->race, &changes_swap);
}

TEST_HARNESS_MAIN
