// SPDX-License-Identifier: GPL-2.0-only
/*
 * gnttop and gntctl, the programs themselves, against a guest that grants: what they print is
 * compared with what this test holds, and with what Xen says.
 */
#include <signal.h>

#include "../grants/observe.h"

#define SEED	0x70ULL
#define PAGES	6U
#define SIZE	(PAGES * GM_PAGE_SIZE)
#define GNTTOP	"/gm/bin/gnttop "
#define GNTCTL	"/gm/bin/gntctl "
#define GNTALLOC_LIMIT "/sys/module/xen_gntalloc/parameters/limit"

FIXTURE(tools) {
	struct granter gr;
	struct gm_grant *grant;
	char out[8192];
	int fd;
};

FIXTURE_SETUP(tools)
{
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, PAGES, true, SEED);
	debugfs_mount();
	self->fd = gm_gntdev_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(tools)
{
	if (self->fd >= 0)
		close(self->fd);
	granter_teardown(_metadata, &self->gr);
}

/* The exit code; what was printed is in self->out. */
#define RUN(...) ({							\
	char __cmd[512];						\
									\
	snprintf(__cmd, sizeof(__cmd), __VA_ARGS__);			\
	gm_run(self->out, sizeof(self->out), GM_TIMEOUT_MS, __cmd);	\
})

#define EXPECT_SAYS(what)						\
	EXPECT_NE(NULL, strstr(self->out, what)) TH_LOG("\"%s\" is not in: %s", what, self->out)

/* This process's line of gnttop -b. */
static bool own_line(const char *out, unsigned int *grants, unsigned int *user,
		     unsigned int *deferred)
{
	unsigned int maps, kernel;
	char comm[32];
	int pid;

	for (; out && *out; out = strchr(out, '\n') ? strchr(out, '\n') + 1 : NULL)
		if (sscanf(out, "%d %31s %u %u %u %u %u", &pid, comm, &maps, grants, user, &kernel,
			   deferred) == 7 && pid == getpid() && maps == 1)
			return true;
	return false;
}

TEST_F_TIMEOUT(tools, gnttop_shows_a_mapping, GM_TEST_S)
{
	unsigned int grants, user, deferred;
	void *addr = gm_gntdev_map(self->fd, self->grant, PROT_READ | PROT_WRITE, NULL);

	ASSERT_NE(MAP_FAILED, addr);
	ASSERT_EQ(0, RUN(GNTTOP "-b")) TH_LOG("%s", self->out);
	ASSERT_TRUE(own_line(self->out, &grants, &user, &deferred)) TH_LOG("%s", self->out);
	EXPECT_EQ(PAGES, grants);
	EXPECT_EQ(PAGES, user);
	EXPECT_EQ(0, deferred);

	/* A part goes: it is a part of what it says. */
	EXPECT_EQ(0, munmap(addr, 2 * GM_PAGE_SIZE));
	ASSERT_EQ(0, RUN(GNTTOP "-b -p %d", getpid()));
	ASSERT_TRUE(own_line(self->out, &grants, &user, &deferred));
	EXPECT_EQ(PAGES - 2, user);
	EXPECT_EQ(0, munmap(page_at(addr, 2), SIZE - 2 * GM_PAGE_SIZE));
}

TEST_F_TIMEOUT(tools, gnttop_filters, GM_TEST_S)
{
	unsigned int grants, user, deferred;
	void *addr = gm_gntdev_map(self->fd, self->grant, PROT_READ, NULL);

	ASSERT_NE(MAP_FAILED, addr);
	ASSERT_EQ(0, RUN(GNTTOP "-b -D %u", self->gr.domid));
	EXPECT_TRUE(own_line(self->out, &grants, &user, &deferred));
	ASSERT_EQ(0, RUN(GNTTOP "-b -D %u", self->gr.domid + 1));
	EXPECT_FALSE(own_line(self->out, &grants, &user, &deferred));
	ASSERT_EQ(0, RUN(GNTTOP "-b -p 1"));
	EXPECT_FALSE(own_line(self->out, &grants, &user, &deferred));
	EXPECT_EQ(0, munmap(addr, SIZE));
}

