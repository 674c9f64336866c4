// SPDX-License-Identifier: GPL-2.0-only
/*
 * The one-liners of Documentation/observing.md, each as it is there (ramdisk.sh takes them out of
 * it): bpftrace has to take it, and to print what this test has done meanwhile. Skipped where
 * there is no bpftrace, or a kernel that takes no program of BPF: FLAVOR=bpf has both.
 */
#include <dirent.h>
#include <linux/bpf.h>
#include <signal.h>
#include <sys/syscall.h>

#include "../grants/observe.h"

#define SEED	0xbfULL
#define PAGES	4U
#define SIZE	(PAGES * GM_PAGE_SIZE)
#define DIR_OF_LINES	"/gm/bpftrace"
#define OUTPUT	"/tmp/bpftrace.out"
#define GNTCTL	"/gm/bin/gntctl "

/* No guest of a lab has so many. */
#define NO_REF	1048575U

/* Compiling a program of three lines, with an emulated processor */
#define COMPILE_MS	60000

/* bpftrace says that it attaches before it does: what is to be seen is done again and again. */
#define WORK_MS		5000

FIXTURE(oneliners) {
	struct granter gr;
	struct gm_grant *grant;
	char line[2048];
	char out[16384];
	pid_t pid;
	int fd;
};

FIXTURE_SETUP(oneliners)
{
	union bpf_attr attr = { 0 };

	self->fd = -1;
	self->pid = 0;
	if (access("/usr/bin/bpftrace", X_OK))
		SKIP(return, "no bpftrace here");
	if (syscall(__NR_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)) < 0 && errno == ENOSYS)
		SKIP(return, "the kernel takes no program of BPF (FLAVOR=bpf does)");
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, PAGES, true, SEED);
	debugfs_mount();
	self->fd = gm_gntdev_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(oneliners)
{
	if (self->pid > 0) {
		kill(self->pid, SIGKILL);
		waitpid(self->pid, NULL, 0);
	}
	if (self->fd < 0)
		return;
	close(self->fd);
	granter_teardown(_metadata, &self->gr);
}

/* Whole files are short; what does not fit is cut off. */
static void slurp(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? 0 : read(fd, text, size - 1);

	text[len > 0 ? len : 0] = '\0';
	if (fd >= 0)
		close(fd);
}

/* The command under the comment that begins with @title, in @line. How many there are in all. */
static int find_line(const char *title, char *line, size_t size)
{
	DIR *dir = opendir(DIR_OF_LINES);
	char path[300], text[2048], *end;
	struct dirent *entry;
	int n = 0;

	line[0] = '\0';
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		n++;
		snprintf(path, sizeof(path), DIR_OF_LINES "/%s", entry->d_name);
		slurp(path, text, sizeof(text));
		end = strchr(text, '\n');
		if (end && !strncmp(text, "# ", 2) && !strncmp(text + 2, title, strlen(title)))
			snprintf(line, size, "exec %s", end + 1);
	}
	if (dir)
		closedir(dir);
	return n;
}

static bool says(char *out, size_t size, const char *what)
{
	slurp(OUTPUT, out, size);
	return strstr(out, what);
}

/* A sh that becomes bpftrace, as exec is what the line begins with. */
static pid_t start(const char *line)
{
	int fd = open(OUTPUT, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	pid_t pid = fork();

	if (pid) {
		close(fd);
		return pid;
	}
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	signal(SIGINT, SIG_DFL);
	execl("/bin/sh", "sh", "-c", line, NULL);
	_exit(127);
}

/*
 * Ends it as Ctrl-C does. One signal may come before it waits for any; one that comes while it
 * prints kills it: so a second only if the first was lost.
 */
static bool end(pid_t pid)
{
	for (int i = 0; i < 3; i++) {
		kill(pid, SIGINT);
		if (gm_wait(waitpid(pid, NULL, WNOHANG) == pid, LATER_MS))
			return true;
	}
	return false;
}

/*
 * Runs the one-liner @title, does @work for a while, and ends bpftrace, whereupon it
 * prints. What it has printed is in self->out.
 */
#define OBSERVE(title, work) do {					\
	ASSERT_LT(0, find_line(title, self->line, sizeof(self->line)));	\
	ASSERT_NE('\0', self->line[0])					\
		TH_LOG("observing.md has no one-liner \"" title "\"");	\
	self->pid = start(self->line);					\
	ASSERT_LT(0, self->pid);					\
	EXPECT_TRUE(gm_wait(says(self->out, sizeof(self->out), "Attaching") ||	\
			    waitpid(self->pid, NULL, WNOHANG), COMPILE_MS));	\
	ASSERT_EQ(0, kill(self->pid, 0)) {				\
		TH_LOG("bpftrace does not take \"" title "\": %s", self->out);	\
		self->pid = 0;						\
	}								\
	gm_wait(({ work; false; }), WORK_MS);				\
	ASSERT_TRUE(end(self->pid))					\
		TH_LOG("bpftrace does not end \"" title "\"");		\
	self->pid = 0;							\
	slurp(OUTPUT, self->out, sizeof(self->out));			\
} while (0)

