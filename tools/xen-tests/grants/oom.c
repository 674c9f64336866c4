// SPDX-License-Identifier: GPL-2.0-only
/*
 * Out of memory: a process that maps grants is killed, and its memory is taken away before it
 * has ended (G5).
 *
 * The OOM reaper takes what only the process has: private mappings. So grants that are mapped
 * privately, which they can be for reading, are taken away; those that are shared stay until
 * the process ends. It comes two seconds after the kill, if the process has not ended by then;
 * here a thread of it waits for a disk, and cannot. The reaper holds the mmap lock for reading,
 * must not sleep in a callback, and announces UNMAP though the VMA stays.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "grants.h"
#include "cgroup.h"
#include "slow_disk.h"

#define SEED		0x00aULL
#define PAGES		16U
#define SIZE		(PAGES * GM_PAGE_SIZE)

#define LIMIT		"16M"
#define TOO_MUCH	(64UL << 20)	/* a small guest has that */

FIXTURE(oom) {
	struct granter gr;
	struct gm_grant *grant;
	struct slow_disk disk;
	int kmsg;
};

FIXTURE_SETUP(oom)
{
	self->disk = NO_SLOW_DISK;
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, PAGES, true, SEED);
	self->kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ASSERT_LE(0, self->kmsg);
	lseek(self->kmsg, 0, SEEK_END);
}

FIXTURE_TEARDOWN(oom)
{
	close(self->kmsg);
	EXPECT_EQ(0, slow_disk_remove(&self->disk));
	EXPECT_IN_USE(&self->gr, 0);
	granter_teardown(_metadata, &self->gr);
}

/* Takes more than its cgroup may have; does not return. */
static void eat(void)
{
	char *eaten = mmap(NULL, TOO_MUCH, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (eaten == MAP_FAILED || cgroup_enter())
		_exit(2);
	memset(eaten, 1, TOO_MUCH);
	_exit(3);
}

static void mapper_eats(const struct gm_grant *grant)
{
	void *addr = gm_gntdev_map(gm_gntdev_open(), grant, PROT_READ | PROT_WRITE,
				   NULL);

	if (addr == MAP_FAILED || gm_check(addr, SEED, 0, PAGES) >= 0)
		_exit(1);
	eat();
}

#define EXPECT_KILLED(pid) do {							\
	int __status = 0;							\
										\
	EXPECT_EQ(pid, waitpid(pid, &__status, 0));				\
	EXPECT_TRUE(WIFSIGNALED(__status) && WTERMSIG(__status) == SIGKILL)	\
		TH_LOG("status %#x", __status);					\
} while (0)

/* The process can end: there is nothing for the reaper to do. Stock passes. */
TEST_F_TIMEOUT(oom, g05_oom_kill_gives_grants_back, GM_TEST_S)
{
	pid_t pid;

	if (!cgroup_make(_metadata, LIMIT))
		SKIP(return, "no cgroup2");
	pid = fork();
	if (!pid)
		mapper_eats(self->grant);
	EXPECT_LT(0, pid);
	EXPECT_KILLED(pid);
	EXPECT_IN_USE(&self->gr, 0);
	cgroup_remove(_metadata);
}

/* ---- the reaper ---- */

#define BUSY		5U	/* page */

/*
 * Maps @shared so, and @private privately, for reading; and has a thread that waits for the
 * disk, to which it writes page BUSY of the latter, or other memory. Says so through @ready,
 * and then takes too much.
 */
static void stuck_mapper_eats(const struct gm_grant *shared, const struct gm_grant *private,
			      const struct slow_disk *disk, bool busy, int ready)
{
	void *page = aligned_alloc(GM_PAGE_SIZE, GM_PAGE_SIZE);
	int fd = gm_gntdev_open();
	struct slow_write w;
	void *addr, *mine;
	int64_t index;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	addr = gm_gntdev_map(fd, shared, PROT_READ | PROT_WRITE, NULL);
	if (!page || addr == MAP_FAILED || gm_check(addr, SEED, 0, PAGES) >= 0)
		_exit(1);
	index = gm_gntdev_map_ref(fd, private->domid, private->refs, private->count);
	if (index < 0)
		_exit(1);
	mine = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, fd, index);
	if (mine == MAP_FAILED || gm_check(mine, SEED, 0, PAGES) >= 0)
		_exit(1);
	memset(page, 0x5a, GM_PAGE_SIZE);
	if (!slow_write_start(&w, disk, busy ? page_at(mine, BUSY) : page, 0) || write(ready, "m", 1) != 1)
		_exit(1);
	eat();
}