/* Nobody can unmap it any more, so leaks says so, too. */
TEST_F_TIMEOUT(tools, busy_page_is_named, GM_TEST_S)
{
	unsigned int grants, user, deferred;
	char page[GM_PAGE_SIZE], want[96];
	int fds[2];
	void *addr;

	ASSERT_EQ(0, pipe(fds));
	EXPECT_EQ(0, RUN(GNTCTL "leaks")) TH_LOG("%s", self->out);
	addr = gm_gntdev_map(self->fd, self->grant, PROT_READ, NULL);
	ASSERT_NE(MAP_FAILED, addr);
	ASSERT_EQ((ssize_t)GM_PAGE_SIZE, make_busy(fds[1], addr, 1));
	EXPECT_EQ(0, close(self->fd));
	self->fd = -1;
	EXPECT_EQ(0, munmap(addr, SIZE));

	ASSERT_EQ(0, RUN(GNTTOP "-b -s deferred"));
	ASSERT_TRUE(own_line(self->out, &grants, &user, &deferred));
	EXPECT_EQ(1, deferred);
	EXPECT_EQ(0, user);
	snprintf(want, sizeof(want), "busy page: tools (%d), domain %u, closed, ref %u waits ",
		 getpid(), self->gr.domid, self->grant->refs[1]);
	EXPECT_SAYS(want);
	EXPECT_SAYS("s: referenced (a pipe, a socket, I/O), 2 references");
	EXPECT_EQ(1, RUN(GNTCTL "leaks"));
	snprintf(want, sizeof(want), "! %d tools domain %u", getpid(), self->gr.domid);
	EXPECT_SAYS(want);

	EXPECT_EQ((ssize_t)GM_PAGE_SIZE, read(fds[0], page, GM_PAGE_SIZE));
	EXPECT_IN_USE_SOON(&self->gr, 0, LATER_MS);
	EXPECT_TRUE(gm_wait(RUN(GNTCTL "leaks") == 0, LATER_MS)) TH_LOG("%s", self->out);
	close(fds[0]);
	close(fds[1]);
}

TEST_F_TIMEOUT(tools, gnttop_json, GM_TEST_S)
{
	char want[64];
	void *addr = gm_gntdev_map(self->fd, self->grant, PROT_READ, NULL);

	ASSERT_NE(MAP_FAILED, addr);
	ASSERT_EQ(0, RUN(GNTTOP "-j -p %d", getpid()));
	snprintf(want, sizeof(want), "\"processes\":[{\"pid\":%d,\"comm\":\"tools\",\"maps\":1,",
		 getpid());
	EXPECT_SAYS(want);
	snprintf(want, sizeof(want), "\"grants\":%u,\"user\":%u,", PAGES, PAGES);
	EXPECT_SAYS(want);
	EXPECT_EQ('\n', self->out[strlen(self->out) - 1]);
	EXPECT_EQ(0, munmap(addr, SIZE));
}

/* How much has been done for a process is exact. */
TEST_F_TIMEOUT(tools, gnttop_counts_for_a_process, GM_TEST_S)
{
	const int cycles = 5;
	char want[96], *row;

	for (int i = 0; i < cycles; i++) {
		int64_t index;
		void *addr = gm_gntdev_map(self->fd, self->grant, PROT_READ, &index);

		ASSERT_NE(MAP_FAILED, addr);
		EXPECT_EQ(0, munmap(addr, SIZE));
		EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, index, PAGES));
	}
	/* It has no map: it is there for what has been done. */
	ASSERT_EQ(0, RUN(GNTTOP "-j -p %d", getpid()));
	EXPECT_SAYS("\"missing\":[],\"oldest_deferred\":null");
	row = strstr(self->out, "\"processes\"");
	ASSERT_NE(NULL, row);
	snprintf(want, sizeof(want), "\"mapped\":%u,\"unmapped\":%u,\"copied\":0,\"errors\":0,",
		 cycles * PAGES, cycles * PAGES);
	EXPECT_NE(NULL, strstr(row, want)) TH_LOG("\"%s\" is not in: %s", want, row);
}

