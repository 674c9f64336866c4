// SPDX-License-Identifier: GPL-2.0-only
/*
 * What other parts of the kernel do to a mapping that process.c has not: scans of the
 * page map, other processes' eyes and hands (process_vm_readv, ptrace), core dumps,
 * userfaultfd, and the advice and locks that process.c has not; and two of it at once.
 */
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "grants.h"

#define SEED		0xe7ULL
#define PAGES		16U
#define SIZE		(PAGES * GM_PAGE_SIZE)

FIXTURE(events) {
	struct granter gr;
	struct gm_grant *grant;
	int fd;
	void *addr;
};

FIXTURE_SETUP(events)
{
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, PAGES, true, SEED);
	self->fd = gm_gntdev_open();
	ASSERT_LE(0, self->fd);
	self->addr = gm_gntdev_map(self->fd, self->grant,
				   PROT_READ | PROT_WRITE, NULL);
	ASSERT_NE(MAP_FAILED, self->addr) TH_LOG("map: %s", strerror(errno));
}

FIXTURE_TEARDOWN(events)
{
	if (self->addr)
		EXPECT_EQ(0, munmap(self->addr, SIZE));
	EXPECT_IN_USE(&self->gr, 0);
	close(self->fd);
	granter_teardown(_metadata, &self->gr);
}

/* ---- PAGEMAP_SCAN ---- */

struct scan_region {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

struct scan_request {
	uint64_t size;
	uint64_t flags;
	uint64_t start;
	uint64_t end;
	uint64_t walk_end;
	uint64_t vec;
	uint64_t vec_len;
	uint64_t max_pages;
	uint64_t inverted;
	uint64_t mask;
	uint64_t any_of;
	uint64_t report;
};

#define SCAN		_IOWR('f', 16, struct scan_request)
#define SCAN_WP		1
#define IS_WRITTEN	2
#define IS_PRESENT	8

/* Regions found, or -errno. */
static int scan(void *addr, uint64_t flags, uint64_t mask)
{
	struct scan_region vec[PAGES];
	struct scan_request req = {
		.size = sizeof(req),
		.flags = flags,
		.start = (uintptr_t)addr,
		.end = (uintptr_t)addr + SIZE,
		.vec = (uintptr_t)vec,
		.vec_len = PAGES,
		.mask = mask,
		.report = IS_WRITTEN | IS_PRESENT,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -errno;
	ret = ioctl(fd, SCAN, &req);
	if (ret < 0)
		ret = -errno;
	close(fd);
	return ret;
}

TEST_F_TIMEOUT(events, g04_scan_keeps_the_mapping, GM_TEST_S)
{
	int ret = scan(self->addr, 0, IS_PRESENT);

	if (ret == -ENOTTY || ret == -ENOENT)
		SKIP(return, "no PAGEMAP_SCAN");
	EXPECT_LE(0, ret) TH_LOG("%s", strerror(-ret));
	EXPECT_ALIVE();
}

/* Nobody asked userfaultfd to protect it, so there is nothing to write-protect. */
TEST_F_TIMEOUT(events, g04_scan_that_protects_keeps_the_mapping, GM_TEST_S)
{
	int ret = scan(self->addr, SCAN_WP, IS_WRITTEN);

	if (ret == -ENOTTY || ret == -ENOENT)
		SKIP(return, "no PAGEMAP_SCAN");
	gm_note("PM_SCAN_WP_MATCHING: %d", ret);
	EXPECT_ALIVE();
}

/* ---- userfaultfd ---- */

TEST_F_TIMEOUT(events, g04_userfaultfd_is_refused, GM_TEST_S)
{
	static const uint64_t modes[] = {
		UFFDIO_REGISTER_MODE_MISSING, UFFDIO_REGISTER_MODE_WP,
		UFFDIO_REGISTER_MODE_MINOR,
	};
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC);

	if (fd < 0)
		SKIP(return, "no userfaultfd: %s", strerror(errno));
	ASSERT_EQ(0, ioctl(fd, UFFDIO_API, &api));
	for (unsigned int i = 0; i < 3; i++) {
		struct uffdio_register reg = {
			.range.start = (uintptr_t)self->addr,
			.range.len = SIZE,
			.mode = modes[i],
		};

		EXPECT_EQ(-1, ioctl(fd, UFFDIO_REGISTER, &reg))
			TH_LOG("mode %u", i);
	}
	close(fd);
	EXPECT_ALIVE();
}

/* ---- other processes ---- */

struct mapper {
	pid_t pid;
	void *addr;
};

/*
 * A process that maps everything, says where, then raises @sig (0: none) and waits.
 */
static struct mapper mapper_start(const struct gm_grant *grant, int sig)
{
	struct mapper m = { .pid = -1 };
	int fds[2];

