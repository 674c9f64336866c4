// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the driver says of itself (g14: stock says nothing): trace events, debugfs. And what
 * it makes of an answer of Xen's that no real guest can be made to give: the hypercalls'
 * faults are injected.
 *
 * Which sides of a grant are mapped, and when, is the driver's affair: what is checked here
 * holds for each kind of domain, and whether or not the kernel side is made when the user
 * side is.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "observe.h"

#define SEED		0x66ULL
#define PAGES		8U
#define SIZE		(PAGES * GM_PAGE_SIZE)

/* A reference far behind the end of any grant table in the lab. */
#define NO_REF		0xfffffU

#define NO_EVENTS	"the driver has no trace events"
#define NO_DEBUGFS	"the driver has nothing in debugfs"

FIXTURE(observe) {
	struct granter gr;
	struct gm_grant *grant;
	struct gm_trace trace;
	bool traced;		/* there are such events */
	struct gntdev_now base;
	int fd;
};

FIXTURE_SETUP(observe)
{
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, PAGES, true, SEED);
	self->fd = gm_gntdev_open();
	ASSERT_LE(0, self->fd);
	debugfs_mount();
	self->base = gntdev_now();
	self->traced = !gm_trace_open(&self->trace, "gntdev");
}

FIXTURE_TEARDOWN(observe)
{
	gntdev_no_fault();
	if (self->fd >= 0)
		close(self->fd);
	EXPECT_NOW(&self->base);
	EXPECT_EQ(0, gm_trace_close(&self->trace));
	granter_teardown(_metadata, &self->gr);
}

/* ---- trace events ---- */

static const struct {
	const char *name;
	const char *fields;
} events[] = {
	{ "gntdev_map", "what domid ref handle readonly status" },
	{ "gntdev_unmap", "what domid ref handle status" },
	{ "gntdev_invalidate", "mm start end event cleared" },
	{ "gntdev_deferred", "state domid ref page_refs" },
	{ "gntdev_copy", "ops failed" },
	{ "gntdev_error", "what domid ref handle status err" },
};

TEST_F_TIMEOUT(observe, g14_events_have_their_fields, GM_TEST_S)
{
	char fields[128], *field, *next;

	ASSERT_TRUE(self->traced) TH_LOG(NO_EVENTS);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		strcpy(fields, events[i].fields);
		for (field = strtok_r(fields, " ", &next); field;
		     field = strtok_r(NULL, " ", &next)) {
			EXPECT_TRUE(gm_trace_has_field(&self->trace,
						       events[i].name, field))
				TH_LOG("%s has no field %s", events[i].name, field);
		}
	}
}

/* How often "@event: @side domid=D ref=R ... status=0" was traced. */
static int count_events(const char *text, const char *event, const char *side,
			const struct gm_grant *grant, unsigned int page)
{
	char want[80];
	int n = 0;

	snprintf(want, sizeof(want), "%s: %s domid=%u ref=%u ", event, side,
		 grant->domid, grant->refs[page]);
	for (; (text = strstr(text, want)); text++) {
		const char *end = strchrnul(text, '\n');

		n += end - text > 9 && !strncmp(end - 9, " status=0", 9);
	}
	return n;
}

/* Each handle that was given is given back once, with the same grant. */
static void expect_handles_return(struct __test_metadata *_metadata, const char *text)
{
	char side[16], unmap[96];
	unsigned int domid, ref, handle;
	const char *hit;
	int n = 0;

	for (; (text = strstr(text, "gntdev_map: map_")); text++) {
		const char *end = strchrnul(text, '\n');

		ASSERT_EQ(4, sscanf(text, "gntdev_map: map_%15s domid=%u ref=%u handle=%u",
				    side, &domid, &ref, &handle));
		if (strncmp(end - 9, " status=0", 9))
			continue;
		snprintf(unmap, sizeof(unmap),
			 "gntdev_unmap: unmap_%s domid=%u ref=%u handle=%u status=0\n",
			 side, domid, ref, handle);
		hit = strstr(text, unmap);
		EXPECT_NE(NULL, hit) TH_LOG("not traced: %s", unmap);
		n++;
	}
	EXPECT_LT(0, n);
}

