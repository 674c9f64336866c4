// SPDX-License-Identifier: GPL-2.0-only
/*
 * The end of a process whose page tables are shadowed: killed in the middle of it all,
 * or for want of memory, by the OOM reaper. The bench belongs to the parent, too: its
 * subscriptions outlive the process, are checked from outside while it dies, and are
 * removed later. Then nothing may be left of the mm.
 */
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "storm.h"

#define ROUNDS		8

#define CGROUP_ROOT	"/tmp/gm-mn-cgroup"
#define CGROUP		CGROUP_ROOT "/victim"
#define LIMIT_MB	24

FIXTURE(exit) {
	int fd;
	pid_t child;
};

FIXTURE_SETUP(exit)
{
	self->fd = bench_open(_metadata);
	self->child = -1;
}

FIXTURE_TEARDOWN(exit)
{
	bench_ioctl(self->fd, GM_MN_UNBLOCK, NULL);
	if (self->child > 0) {
		kill(self->child, SIGKILL);
		waitpid(self->child, NULL, 0);
	}
	bench_close(_metadata, self->fd);
}

/* ---- the child ---- */

/* Whatever goes wrong in the child ends it, and the parent misses it. */
static void child_storm(META, int fd)
{
	struct storm storm = { };

	storm_prepare(_metadata, &storm, fd, OPS_FAULT | OPS_MAP | OPS_HUGE);
	storm_start(_metadata, &storm);
	pause();
	_exit(0);
}

static pid_t start_child(META, int fd, void (*fn)(META, int fd))
{
	pid_t pid = fork();

	if (!pid) {
		fn(_metadata, fd);
		_exit(1);
	}
	ASSERT_LT(0, pid);
	return pid;
}

/* ---- the parent ---- */

/* Processors that have run the process may keep its mm until they run another. */
static void visit_processors(void)
{
	cpu_set_t all, one;

	sched_getaffinity(0, sizeof(all), &all);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
	}
	sched_setaffinity(0, sizeof(all), &all);
}

static int mm_refs(int fd)
{
	visit_processors();
	return bench_ioctl(fd, GM_MN_MM_REFS, NULL);
}

static unsigned int live_slots(int fd)
{
	struct gm_mn_info info;
	unsigned int n = 0;

	for (unsigned int slot = 0; slot < GM_MN_SLOTS; slot++) {
		info = (struct gm_mn_info){ .slot = slot };
		n += !bench_ioctl(fd, GM_MN_INFO, &info);
	}
	return n;
}

/* The process has gone; its subscriptions pin its mm's memory, and nothing else. */
static void expect_only_subscriptions_left(META, int fd)
{
	int n = live_slots(fd);

	EXPECT_TRUE(gm_wait(mm_refs(fd) == n, SOON_MS))
		TH_LOG("references to the mm: %d, subscriptions: %d", mm_refs(fd), n);
	for (unsigned int slot = 0; slot < GM_MN_SLOTS; slot++)
		EXPECT_EQ(0, bench_info(fd, slot).valid);
	EXPECT_EQ(-ESRCH, bench_run(fd, GM_MN_READER, 1));
}

static void expect_no_mm_left(META, int fd)
{
	for (unsigned int slot = 0; slot < GM_MN_SLOTS; slot++)
		bench_remove(fd, slot);
	EXPECT_TRUE(gm_wait(mm_refs(fd) == 0, SOON_MS))
		TH_LOG("references to the mm that are left: %d", mm_refs(fd));
	expect_sound(_metadata, fd);
}

/* Reads and checks another process's shadows until it has no address space any more. */
static void *outside_reader(void *arg)
{
	int fd = *(int *)arg;

	while (bench_run(fd, GM_MN_READER, ROUND_MS) != -ESRCH)
		;
	return NULL;
}

static void *outside_checker(void *arg)
{
	int fd = *(int *)arg;

	while (bench_run(fd, GM_MN_CHECKER, ROUND_MS) != -ESRCH)
		;
	return NULL;
}

static void kill_in_the_middle(META, int fd, pid_t *child, bool remove_meanwhile)
{
	pthread_t reader, checker;
	int status;

	*child = start_child(_metadata, fd, child_storm);
	ASSERT_TRUE(gm_wait(bench_stat(fd, GM_MN_COMPARED) &&
			    bench_stat(fd, GM_MN_INSERTS) > 8, SOON_MS))
		TH_LOG("the child's storm did not start");
	ASSERT_EQ(0, pthread_create(&reader, NULL, outside_reader, &fd));
	ASSERT_EQ(0, pthread_create(&checker, NULL, outside_checker, &fd));
	gm_sleep_ms(50);
	EXPECT_EQ(0, kill(*child, SIGKILL));
	for (unsigned int slot = 0; remove_meanwhile && slot < GM_MN_SLOTS; slot += 2)
		bench_remove(fd, slot);
	EXPECT_EQ(*child, waitpid(*child, &status, 0));
	*child = -1;
	ASSERT_EQ(0, pthread_join(reader, NULL));
	ASSERT_EQ(0, pthread_join(checker, NULL));
}