/* It has printed "@want: N", and N is no nought. */
#define EXPECT_COUNT(...) do {						\
	char __want[96], *__hit;					\
									\
	snprintf(__want, sizeof(__want), __VA_ARGS__);			\
	__hit = strstr(self->out, __want);				\
	EXPECT_NE(NULL, __hit) TH_LOG("\"%s\" is not in: %s", __want, self->out);	\
	EXPECT_LT(0, __hit ? atol(__hit + strlen(__want)) : 1)		\
		TH_LOG("%s", self->out);				\
} while (0)

/* It has printed a histogram of that name, with something in it. */
#define EXPECT_HISTOGRAM(name) do {					\
	char *__hit = strstr(self->out, name ":");			\
									\
	EXPECT_TRUE(__hit && strstr(__hit, "|@")) TH_LOG("%s", self->out);	\
} while (0)

static void map_and_unmap(int fd, const struct gm_grant *grant)
{
	int64_t index;
	void *addr = gm_gntdev_map(fd, grant, PROT_READ, &index);

	if (addr == MAP_FAILED)
		return;
	munmap(addr, SIZE);
	gm_gntdev_unmap_ref(fd, index, grant->count);
}

/* A page of it is in a pipe when it is unmapped, and for 20 ms more. */
static void unmap_while_busy(int fd, const struct gm_grant *grant)
{
	char page[GM_PAGE_SIZE];
	int64_t index;
	int fds[2];
	void *addr;

	if (pipe(fds))
		return;
	addr = gm_gntdev_map(fd, grant, PROT_READ, &index);
	if (addr != MAP_FAILED) {
		if (make_busy(fds[1], addr, 1) == (ssize_t)GM_PAGE_SIZE) {
			munmap(addr, SIZE);
			usleep(20000);
			(void)!read(fds[0], page, sizeof(page));
		} else {
			munmap(addr, SIZE);
		}
		gm_gntdev_unmap_ref(fd, index, grant->count);
	}
	close(fds[0]);
	close(fds[1]);
}

/* The lines of the page are those of this program, all of them. */
TEST_F_TIMEOUT(oneliners, all_of_them_are_tried, 2 * GM_TEST_S)
{
	EXPECT_EQ(6, find_line("", self->line, sizeof(self->line)));
}

TEST_F_TIMEOUT(oneliners, grants_mapped, 2 * GM_TEST_S)
{
	OBSERVE("grants mapped", map_and_unmap(self->fd, self->grant));
	/* Of a PV domain's mmap() the kernel's side has no part. */
	EXPECT_COUNT("@[oneliners, %u, 1]: ", self->gr.domid);
}

TEST_F_TIMEOUT(oneliners, what_xen_refuses, 2 * GM_TEST_S)
{
	struct gm_grant wrong = *self->grant;
	uint32_t refs[PAGES] = { NO_REF, NO_REF, NO_REF, NO_REF };

	wrong.refs = refs;
	OBSERVE("what Xen refuses", map_and_unmap(self->fd, &wrong));
	EXPECT_COUNT("@[oneliners, %u, %d, 0]: ", self->gr.domid, GNTST_bad_gntref);
}

TEST_F_TIMEOUT(oneliners, how_long_pages_wait, 2 * GM_TEST_S)
{
	OBSERVE("how long busy pages wait", unmap_while_busy(self->fd, self->grant));
	EXPECT_HISTOGRAM("@us");
}

TEST_F_TIMEOUT(oneliners, who_unmaps_while_busy, 2 * GM_TEST_S)
{
	OBSERVE("who unmaps", unmap_while_busy(self->fd, self->grant));
	EXPECT_NE(NULL, strstr(self->out, "@[oneliners, ")) TH_LOG("%s", self->out);
	EXPECT_NE(NULL, strstr(self->out, "gntdev_")) TH_LOG("%s", self->out);
}

TEST_F_TIMEOUT(oneliners, copies, 2 * GM_TEST_S)
{
	char good[64], bad[64];

	snprintf(good, sizeof(good), GNTCTL "copy %u %u >/dev/null", self->gr.domid,
		 self->grant->refs[0]);
	snprintf(bad, sizeof(bad), GNTCTL "copy %u %u", self->gr.domid, NO_REF);
	OBSERVE("operations of a copy", (gm_run(NULL, 0, GM_TIMEOUT_MS, good),
					 gm_run(NULL, 0, GM_TIMEOUT_MS, bad)));
	EXPECT_HISTOGRAM("@ops");
	EXPECT_COUNT("@failed: ");
}

TEST_F_TIMEOUT(oneliners, invalidations, 2 * GM_TEST_S)
{
	OBSERVE("PTEs that invalidations take away", map_and_unmap(self->fd, self->grant));
	/* MMU_NOTIFY_UNMAP */
	EXPECT_COUNT("@[oneliners, 0]: ");
}

TEST_HARNESS_MAIN