TEST_F_TIMEOUT(tools, gntctl_maps_and_reports_each, GM_TEST_S)
{
	char want[64];

	ASSERT_EQ(0, RUN(GNTCTL "map -r -t 0 %u %u %u", self->gr.domid, self->grant->refs[0],
			 self->grant->refs[1]));
	snprintf(want, sizeof(want), "%u ok\n%u ok\n", self->grant->refs[0],
		 self->grant->refs[1]);
	EXPECT_EQ(0, strcmp(want, self->out)) TH_LOG("%s", self->out);
	EXPECT_IN_USE(&self->gr, 0);

	/* One of them is wrong: none is mapped, unless a part is what is wanted. */
	EXPECT_EQ(1, RUN(GNTCTL "map -t 0 %u %u 1048575", self->gr.domid, self->grant->refs[0]));
	EXPECT_SAYS("1048575 ");
	EXPECT_EQ(1, RUN(GNTCTL "map -p -t 0 %u %u 1048575 2>/dev/null", self->gr.domid,
			 self->grant->refs[0]));
	snprintf(want, sizeof(want), "%u ok\n1048575 ", self->grant->refs[0]);
	EXPECT_EQ(0, strncmp(want, self->out, strlen(want))) TH_LOG("%s", self->out);
	EXPECT_IN_USE(&self->gr, 0);
}

TEST_F_TIMEOUT(tools, gntctl_copies, GM_TEST_S)
{
	char page[GM_PAGE_SIZE], got[64];
	FILE *f;

	gm_fill(page, SEED, 0, 1);
	ASSERT_EQ(0, RUN(GNTCTL "copy %u %u 8 64 >/tmp/tools.copy", self->gr.domid,
			 self->grant->refs[0]));
	f = fopen("/tmp/tools.copy", "re");
	ASSERT_NE(NULL, f);
	EXPECT_EQ(64, fread(got, 1, sizeof(got), f));
	fclose(f);
	unlink("/tmp/tools.copy");
	EXPECT_EQ(0, memcmp(page + 8, got, sizeof(got)));

	ASSERT_EQ(0, RUN("printf AB | " GNTCTL "copy -w %u %u 100 2", self->gr.domid,
			 self->grant->refs[0]));
	EXPECT_EQ('A', gm_guest_peek(self->gr.g, self->grant, 100));
	EXPECT_EQ('B', gm_guest_peek(self->gr.g, self->grant, 101));
	EXPECT_EQ(1, RUN(GNTCTL "copy %u 1048575", self->gr.domid));
	EXPECT_SAYS("Xen says");
}

TEST_F_TIMEOUT(tools, gntctl_watch_sees_it, GM_TEST_S)
{
	char want[64];
	void *addr = gm_gntdev_map(self->fd, self->grant, PROT_READ, NULL);

	ASSERT_NE(MAP_FAILED, addr);
	ASSERT_EQ(0, RUN(GNTCTL "watch -n 1"));
	snprintf(want, sizeof(want), "+ %d tools domain %u: ", getpid(), self->gr.domid);
	EXPECT_SAYS(want);
	ASSERT_EQ(0, RUN(GNTCTL "leaks"));
	EXPECT_SAYS("0 pages that Xen would not let go of, 0 maps without a file");
	ASSERT_EQ(0, RUN(GNTCTL "limits"));
	EXPECT_SAYS("handles in use");
	EXPECT_EQ(0, munmap(addr, SIZE));
}