	if (pipe(fds))
		return m;
	m.pid = fork();
	if (!m.pid) {
		void *addr = gm_gntdev_map(gm_gntdev_open(), grant,
					   PROT_READ | PROT_WRITE, NULL);

		if (addr == MAP_FAILED ||
		    write(fds[1], &addr, sizeof(addr)) != sizeof(addr))
			_exit(1);
		if (sig)
			raise(sig);
		while (1)
			pause();
	}
	close(fds[1]);
	if (m.pid > 0 && read(fds[0], &m.addr, sizeof(m.addr)) != sizeof(m.addr)) {
		waitpid(m.pid, NULL, 0);
		m.pid = -1;
	}
	close(fds[0]);
	return m;
}

static void mapper_kill(META, struct granter *gr, pid_t pid)
{
	EXPECT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(pid, waitpid(pid, NULL, 0));
	EXPECT_IN_USE(gr, 0);
}

TEST_F_TIMEOUT(events, g04_other_process_reads_and_writes, GM_TEST_S)
{
	char *copy = malloc(SIZE);
	struct iovec local = { copy, SIZE }, remote = { NULL, SIZE };
	struct mapper m;

	UNMAP_ALL();
	m = mapper_start(self->grant, 0);
	ASSERT_LT(0, m.pid);
	remote.iov_base = m.addr;
	EXPECT_EQ((ssize_t)SIZE, process_vm_readv(m.pid, &local, 1, &remote, 1, 0))
		TH_LOG("%s", strerror(errno));
	EXPECT_EQ(-1, gm_check(copy, SEED, 0, PAGES));
	gm_fill(copy, SEED + 1, 0, PAGES);
	EXPECT_EQ((ssize_t)SIZE, process_vm_writev(m.pid, &local, 1, &remote, 1, 0))
		TH_LOG("%s", strerror(errno));
	EXPECT_EQ(0, gm_guest_check(self->gr.g, self->grant, SEED + 1, 0, PAGES));
	mapper_kill(_metadata, &self->gr, m.pid);
	free(copy);
}

TEST_F_TIMEOUT(events, g04_debugger_peeks_and_pokes, GM_TEST_S)
{
	const size_t at = 7 * GM_PAGE_SIZE;
	struct mapper m;
	long word;

	UNMAP_ALL();
	m = mapper_start(self->grant, 0);
	ASSERT_LT(0, m.pid);
	ASSERT_EQ(0, ptrace(PTRACE_ATTACH, m.pid, NULL, NULL))
		TH_LOG("%s", strerror(errno));
	ASSERT_EQ(m.pid, waitpid(m.pid, NULL, 0));
	errno = 0;
	word = ptrace(PTRACE_PEEKDATA, m.pid, (char *)m.addr + at, NULL);
	EXPECT_EQ(0, errno) TH_LOG("peek: %s", strerror(errno));
	EXPECT_EQ(gm_pattern(SEED, 7, 0), (uint64_t)word);
	EXPECT_EQ(0, ptrace(PTRACE_POKEDATA, m.pid, (char *)m.addr + at, 0x5a))
		TH_LOG("poke: %s", strerror(errno));
	EXPECT_EQ(0x5a, gm_guest_peek(self->gr.g, self->grant, at));
	EXPECT_EQ(0, ptrace(PTRACE_DETACH, m.pid, NULL, NULL));
	mapper_kill(_metadata, &self->gr, m.pid);
}

/* ---- core dump ---- */

/* Whether the file holds the first four words of page @page anywhere; -1: no file. */
static int core_holds(const char *path, uint64_t seed, unsigned int page)
{
	uint64_t want[4];
	struct stat st;
	void *core;
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret = -1;

	if (fd < 0 || fstat(fd, &st) || !st.st_size)
		goto out;
	core = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (core == MAP_FAILED)
		goto out;
	for (unsigned int i = 0; i < 4; i++)
		want[i] = gm_pattern(seed, page, i);
	ret = !!memmem(core, st.st_size, want, sizeof(want));
	munmap(core, st.st_size);
out:
	if (fd >= 0)
		close(fd);
	return ret;
}

TEST_F_TIMEOUT(events, g17_core_has_no_granted_page, GM_TEST_S)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	char core[64], old[160] = "";
	struct mapper m;
	int status, fd;