TEST_F_TIMEOUT(exit, killed_in_the_middle, GM_LONG_TEST_S)
{
	uint64_t released = 0;

	for (int i = 0; i < ROUNDS; i++) {
		/* A bench is of one mm. */
		int fd = bench_open(_metadata);

		kill_in_the_middle(_metadata, fd, &self->child, i & 1);
		released += bench_stat(fd, GM_MN_EVENTS + EVENT_RELEASE);
		expect_only_subscriptions_left(_metadata, fd);
		expect_no_mm_left(_metadata, fd);
		close(fd);
	}
	gm_note("%d processes killed, %lu subscriptions told of it", ROUNDS, released);
	EXPECT_NE(0, released);
}

/* The last user of the file closes it while the process ends. */
TEST_F_TIMEOUT(exit, file_and_process_end_together, GM_LONG_TEST_S)
{
	for (int i = 0; i < ROUNDS; i++) {
		int status, fd = bench_open(_metadata);

		self->child = start_child(_metadata, fd, child_storm);
		ASSERT_TRUE(gm_wait(bench_stat(fd, GM_MN_INSERTS) > 8, SOON_MS));
		close(fd);
		EXPECT_EQ(0, kill(self->child, SIGKILL));
		EXPECT_EQ(self->child, waitpid(self->child, &status, 0));
		self->child = -1;
	}
}

/* ---- out of memory ---- */

static void cgroup_make(META)
{
	char limit[32];

	mkdir(CGROUP_ROOT, 0755);
	ASSERT_EQ(0, mount("none", CGROUP_ROOT, "cgroup2", 0, NULL))
		TH_LOG("cgroup2: %s", strerror(errno));
	ASSERT_EQ(0, gm_write_file(CGROUP_ROOT "/cgroup.subtree_control", "+memory"));
	ASSERT_EQ(0, mkdir(CGROUP, 0755)) TH_LOG("%s", strerror(errno));
	snprintf(limit, sizeof(limit), "%dM", LIMIT_MB);
	ASSERT_EQ(0, gm_write_file(CGROUP "/memory.max", limit));
}

static void cgroup_destroy(META)
{
	/* The dead process leaves it a moment later. */
	EXPECT_TRUE(gm_wait(!rmdir(CGROUP), SOON_MS))
		TH_LOG("%s: %s", CGROUP, strerror(errno));
	EXPECT_EQ(0, gm_write_file(CGROUP_ROOT "/cgroup.subtree_control", "-memory"));
	EXPECT_EQ(0, umount(CGROUP_ROOT));
	EXPECT_EQ(0, rmdir(CGROUP_ROOT));
}

static void *block_thread(void *arg)
{
	ioctl(*(int *)arg, GM_MN_BLOCK);
	return NULL;
}

/*
 * Takes more memory than it may have. One of its threads cannot be killed meanwhile,
 * so it does not end, and the OOM reaper comes to take its memory.
 */
static void child_oom(META, int fd)
{
	size_t size = 4UL * LIMIT_MB << 20;
	pthread_t thread;
	char *addr;

	ASSERT_EQ(0, gm_write_file(CGROUP "/cgroup.procs", "0"));
	addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
	ASSERT_NE(MAP_FAILED, addr);
	memset(addr, 1, 1 << 20);
	for (unsigned int slot = 0; slot < 16; slot++)
		ASSERT_EQ(0, bench_insert(fd, slot, GM_MN_SHADOW,
					  addr + slot * 10000, 1 << 20));
	ASSERT_EQ(0, pthread_create(&thread, NULL, block_thread, &fd));
	/* Some time for the parent's readers. */
	while (bench_stat(fd, GM_MN_STORED) < 1000)
		usleep(10000);
	memset(addr, 1, size);
}

TEST_F_TIMEOUT(exit, oom_reaper, GM_LONG_TEST_S)
{
	pthread_t reader, checker;
	int status;

	cgroup_make(_metadata);
	self->child = start_child(_metadata, self->fd, child_oom);
	ASSERT_TRUE(gm_wait(bench_stat(self->fd, GM_MN_INSERTS), SOON_MS))
		TH_LOG("the child did not start");
	ASSERT_EQ(0, pthread_create(&reader, NULL, outside_reader, &self->fd));
	ASSERT_EQ(0, pthread_create(&checker, NULL, outside_checker, &self->fd));
	EXPECT_TRUE(gm_wait(bench_stat(self->fd, GM_MN_NONBLOCK), GM_TIMEOUT_MS))
		TH_LOG("the OOM reaper did not come");
	EXPECT_EQ(0, bench_ioctl(self->fd, GM_MN_UNBLOCK, NULL));
	EXPECT_EQ(self->child, waitpid(self->child, &status, 0));
	self->child = -1;
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	ASSERT_EQ(0, pthread_join(reader, NULL));
	ASSERT_EQ(0, pthread_join(checker, NULL));
	note_stats(self->fd);
	EXPECT_NE(0, bench_stat(self->fd, GM_MN_COMPARED));
	expect_only_subscriptions_left(_metadata, self->fd);
	expect_no_mm_left(_metadata, self->fd);
	cgroup_destroy(_metadata);
}

TEST_HARNESS_MAIN