TEST_F_TIMEOUT(observe, g14_map_and_unmap_are_traced, GM_TEST_S)
{
	const char *text;
	void *addr;

	ASSERT_TRUE(self->traced) TH_LOG(NO_EVENTS);
	ASSERT_EQ(0, gm_trace_enable(&self->trace, true));
	addr = gm_gntdev_map(self->fd, self->grant, PROT_READ | PROT_WRITE, NULL);
	ASSERT_NE(MAP_FAILED, addr);
	EXPECT_PATTERN(addr, SEED, 0, PAGES);
	EXPECT_EQ(0, munmap(addr, SIZE));
	EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, 0, PAGES));
	EXPECT_EQ(0, gm_trace_enable(&self->trace, false));

	text = gm_trace_text(&self->trace);
	for (unsigned int i = 0; i < PAGES; i++) {
		const char *map = gm_self_is_pv() ? "map_user" : "map_kernel";
		const char *unmap = gm_self_is_pv() ? "unmap_user" : "unmap_kernel";

		EXPECT_EQ(1, count_events(text, "gntdev_map", map, self->grant, i));
		EXPECT_EQ(1, count_events(text, "gntdev_unmap", unmap, self->grant, i));
	}
	expect_handles_return(_metadata, text);
	EXPECT_EQ(NULL, strstr(text, "gntdev_error: "));
}

TEST_F_TIMEOUT(observe, g14_invalidation_is_traced, GM_TEST_S)
{
	char want[128];
	void *addr;

	ASSERT_TRUE(self->traced) TH_LOG(NO_EVENTS);
	addr = gm_gntdev_map(self->fd, self->grant, PROT_READ | PROT_WRITE, NULL);
	ASSERT_NE(MAP_FAILED, addr);
	ASSERT_EQ(0, gm_trace_enable(&self->trace, true));
	EXPECT_EQ(0, madvise(page_at(addr, 3), 2 * GM_PAGE_SIZE, MADV_DONTNEED));
	EXPECT_EQ(0, gm_trace_enable(&self->trace, false));
	snprintf(want, sizeof(want), "start=0x%lx end=0x%lx event=clear cleared=%d",
		 (unsigned long)page_at(addr, 3), (unsigned long)page_at(addr, 5),
		 gm_self_is_pv() ? 2 : 0);
	EXPECT_TRUE(gm_trace_has(gm_trace_text(&self->trace), "gntdev_invalidate: ", want))
		TH_LOG("not traced: %s", want);
	EXPECT_PATTERN(addr, SEED, 0, PAGES);
	EXPECT_EQ(0, munmap(addr, SIZE));
}

TEST_F_TIMEOUT(observe, g14_busy_page_is_traced, GM_TEST_S)
{
	char page[GM_PAGE_SIZE], grant[48], want[80];
	const char *busy, *given_back;
	int fds[2];
	void *addr;

	ASSERT_TRUE(self->traced) TH_LOG(NO_EVENTS);
	ASSERT_EQ(0, pipe(fds));
	addr = gm_gntdev_map(self->fd, self->grant, PROT_READ | PROT_WRITE, NULL);
	ASSERT_NE(MAP_FAILED, addr);
	ASSERT_EQ((ssize_t)GM_PAGE_SIZE, make_busy(fds[1], addr, 5));
	ASSERT_EQ(0, gm_trace_enable(&self->trace, true));
	EXPECT_EQ(0, munmap(addr, SIZE));
	snprintf(grant, sizeof(grant), "domid=%u ref=%u page_refs=", self->grant->domid,
		 self->grant->refs[5]);
	busy = strstr(gm_trace_text(&self->trace), "gntdev_deferred: busy ");
	ASSERT_NE(NULL, busy);
	EXPECT_EQ(busy + strlen("gntdev_deferred: busy "), strstr(busy, grant));
	EXPECT_EQ(NULL, strstr(busy + 1, "gntdev_deferred: "));

	EXPECT_EQ((ssize_t)GM_PAGE_SIZE, read(fds[0], page, GM_PAGE_SIZE));
	EXPECT_IN_USE_SOON(&self->gr, 0, LATER_MS);
	EXPECT_EQ(0, gm_trace_enable(&self->trace, false));
	snprintf(want, sizeof(want), "gntdev_deferred: free %s1\n", grant);
	given_back = strstr(gm_trace_text(&self->trace), want);
	EXPECT_NE(NULL, given_back) TH_LOG("not traced: %s", want);
	close(fds[0]);
	close(fds[1]);
}