	fd = open("/proc/sys/kernel/core_pattern", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		SKIP(return, "no core dumps: CONFIG_COREDUMP");
	EXPECT_LT(0, read(fd, old, sizeof(old) - 1));
	close(fd);
	ASSERT_EQ(0, gm_write_file("/proc/sys/kernel/core_pattern",
				"/tmp/gm-core.%p"));
	UNMAP_ALL();
	EXPECT_EQ(0, setrlimit(RLIMIT_CORE, &limit));
	m = mapper_start(self->grant, SIGABRT);
	EXPECT_LT(0, m.pid);
	EXPECT_EQ(m.pid, waitpid(m.pid, &status, 0));
	EXPECT_EQ(0, gm_write_file("/proc/sys/kernel/core_pattern", old));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	EXPECT_TRUE(WCOREDUMP(status));
	EXPECT_IN_USE(&self->gr, 0);
	snprintf(core, sizeof(core), "/tmp/gm-core.%d", m.pid);
	for (unsigned int i = 0; i < PAGES; i++) {
		EXPECT_EQ(0, core_holds(core, SEED, i))
			TH_LOG("page %u", i);
	}
	unlink(core);
}

/* ---- advice and locks: what each of them does, and that no page is lost by it ---- */

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif

/* Pages of the mapping that have a page table entry, or -errno. */
static int present(const void *addr)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), n = 0;
	uint64_t entry[PAGES];

	if (fd < 0)
		return -errno;
	if (pread(fd, entry, sizeof(entry), (uintptr_t)addr / GM_PAGE_SIZE * 8) !=
	    sizeof(entry))
		n = -EIO;
	else
		for (unsigned int i = 0; i < PAGES; i++)
			n += entry[i] >> 63;
	close(fd);
	return n;
}

/* Does the VMA at @addr count as locked memory? -1: there is none. */
static int locked(const void *addr)
{
	unsigned long start, end;
	bool found = false;
	char line[512];
	int ret = -1;
	FILE *f = fopen("/proc/self/smaps", "re");

	if (!f)
		return -1;
	while (ret < 0 && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			found = (uintptr_t)addr >= start && (uintptr_t)addr < end;
		else if (found && !strncmp(line, "VmFlags:", 8))
			ret = !!strstr(line, " lo ");
	}
	fclose(f);
	return ret;
}

/* It is noted, and there are no huge pages of grants anyway. */
TEST_F_TIMEOUT(events, g04_nohugepage_is_accepted, GM_TEST_S)
{
	int ret = madvise(self->addr, SIZE, MADV_NOHUGEPAGE);

	if (ret && errno == EINVAL)
		SKIP(return, "a kernel without huge pages");
	EXPECT_EQ(0, ret) TH_LOG("%s", strerror(errno));
	EXPECT_EQ((int)PAGES, present(self->addr));
	EXPECT_ALIVE();
}

/* What MADV_DONTNEED has taken away comes back, without an access. */
TEST_F_TIMEOUT(events, g04_populate_brings_the_pages_back, GM_TEST_S)
{
	static const int advice[] = { MADV_POPULATE_READ, MADV_POPULATE_WRITE };

	for (int i = 0; i < 2; i++) {
		/* There: nothing is done. */
		EXPECT_EQ(0, madvise(self->addr, SIZE, advice[i]))
			TH_LOG("%d: %s", advice[i], strerror(errno));
		EXPECT_EQ((int)PAGES, present(self->addr));
		ASSERT_EQ(0, madvise(self->addr, SIZE, MADV_DONTNEED));
		EXPECT_EQ(0, present(self->addr));
		EXPECT_EQ(0, madvise(self->addr, SIZE, advice[i]))
			TH_LOG("%d: %s", advice[i], strerror(errno));
		EXPECT_EQ((int)PAGES, present(self->addr));
		EXPECT_ALIVE();
	}
}