enum reaped { REAPED, NOT_REAPED, NOT_SEEN };

/* What the kernel has said of the OOM reaper and process @pid since the test began. */
static enum reaped reaper_said(int kmsg, pid_t pid)
{
	char line[2048], yes[64], no[64];
	ssize_t len;

	snprintf(yes, sizeof(yes), "oom_reaper: reaped process %d ", pid);
	snprintf(no, sizeof(no), "oom_reaper: unable to reap pid:%d ", pid);
	for (;;) {
		len = read(kmsg, line, sizeof(line) - 1);
		if (len < 0 && errno == EPIPE)
			continue;	/* some were overwritten meanwhile */
		if (len <= 0)
			return NOT_SEEN;
		line[len] = '\0';
		if (strstr(line, yes)) {
			line[strcspn(line, "\n")] = '\0';
			gm_note("%s", strstr(line, "oom_reaper"));
			return REAPED;
		}
		if (strstr(line, no))
			return NOT_REAPED;
	}
}

static void reap(META, FIXTURE_DATA(oom) *self, bool busy)
{
	enum reaped said = NOT_SEEN;
	struct gm_grant *private;
	int fds[2], left;
	pid_t pid;

	private = granter_grant(_metadata, &self->gr, PAGES, true, SEED);
	EXPECT_EQ(0, pipe(fds));
	pid = fork();
	if (!pid)
		stuck_mapper_eats(self->grant, private, &self->disk, busy, fds[1]);
	pid = child_ready(pid, fds);
	EXPECT_LT(0, pid);
	if (pid <= 0)
		return;

	EXPECT_TRUE(gm_wait((said = reaper_said(self->kmsg, pid)) != NOT_SEEN, SLOW_DISK_MS));
	EXPECT_EQ(REAPED, said)
		TH_LOG("the reaper %s", said == NOT_SEEN ? "did not come" : "failed");
	/*
	 * In PV there was nothing of the private ones but their PTEs, and the page that the
	 * disk waits for; elsewhere the pages are the VMA's until it goes.
	 */
	left = gm_self_is_pv() ? busy : PAGES;
	EXPECT_IN_USE(&self->gr, (int)PAGES + left);
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG)) TH_LOG("it has ended: the disk was too fast");
	EXPECT_KILLED(pid);
	EXPECT_IN_USE_SOON(&self->gr, 0, busy ? LATER_MS : AT_ONCE_MS);
	if (busy)
		EXPECT_TRUE(slow_disk_holds(0, SEED, BUSY));
}

#define NEED_SLOW_DISK_AND_CGROUP() do {					\
	int __err = slow_disk_make(&self->disk);				\
										\
	if (__err == -ENODEV)							\
		SKIP(return, "no modules brd, dm-delay here");			\
	ASSERT_EQ(0, __err) TH_LOG("dm: %s", strerror(-__err));			\
	if (!cgroup_make(_metadata, LIMIT))					\
		SKIP(return, "no cgroup2");					\
} while (0)

/*
 * Stock refuses in the callback, for any VMA that is reaped: "unable to reap", after ten times
 * (in PV; elsewhere it has no callback).
 */
TEST_F_TIMEOUT(oom, g05_reaper_takes_private_grants, GM_TEST_S)
{
	NEED_SLOW_DISK_AND_CGROUP();
	reap(_metadata, self, false);
	cgroup_remove(_metadata);
}

/* The disk still reads one of them: that stays, by itself, until the disk has it. */
TEST_F_TIMEOUT(oom, g05_reaper_leaves_what_a_disk_reads, GM_TEST_S)
{
	NEED_SLOW_DISK_AND_CGROUP();
	reap(_metadata, self, true);
	cgroup_remove(_metadata);
}

TEST_HARNESS_MAIN