/* Three segments, the one in the middle from a grant that there is not. */
TEST_F_TIMEOUT(observe, g14_copy_and_its_error_are_traced, GM_TEST_S)
{
	struct ioctl_gntdev_grant_copy_segment segs[3];
	struct ioctl_gntdev_grant_copy copy = { .count = 3, .segments = segs };
	char local[3][64], want[64];
	const char *text;

	for (int i = 0; i < 3; i++) {
		segs[i] = (struct ioctl_gntdev_grant_copy_segment){
			.flags = GNTCOPY_source_gref,
			.len = sizeof(local[i]),
			.source.foreign.ref = i == 1 ? NO_REF : self->grant->refs[i],
			.source.foreign.domid = self->grant->domid,
			.dest.virt = local[i],
		};
	}
	ASSERT_TRUE(self->traced) TH_LOG(NO_EVENTS);
	ASSERT_EQ(0, gm_trace_enable(&self->trace, true));
	EXPECT_EQ(0, ioctl(self->fd, IOCTL_GNTDEV_GRANT_COPY, &copy));
	EXPECT_EQ(0, gm_trace_enable(&self->trace, false));
	EXPECT_EQ(GNTST_okay, segs[0].status);
	EXPECT_EQ(GNTST_bad_gntref, segs[1].status);
	EXPECT_EQ(GNTST_okay, segs[2].status);

	text = gm_trace_text(&self->trace);
	EXPECT_TRUE(gm_trace_has(text, "gntdev_copy: ", "failed=1\n"));
	snprintf(want, sizeof(want), "copy domid=%u ref=%u handle=-1 status=%d err=0\n",
		 self->grant->domid, NO_REF, GNTST_bad_gntref);
	EXPECT_TRUE(gm_trace_has(text, "gntdev_error: ", want))
		TH_LOG("not traced: %s", want);
}

TEST_F_TIMEOUT(observe, g14_wrong_ref_is_traced, GM_TEST_S)
{
	char want[64];

	ASSERT_TRUE(self->traced) TH_LOG(NO_EVENTS);
	self->grant->refs[2] ^= NO_REF;
	ASSERT_EQ(0, gm_trace_enable(&self->trace, true));
	EXPECT_EQ(MAP_FAILED, gm_gntdev_map(self->fd, self->grant, PROT_READ, NULL));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(0, gm_trace_enable(&self->trace, false));
	snprintf(want, sizeof(want), "domid=%u ref=%u handle=-1 status=%d err=0\n",
		 self->grant->domid, self->grant->refs[2], GNTST_bad_gntref);
	EXPECT_TRUE(gm_trace_has(gm_trace_text(&self->trace), "gntdev_error: map_", want))
		TH_LOG("not traced: %s", want);
	self->grant->refs[2] ^= NO_REF;
}

/* ---- debugfs ---- */

struct map_line {
	int pid;
	char comm[32], state[16], domids[32];
	unsigned int file, count, kernel, user, deferred, age;
	unsigned long long offset;
};

/* The only line of debugfs' maps that is of this process; their number. */
static int own_map(struct map_line *map)
{
	FILE *f = fopen(GNTDEV_DEBUGFS "/maps", "re");
	struct map_line got;
	char line[256];
	int n = 0;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%d %31s %u %15s 0x%llx %u %31s %u %u %u %u\n",
			   &got.pid, got.comm, &got.file, got.state, &got.offset,
			   &got.count, got.domids, &got.kernel, &got.user,
			   &got.deferred, &got.age) != 11 || got.pid != getpid())
			continue;
		*map = got;
		n++;
	}
	fclose(f);
	return n;
}