/* For writing, where writing is not allowed: refused, the mapping is as before. */
TEST_F_TIMEOUT(events, g04_populate_write_needs_permission, GM_TEST_S)
{
	void *ro = gm_gntdev_map(self->fd, self->grant, PROT_READ, NULL);

	ASSERT_NE(MAP_FAILED, ro);
	EXPECT_EQ(0, madvise(ro, SIZE, MADV_POPULATE_READ)) TH_LOG("%s", strerror(errno));
	EXPECT_EQ(-1, madvise(ro, SIZE, MADV_POPULATE_WRITE));
	EXPECT_EQ(EINVAL, errno) TH_LOG("%s", strerror(errno));
	EXPECT_PATTERN(ro, SEED, 0, PAGES);
	EXPECT_EQ((int)PAGES, present(ro));
	EXPECT_EQ(0, munmap(ro, SIZE));
	EXPECT_ALIVE();
}

/*
 * mlockall() says yes, and leaves mappings of devices alone: they are not swapped out anyway,
 * and do not count as locked memory. One that is made later works as always.
 */
TEST_F_TIMEOUT(events, g04_mlockall_leaves_it_alone, GM_TEST_S)
{
	char stack[1];
	void *later;

	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		SKIP(return, "mlockall: %s", strerror(errno));
	EXPECT_EQ((int)PAGES, present(self->addr));
	EXPECT_ALIVE();
	EXPECT_EQ(0, locked(self->addr));
	later = gm_gntdev_map(self->fd, self->grant, PROT_READ | PROT_WRITE, NULL);
	ASSERT_NE(MAP_FAILED, later) TH_LOG("map: %s", strerror(errno));
	EXPECT_EQ(0, locked(later));
	EXPECT_EQ((int)PAGES, present(later));
	EXPECT_PATTERN(later, SEED, 0, PAGES);
	EXPECT_EQ(0, munmap(later, SIZE));
	/* So it is, where there can be: */
	EXPECT_EQ(1, locked(stack));
	EXPECT_EQ(0, munlockall());
	EXPECT_EQ(0, locked(stack));
	EXPECT_ALIVE();
}

/* ---- two at once ---- */

#define DONTNEED_S	8.0

struct both {
	void *first;		/* page that one of them takes away; the other takes all */
	atomic_uint round;	/* that has begun; 0: none */
	atomic_uint done;
	atomic_bool stop;
	int err;
};

static void *dontneed_first(void *arg)
{
	struct both *b = arg;

	while (!b->stop) {
		if (b->done == b->round) {
			sched_yield();
			continue;
		}
		if (madvise(b->first, GM_PAGE_SIZE, MADV_DONTNEED))
			b->err = errno;
		b->done++;
	}
	return NULL;
}

/*
 * Both hold the mmap lock for reading. Each of them looks for the first PTE, and then one of them
 * may find it cleared: the others are still its own to clear. Best on two processors (LAB=pv-smp).
 */
TEST_F_TIMEOUT(events, g04_two_take_the_same_page_away, GM_LONG_TEST_S)
{
	struct both b = { .first = self->addr };
	volatile uint64_t *word = self->addr;
	double end = gm_now() + DONTNEED_S;
	unsigned int n = 0;
	pthread_t thread;
	uint64_t was[PAGES];

	for (unsigned int i = 0; i < PAGES; i++)
		was[i] = word[i * GM_PAGE_SIZE / sizeof(*word)];
	ASSERT_EQ(0, pthread_create(&thread, NULL, dontneed_first, &b));
	while (!b.err && gm_now() < end) {
		b.round = ++n;
		/* Now sooner, now later than the other */
		for (volatile unsigned int wait = n % 256; wait; wait--)
			;
		ASSERT_EQ(0, madvise(self->addr, SIZE, MADV_DONTNEED));
		while (b.done != n)
			sched_yield();
		for (unsigned int i = 0; i < PAGES; i++)
			if (word[i * GM_PAGE_SIZE / sizeof(*word)] != was[i])
				b.err = EIO;
	}
	b.stop = true;
	EXPECT_EQ(0, pthread_join(thread, NULL));
	gm_note("%u rounds", n);
	EXPECT_EQ(0, b.err) TH_LOG("%s", strerror(b.err));
	EXPECT_EQ((int)PAGES, present(self->addr));
	EXPECT_ALIVE();
}

TEST_HARNESS_MAIN