TEST_F_TIMEOUT(tools, what_is_missing_is_said, GM_TEST_S)
{
	int limit;

	EXPECT_EQ(1, RUN(GNTTOP "-b -r /nonexistent 2>&1"));
	EXPECT_SAYS("/nonexistent: No such file");
	EXPECT_EQ(2, RUN(GNTTOP "-s nothing 2>&1"));
	EXPECT_SAYS("cannot sort by");
	EXPECT_EQ(2, RUN(GNTCTL "map 1 2>&1"));
	/* It is no use to ask Xen for more handles. */
	ASSERT_EQ(0, RUN("cat " GNTALLOC_LIMIT)) TH_LOG("%s", self->out);
	limit = atoi(self->out);
	ASSERT_EQ(0, RUN("echo 2 >" GNTALLOC_LIMIT));
	EXPECT_EQ(1, RUN(GNTCTL "grant -t 0 0 3 2>&1"));
	EXPECT_SAYS("limit of xen-gntalloc");
	EXPECT_EQ(0, RUN("echo %d >" GNTALLOC_LIMIT, limit));
}

/* The commands of Documentation/observing.md, as they are there. */
TEST_F_TIMEOUT(tools, tracefs_from_a_shell, GM_TEST_S)
{
	char want[64];
	void *addr;

	gm_run(NULL, 0, GM_TIMEOUT_MS,
	       "[ -e /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing");
	ASSERT_EQ(0, RUN("cd /sys/kernel/tracing && mkdir -p instances/gnt && cd instances/gnt &&"
			 " echo 'domid == %u' >events/gntdev/gntdev_map/filter &&"
			 " echo 1 >events/gntdev/gntdev_map/enable &&"
			 " echo 1 >events/gntdev/gntdev_deferred/enable", self->gr.domid))
		TH_LOG("%s", self->out);
	addr = gm_gntdev_map(self->fd, self->grant, PROT_READ, NULL);
	EXPECT_NE(MAP_FAILED, addr);
	EXPECT_EQ(0, RUN("cat /sys/kernel/tracing/instances/gnt/trace"));
	snprintf(want, sizeof(want), "domid=%u ref=%u ", self->gr.domid, self->grant->refs[0]);
	EXPECT_SAYS(want);
	EXPECT_EQ(0, RUN("cat /sys/kernel/tracing/events/gntdev/*/format"));
	EXPECT_EQ(0, RUN("rmdir /sys/kernel/tracing/instances/gnt"));
	EXPECT_EQ(0, munmap(addr, SIZE));
}

/* For the picture in Documentation/observing.md: what there is to see is in the log. */
TEST_F_TIMEOUT(tools, picture, GM_TEST_S)
{
	char page[GM_PAGE_SIZE], *line, *next;
	int fds[2], busy;
	void *addr;

	ASSERT_EQ(0, pipe(fds));
	addr = gm_gntdev_map(self->fd, self->grant, PROT_READ, NULL);
	ASSERT_NE(MAP_FAILED, addr);
	busy = make_busy(fds[1], addr, 1);
	EXPECT_EQ((int)GM_PAGE_SIZE, busy);
	EXPECT_EQ(0, munmap(addr, 2 * GM_PAGE_SIZE));
	EXPECT_EQ(0, RUN(GNTTOP "-b; " GNTTOP "-b -g; " GNTCTL "leaks; " GNTCTL "limits"));
	for (line = strtok_r(self->out, "\n", &next); line; line = strtok_r(NULL, "\n", &next))
		gm_note("%s", line);
	EXPECT_EQ((ssize_t)GM_PAGE_SIZE, read(fds[0], page, GM_PAGE_SIZE));
	EXPECT_EQ(0, munmap(page_at(addr, 2), SIZE - 2 * GM_PAGE_SIZE));
	close(fds[0]);
	close(fds[1]);
}

TEST_HARNESS_MAIN