TEST_F_TIMEOUT(observe, g14_maps_shows_a_mapping, GM_TEST_S)
{
	struct map_line map;
	char domid[16];
	int64_t index;
	void *addr;

	ASSERT_EQ(0, own_map(&map)) TH_LOG(NO_DEBUGFS);
	addr = gm_gntdev_map(self->fd, self->grant, PROT_READ | PROT_WRITE, &index);
	ASSERT_NE(MAP_FAILED, addr);
	snprintf(domid, sizeof(domid), "%u", self->grant->domid);
	ASSERT_EQ(1, own_map(&map));
	EXPECT_STREQ("observe", map.comm);
	EXPECT_STREQ("open", map.state);
	EXPECT_STREQ(domid, map.domids);
	EXPECT_EQ((uint64_t)index, map.offset);
	EXPECT_EQ(PAGES, map.count);
	EXPECT_EQ(PAGES, map.user);
	EXPECT_EQ(0, map.deferred);
	if (!gm_self_is_pv()) {
		EXPECT_EQ(PAGES, map.kernel);
	}

	EXPECT_EQ(0, munmap(addr, 3 * GM_PAGE_SIZE));
	ASSERT_EQ(1, own_map(&map));
	EXPECT_EQ(PAGES - 3, map.user);
	EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, index, PAGES));
	ASSERT_EQ(1, own_map(&map));
	EXPECT_STREQ("removed", map.state);
	EXPECT_EQ(PAGES - 3, map.user);
	/* The mapping keeps the file. */
	EXPECT_EQ(0, close(self->fd));
	self->fd = -1;
	ASSERT_EQ(1, own_map(&map));
	EXPECT_STREQ("removed", map.state);
	EXPECT_EQ(0, munmap(page_at(addr, 3), (PAGES - 3) * GM_PAGE_SIZE));
	EXPECT_EQ(0, own_map(&map));
}

/* Nobody has the file, nobody has the memory mapped, and yet the page is not free. */
TEST_F_TIMEOUT(observe, g14_maps_shows_a_busy_page, GM_TEST_S)
{
	char page[GM_PAGE_SIZE];
	struct map_line map;
	int fds[2];
	void *addr;

	ASSERT_EQ(0, own_map(&map)) TH_LOG(NO_DEBUGFS);
	ASSERT_EQ(0, pipe(fds));
	addr = gm_gntdev_map(self->fd, self->grant, PROT_READ, NULL);
	ASSERT_NE(MAP_FAILED, addr);
	ASSERT_EQ((ssize_t)GM_PAGE_SIZE, make_busy(fds[1], addr, 1));
	EXPECT_EQ(0, close(self->fd));
	self->fd = -1;
	EXPECT_EQ(0, munmap(addr, SIZE));
	EXPECT_IN_USE(&self->gr, 1);
	ASSERT_EQ(1, own_map(&map));
	EXPECT_STREQ("closed", map.state);
	EXPECT_EQ(1, map.kernel);
	EXPECT_EQ(0, map.user);
	EXPECT_EQ(1, map.deferred);
	EXPECT_EQ(self->base.value[3] + 1, stat_of("deferred"));

	EXPECT_EQ((ssize_t)GM_PAGE_SIZE, read(fds[0], page, GM_PAGE_SIZE));
	EXPECT_TRUE(gm_wait(own_map(&map) == 0, LATER_MS));
	close(fds[0]);
	close(fds[1]);
}

static const char *const totals[] = {
	"total_maps", "total_hypercalls", "total_mapped_kernel", "total_mapped_user",
	"total_unmapped_kernel", "total_unmapped_user", "total_deferred",
	"total_undeferred", "total_copied", "total_errors",
};

enum { MAPS, HYPERCALLS, MAPPED_K, MAPPED_U, UNMAPPED_K, UNMAPPED_U, DEFERRED,
	UNDEFERRED, COPIED, ERRORS, TOTALS };

static void totals_read(long value[TOTALS])
{
	for (int i = 0; i < TOTALS; i++)
		value[i] = stat_of(totals[i]);
}

TEST_F_TIMEOUT(observe, g14_counters_add_up, GM_TEST_S)
{
	struct ioctl_gntdev_grant_copy_segment seg = {
		.flags = GNTCOPY_source_gref,
		.len = 64,
		.source.foreign.ref = self->grant->refs[0],
		.source.foreign.domid = self->grant->domid,
	};
	struct ioctl_gntdev_grant_copy copy = { .count = 1, .segments = &seg };
	long before[TOTALS], after[TOTALS];
	char page[GM_PAGE_SIZE];
	const int cycles = 10;
	int fds[2];
	void *addr;

	ASSERT_LE(0, stat_of("total_maps")) TH_LOG(NO_DEBUGFS);
	ASSERT_EQ(0, pipe(fds));
	seg.dest.virt = page;
	totals_read(before);
	for (int i = 0; i < cycles; i++) {
		int64_t index;

		addr = gm_gntdev_map(self->fd, self->grant, PROT_READ, &index);
		ASSERT_NE(MAP_FAILED, addr);
		EXPECT_EQ(self->base.value[2] + PAGES, stat_of("user_side"));
		ASSERT_EQ((ssize_t)GM_PAGE_SIZE, make_busy(fds[1], addr, 0));
		EXPECT_EQ(0, munmap(addr, SIZE));
		EXPECT_EQ(0, ioctl(self->fd, IOCTL_GNTDEV_GRANT_COPY, &copy));
		EXPECT_EQ((ssize_t)GM_PAGE_SIZE, read(fds[0], page, GM_PAGE_SIZE));
		EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, index, PAGES));
	}
	EXPECT_NOW(&self->base);
	totals_read(after);
	for (int i = 0; i < TOTALS; i++)
		after[i] -= before[i];

	EXPECT_EQ(cycles, after[MAPS]);
	EXPECT_EQ(cycles, after[DEFERRED]);
	EXPECT_EQ(cycles, after[UNDEFERRED]);
	EXPECT_LE(cycles, after[COPIED]);
	EXPECT_EQ(0, after[ERRORS]);
	EXPECT_EQ(after[MAPPED_K], after[UNMAPPED_K]);
	EXPECT_EQ(after[MAPPED_U], after[UNMAPPED_U]);
	EXPECT_EQ(gm_self_is_pv() ? cycles * (long)PAGES : 0, after[MAPPED_U]);
	/* The page in the pipe at the least */
	EXPECT_LE(cycles, after[MAPPED_K]);
	EXPECT_LE(3 * cycles, after[HYPERCALLS]);
	EXPECT_GE(cycles * (2L * PAGES + 4), after[HYPERCALLS]);
	gm_note("%d cycles of %u pages and a copy: %ld hypercalls, %ld grants on the kernel side, %ld on the user side",
		cycles, PAGES, after[HYPERCALLS], after[MAPPED_K], after[MAPPED_U]);
	close(fds[0]);
	close(fds[1]);
}

/* ---- injected faults ---- */

#define EXPECT_ALL_IS_WELL() do {					\
	void *__addr = gm_gntdev_map(self->fd, self->grant,		\
				     PROT_READ | PROT_WRITE, NULL);	\
									\
	ASSERT_NE(MAP_FAILED, __addr) TH_LOG("%s", strerror(errno));	\
	EXPECT_PATTERN(__addr, SEED, 0, PAGES);				\
	EXPECT_EQ(0, munmap(__addr, SIZE));				\
	EXPECT_IN_USE(&self->gr, 0);					\
} while (0)

/* Debian's kernel is built without fault injection. */
#define SKIP_WITHOUT_FAULTS() do {					\
	if (gm_kernel_is("debian"))					\
		SKIP(return, "no fault injection in this kernel");	\
} while (0)

#define ASSERT_FAULT(name, status, times)				\
	ASSERT_TRUE(gntdev_fault(name, status, times))			\
		TH_LOG("no fault injection at hypercalls")

TEST_F_TIMEOUT(observe, g14_each_status_of_a_map_has_its_errno, GM_TEST_S)
{
	SKIP_WITHOUT_FAULTS();
	for (size_t i = 0; i < STATUSES; i++) {
		/* In PV that is the fault handler's affair, see g09 below. */
		if (statuses[i].status == GNTST_eagain && gm_self_is_pv())
			continue;
		ASSERT_FAULT("fail_map", statuses[i].status, -1);
		EXPECT_EQ(MAP_FAILED, gm_gntdev_map(self->fd, self->grant,
						    PROT_READ | PROT_WRITE, NULL));
		EXPECT_EQ(statuses[i].err, errno)
			TH_LOG("status %d: %s", statuses[i].status, strerror(errno));
		EXPECT_IN_USE(&self->gr, 0);
		gntdev_no_fault();
		EXPECT_ALL_IS_WELL();
	}
}

/*
 * PV: the guest must page a page in first. mmap() does not wait for that under the mmap lock
 * (stock does, up to 32 s a page): the first access does, with no lock.
 */
TEST_F_TIMEOUT(observe, g09_access_waits_for_the_guest_and_mmap_does_not, GM_TEST_S)
{
	void *addr;

	SKIP_WITHOUT_FAULTS();
	if (!gm_self_is_pv())
		SKIP(return, "the ioctl waits, in the kernel's grant table code");
	/* The page in the middle: not at mmap(), and at the first ten looks after. */
	ASSERT_FAULT("fail_map", GNTST_eagain, 11);
	addr = gm_gntdev_map(self->fd, self->grant, PROT_READ | PROT_WRITE, NULL);
	ASSERT_NE(MAP_FAILED, addr) TH_LOG("%s", strerror(errno));
	EXPECT_IN_USE(&self->gr, PAGES - 1);
	EXPECT_PATTERN(addr, SEED, 0, PAGES);
	EXPECT_IN_USE(&self->gr, PAGES);
	gntdev_no_fault();
	EXPECT_EQ(0, munmap(addr, SIZE));
	EXPECT_IN_USE(&self->gr, 0);
}

/* @pid still waits for a guest; killed, it does not any more. */
static void expect_waits_until_killed(META, pid_t pid)
{
	int status;

	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	gntdev_no_fault();
}

/* ... nor is another thread's mmap() held up by one that waits, and who waits can be killed. */
TEST_F_TIMEOUT(observe, g09_who_waits_for_the_guest_can_be_killed, GM_TEST_S)
{
	int fds[2];
	pid_t pid;

	SKIP_WITHOUT_FAULTS();
	if (!gm_self_is_pv())
		SKIP(return, "the ioctl waits, in the kernel's grant table code");
	ASSERT_EQ(0, pipe(fds));
	pid = fork();
	if (!pid) {
		volatile char *addr;

		if (!gntdev_fault("fail_map", GNTST_eagain, -1))
			_exit(1);
		addr = gm_gntdev_map(self->fd, self->grant, PROT_READ, NULL);
		if (addr == MAP_FAILED || write(fds[1], "", 1) != 1)
			_exit(2);
		/* For ever: it is the only page that the hypercall is about. */
		_exit(addr[PAGES / 2 * GM_PAGE_SIZE]);
	}
	ASSERT_LT(0, child_ready(pid, fds));
	gm_sleep_ms(300);
	expect_waits_until_killed(_metadata, pid);
	EXPECT_IN_USE(&self->gr, 0);
	EXPECT_ALL_IS_WELL();
}

static void no_op(int sig)
{
	(void)sig;
}

/* A system call that waits for the guest goes on waiting when there is a signal, and does not spin. */
TEST_F_TIMEOUT(observe, g09_signal_does_not_make_a_system_call_spin, GM_TEST_S)
{
	struct rusage before, after;
	int fds[2];
	double busy;
	pid_t pid;

	SKIP_WITHOUT_FAULTS();
	if (!gm_self_is_pv())
		SKIP(return, "the ioctl waits, in the kernel's grant table code");
	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(0, getrusage(RUSAGE_CHILDREN, &before));
	pid = fork();
	if (!pid) {
		int data[2];
		char *addr;

		signal(SIGUSR1, no_op);
		if (pipe(data) || write(data[1], "x", 1) != 1 ||
		    !gntdev_fault("fail_map", GNTST_eagain, -1))
			_exit(1);
		addr = gm_gntdev_map(self->fd, self->grant, PROT_READ | PROT_WRITE, NULL);
		if (addr == MAP_FAILED || write(fds[1], "", 1) != 1)
			_exit(2);
		_exit(read(data[0], addr + PAGES / 2 * GM_PAGE_SIZE, 1) == 1 ? 0 : 3);
	}
	ASSERT_LT(0, child_ready(pid, fds));
	gm_sleep_ms(100);
	EXPECT_EQ(0, kill(pid, SIGUSR1));
	gm_sleep_ms(2000);
	expect_waits_until_killed(_metadata, pid);
	ASSERT_EQ(0, getrusage(RUSAGE_CHILDREN, &after));
	busy = after.ru_stime.tv_sec - before.ru_stime.tv_sec +
	       (after.ru_stime.tv_usec - before.ru_stime.tv_usec) / 1e6;
	gm_note("busy for %.2f of 2 s", busy);
	EXPECT_GT(1, busy);
	EXPECT_IN_USE(&self->gr, 0);
	EXPECT_ALL_IS_WELL();
}

TEST_F_TIMEOUT(observe, g14_map_hypercall_fails, GM_TEST_S)
{
	SKIP_WITHOUT_FAULTS();
	ASSERT_FAULT("fail_map", 0, -1);
	EXPECT_EQ(MAP_FAILED, gm_gntdev_map(self->fd, self->grant,
					    PROT_READ | PROT_WRITE, NULL));
	EXPECT_EQ(INJECTED_ERRNO, errno) TH_LOG("%s", strerror(errno));
	EXPECT_IN_USE(&self->gr, 0);
	gntdev_no_fault();
	EXPECT_ALL_IS_WELL();
}

static void copy_segment(struct ioctl_gntdev_grant_copy_segment *seg,
			 const struct gm_grant *grant, int page, void *local)
{
	*seg = (struct ioctl_gntdev_grant_copy_segment){
		.flags = GNTCOPY_source_gref,
		.len = 64,
		.source.foreign.ref = grant->refs[page],
		.source.foreign.domid = grant->domid,
		.dest.virt = local,
	};
}

/*
 * Three segments in one hypercall, of which one operation has the status; the others are
 * done. "Try again" is obeyed, and has no status in the end.
 */
TEST_F_TIMEOUT(observe, g14_each_status_of_a_copy_is_reported, GM_TEST_S)
{
	uint64_t local[3][8] __attribute__((aligned(64)));
	struct ioctl_gntdev_grant_copy_segment segs[3];
	struct ioctl_gntdev_grant_copy copy = { .count = 3, .segments = segs };

	SKIP_WITHOUT_FAULTS();
	for (size_t i = 0; i < STATUSES; i++) {
		int status = statuses[i].status, failed = 0;

		memset(local, 0, sizeof(local));
		for (int s = 0; s < 3; s++)
			copy_segment(&segs[s], self->grant, s, local[s]);
		ASSERT_FAULT("fail_copy", status, 1);
		EXPECT_EQ(0, ioctl(self->fd, IOCTL_GNTDEV_GRANT_COPY, &copy));
		gntdev_no_fault();
		for (int s = 0; s < 3; s++) {
			bool done = segs[s].status == GNTST_okay;

			EXPECT_EQ(done ? gm_pattern(SEED, s, 7) : 0, local[s][7]);
			if (!done) {
				EXPECT_EQ(status, segs[s].status);
			}
			failed += !done;
		}
		EXPECT_EQ(status != GNTST_eagain, failed) TH_LOG("status %d", status);
	}
}

TEST_F_TIMEOUT(observe, g14_copy_hypercall_fails, GM_TEST_S)
{
	struct ioctl_gntdev_grant_copy_segment seg;
	struct ioctl_gntdev_grant_copy copy = { .count = 1, .segments = &seg };
	uint64_t local[8] = { 0 };

	SKIP_WITHOUT_FAULTS();
	copy_segment(&seg, self->grant, 0, local);
	ASSERT_FAULT("fail_copy", 0, 1);
	EXPECT_EQ(-1, ioctl(self->fd, IOCTL_GNTDEV_GRANT_COPY, &copy));
	EXPECT_EQ(INJECTED_ERRNO, errno);
	EXPECT_EQ(0, local[0]);
	EXPECT_EQ(0, ioctl(self->fd, IOCTL_GNTDEV_GRANT_COPY, &copy));
	EXPECT_EQ(GNTST_okay, seg.status);
	EXPECT_EQ(gm_pattern(SEED, 0, 0), local[0]);
}

/* Nobody may notice, least of all a munmap(): it cannot fail. */
TEST_F_TIMEOUT(observe, g14_unmap_hypercall_fails_and_is_repeated, GM_TEST_S)
{
	long errors = stat_of("total_errors");
	void *addr;

	SKIP_WITHOUT_FAULTS();
	for (int times = 1; times <= 3; times++) {
		addr = gm_gntdev_map(self->fd, self->grant, PROT_READ | PROT_WRITE, NULL);
		ASSERT_NE(MAP_FAILED, addr);
		ASSERT_FAULT("fail_unmap", 0, times);
		EXPECT_EQ(0, munmap(addr, SIZE));
		gntdev_no_fault();
		EXPECT_IN_USE(&self->gr, 0);
		errors += times;
		EXPECT_EQ(errors, stat_of("total_errors"));
	}
	EXPECT_ALL_IS_WELL();
}

/*
 * Xen refuses to unmap: the page must never be used again, and is lost. The one case in
 * which a test leaves something behind: a page of the mapper's (not a grant).
 */
TEST_F_TIMEOUT(observe, g14_refused_unmap_loses_the_page, GM_TEST_S)
{
	char want[64];
	int64_t index;
	void *addr;

	SKIP_WITHOUT_FAULTS();
	ASSERT_TRUE(self->traced) TH_LOG(NO_EVENTS);
	addr = gm_gntdev_map(self->fd, self->grant, PROT_READ | PROT_WRITE, &index);
	ASSERT_NE(MAP_FAILED, addr);
	ASSERT_EQ(0, gm_trace_enable(&self->trace, true));
	ASSERT_FAULT("fail_unmap", REFUSED, 1);
	EXPECT_EQ(0, munmap(addr, SIZE));
	gntdev_no_fault();
	EXPECT_EQ(0, gm_trace_enable(&self->trace, false));
	EXPECT_IN_USE(&self->gr, 0);
	self->base.value[4]++;
	EXPECT_EQ(self->base.value[4], stat_of("leaked"));
	snprintf(want, sizeof(want), "domid=%u ref=%u ", self->grant->domid,
		 self->grant->refs[PAGES / 2]);
	EXPECT_TRUE(gm_trace_has(gm_trace_text(&self->trace), "gntdev_error: unmap_", want))
		TH_LOG("not traced: %s", want);
	snprintf(want, sizeof(want), "status=%d err=0\n", REFUSED);
	EXPECT_TRUE(gm_trace_has(gm_trace_text(&self->trace), "gntdev_error: unmap_", want))
		TH_LOG("not traced: %s", want);

	/* Not in this map, where its place is; its neighbours serve as ever. */
	EXPECT_EQ(MAP_FAILED, gm_gntdev_mmap(self->fd, index, PAGES, PROT_READ));
	EXPECT_EQ(EIO, errno) TH_LOG("%s", strerror(errno));
	addr = gm_gntdev_mmap(self->fd, index, PAGES / 2, PROT_READ);
	ASSERT_NE(MAP_FAILED, addr) TH_LOG("%s", strerror(errno));
	EXPECT_PATTERN(addr, SEED, 0, PAGES / 2);
	EXPECT_EQ(0, munmap(addr, SIZE / 2));
	EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, index, PAGES));
	EXPECT_ALL_IS_WELL();
}

TEST_HARNESS_MAIN
