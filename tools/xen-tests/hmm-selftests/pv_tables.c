// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device memory and the page tables of a Xen PV domain, through the kernel's test device:
 *
 *   h7  the page tables of removed memory are taken back from Xen before anybody else
 *       gets them
 *   h8  fork() while a device has pages for itself: the child gets a copy
 *
 * and, for the same reason as h8, swap entries that MADV_DONTNEED clears. On KERNEL=stock in a
 * PV domain all of them fail, and h7 ends in a panic.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gm_test.h"
#include "test_hmm_uapi.h"

#define TRACEFS "/sys/kernel/tracing"
/* Of its own: nobody else's tracing is disturbed. */
#define INSTANCE TRACEFS "/instances/gm-tables"

#define DEVICE "/dev/hmm_dmirror0"

/* The test device with all the memory it can have here; see load_test_hmm in gm-selftest. */
static int load(void)
{
	char words[2048], cmd[256] = "modprobe test_hmm", out[256];
	unsigned long spm = 0;
	const char *memmap;
	FILE *f;

	f = fopen("/proc/cmdline", "r");
	if (f && fgets(words, sizeof(words), f)) {
		memmap = strstr(words, "memmap=512M$");
		if (memmap)
			spm = strtoul(strchr(memmap, '$') + 1, NULL, 16);
	}
	if (f)
		fclose(f);
	if (spm)
		snprintf(cmd, sizeof(cmd),
			 "modprobe test_hmm spm_addr_dev0=%#lx spm_addr_dev1=%#lx",
			 spm, spm + (256UL << 20));
	return gm_run(out, sizeof(out), GM_TIMEOUT_MS, cmd);
}

static int unload(void)
{
	return syscall(SYS_delete_module, "test_hmm", 0);
}

static int echo(const char *path, const char *text)
{
	int fd, ret = -1;

	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		ret = write(fd, text, strlen(text)) < 0 ? -1 : 0;
		close(fd);
	}
	return ret;
}

/* -- h7 ------------------------------------------------------------------ */

#define MAX_TABLES 8192

enum state { GONE, ATTACHED, RELEASED };

struct table {
	unsigned long pfn;
	enum state state;
	bool by_load;
};

FIXTURE(removal) {
	struct table *tables;
	unsigned int nr;
	bool mounted;
};

FIXTURE_SETUP(removal)
{
	if (!gm_self_is_pv())
		SKIP(return, "not a PV domain: Xen has no part in its page tables");
	self->tables = calloc(MAX_TABLES, sizeof(*self->tables));
	ASSERT_NE(NULL, self->tables);
	if (access(TRACEFS "/events", F_OK)) {
		ASSERT_EQ(0, mount("none", TRACEFS, "tracefs", 0, NULL));
		self->mounted = true;
	}
	ASSERT_EQ(0, mkdir(INSTANCE, 0700)) TH_LOG("%s: %m", INSTANCE);
	ASSERT_EQ(0, echo(INSTANCE "/buffer_size_kb", "8192"));
	ASSERT_EQ(0, echo(INSTANCE "/events/xen/xen_mmu_alloc_ptpage/enable", "1"));
	ASSERT_EQ(0, echo(INSTANCE "/events/xen/xen_mmu_release_ptpage/enable", "1"));
	ASSERT_EQ(0, echo(INSTANCE "/events/kmem/mm_page_free/enable", "1"));
}

FIXTURE_TEARDOWN(removal)
{
	if (!self->tables)
		return;
	EXPECT_EQ(0, rmdir(INSTANCE));
	if (self->mounted)
		EXPECT_EQ(0, umount(TRACEFS));
	free(self->tables);
}

static struct table *find(struct table *tables, unsigned int nr, unsigned long pfn)
{
	for (unsigned int i = 0; i < nr; i++)
		if (tables[i].pfn == pfn)
			return &tables[i];
	return NULL;
}

/*
 * The life of every page table of this domain, as its kernel tells it: attached, released,
 * and only then free.
 */
TEST_F_TIMEOUT(removal, h7_tables_are_released_before_they_are_free, GM_TEST_S)
{
	unsigned int early = 0, kept = 0, released = 0;
	enum { BEFORE, LOADING, BETWEEN, UNLOADING } phase = BEFORE;
	char *line = NULL, *at;
	unsigned long pfn;
	struct table *t;
	size_t size = 0;
	FILE *trace;

	echo(INSTANCE "/trace_marker", "phase 1");
	ASSERT_EQ(0, load());
	echo(INSTANCE "/trace_marker", "phase 2");
	gm_sleep_ms(100);
	echo(INSTANCE "/trace_marker", "phase 3");
	ASSERT_EQ(0, unload()) TH_LOG("rmmod: %m");
	ASSERT_EQ(0, echo(INSTANCE "/tracing_on", "0"));

	trace = fopen(INSTANCE "/trace", "r");
	ASSERT_NE(NULL, trace);
	while (getline(&line, &size, trace) > 0) {
		at = strstr(line, "phase ");
		if (at)
			phase = atoi(at + strlen("phase "));
		at = strstr(line, "pfn");
		if (!at || *line == '#')
			continue;
		pfn = strtoul(at + strlen("pfn") + 1, NULL, 16);
		t = find(self->tables, self->nr, pfn);
		if (strstr(line, "xen_mmu_alloc_ptpage:")) {
			if (!t) {
				ASSERT_GT(MAX_TABLES, self->nr);
				t = &self->tables[self->nr++];
			}
			*t = (struct table){ pfn, ATTACHED, phase == LOADING };
		} else if (t && strstr(line, "xen_mmu_release_ptpage:")) {
			if (phase == UNLOADING && t->by_load && t->state == ATTACHED)
				released++;
			t->state = RELEASED;
		} else if (t && strstr(line, "mm_page_free:")) {
			if (t->state == ATTACHED && !early++)
				TH_LOG("free, and still a page table: pfn %#lx", pfn);
			t->state = GONE;
		}
	}
	fclose(trace);
	free(line);
	for (unsigned int i = 0; i < self->nr; i++)
		kept += self->tables[i].by_load && self->tables[i].state == RELEASED;
	gm_note("%u page tables; %u of them came with the module and went with it",
		self->nr, released);
	EXPECT_EQ(0, early) TH_LOG("%u were free before Xen was told", early);
	EXPECT_LT(0, released);
	EXPECT_EQ(0, kept) TH_LOG("%u were released and never free", kept);
}

/* What was freed is written to by somebody else: memory in use all around. */
TEST_F_TIMEOUT(removal, h7_removed_memory_is_usable, GM_LONG_TEST_S)
{
	const size_t size = 96UL << 20;
	char *mem;

	ASSERT_EQ(0, echo(INSTANCE "/tracing_on", "0"));
	for (int round = 0; round < 8; round++) {
		ASSERT_EQ(0, load());
		ASSERT_EQ(0, unload()) TH_LOG("rmmod: %m");
		mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		ASSERT_NE(MAP_FAILED, mem);
		for (size_t i = 0; i < size; i += GM_PAGE_SIZE)
			mem[i] = round;
		ASSERT_EQ(0, munmap(mem, size));
	}
}

/* -- h8 ------------------------------------------------------------------ */

#define PAGES 64UL

FIXTURE(exclusive) {
	int fd;
	uint64_t *mem, *mirror;
};

FIXTURE_SETUP(exclusive)
{
	self->fd = -1;
	ASSERT_EQ(0, load());
	self->fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd) TH_LOG("%s: %m", DEVICE);
	self->mem = mmap(NULL, PAGES * GM_PAGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	self->mirror = calloc(PAGES, GM_PAGE_SIZE);
	ASSERT_NE(NULL, self->mirror);
	gm_fill(self->mem, 1, 0, PAGES);
}

FIXTURE_TEARDOWN(exclusive)
{
	munmap(self->mem, PAGES * GM_PAGE_SIZE);
	free(self->mirror);
	close(self->fd);
	EXPECT_EQ(0, unload()) TH_LOG("rmmod: %m");
}

static int make_exclusive(int fd, uint64_t *mem, void *mirror, unsigned long page)
{
	struct hmm_dmirror_cmd cmd = {
		.addr = (uintptr_t)mem + page * GM_PAGE_SIZE,
		.ptr = (uintptr_t)mirror,
		.npages = 1,
	};

	return ioctl(fd, HMM_DMIRROR_EXCLUSIVE, &cmd);
}

/* What the child has: 0: a copy, as it should; 1: other data; 2: cannot be written */
static int look_and_write(uint64_t *mem)
{
	if (gm_check(mem, 1, 0, PAGES) >= 0)
		return 1;
	gm_fill(mem, 2, 0, PAGES);
	return gm_check(mem, 2, 0, PAGES) < 0 ? 0 : 2;
}

/* Every second page, so that restored entries and others take turns in fork(). */
TEST_F_TIMEOUT(exclusive, h8_child_of_fork_has_a_copy, GM_TEST_S)
{
	int status = 0;
	pid_t child;

	for (unsigned long page = 0; page < PAGES; page += 2)
		ASSERT_EQ(0, make_exclusive(self->fd, self->mem, self->mirror, page));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		/* A fault that never ends was seen here. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(GM_TEST_S / 4);
		_exit(look_and_write(self->mem));
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFEXITED(status)) TH_LOG("the child died: status %#x", status);
	EXPECT_EQ(0, WEXITSTATUS(status))
		TH_LOG("the child has other data than its parent had");
	EXPECT_GT(0, gm_check(self->mem, 1, 0, PAGES))
		TH_LOG("the parent sees what the child wrote");
	gm_fill(self->mem, 3, 0, PAGES);
	EXPECT_GT(0, gm_check(self->mem, 3, 0, PAGES));
}

/* -- userfaultfd's markers ------------------------------------------------- */

#define SWAP "/tmp/gm-swap"
#define MADV_NOW_PAGEOUT 21 /* MADV_PAGEOUT, which not every libc has */

FIXTURE(swapped) {
	int fd, kmsg;
	char *mem;
	bool swap;
};

FIXTURE_SETUP(swapped)
{
	char out[1024];

	if (!gm_self_is_pv())
		SKIP(return, "not a PV domain: it has no lazy MMU mode");
	self->mem = MAP_FAILED;
	self->kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ASSERT_LE(0, self->kmsg);
	ASSERT_LE(0, lseek(self->kmsg, 0, SEEK_END));
	/* The warning that is looked for is one that comes once. */
	ASSERT_EQ(0, echo("/sys/kernel/debug/clear_warn_once", "1"));
	ASSERT_EQ(0, gm_run(out, sizeof(out), GM_TIMEOUT_MS,
			    "dd if=/dev/zero of=" SWAP " bs=1M count=16 &&"
			    "losetup /dev/loop0 " SWAP " && mkswap /dev/loop0 &&"
			    "swapon /dev/loop0")) TH_LOG("%s", out);
	self->swap = true;
	self->fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ftruncate(self->fd, PAGES * GM_PAGE_SIZE));
	self->mem = mmap(NULL, PAGES * GM_PAGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE, self->fd, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
}

FIXTURE_TEARDOWN(swapped)
{
	char out[1024];

	if (self->mem == MAP_FAILED || !self->mem)
		return;
	munmap(self->mem, PAGES * GM_PAGE_SIZE);
	close(self->fd);
	close(self->kmsg);
	if (self->swap)
		EXPECT_EQ(0, gm_run(out, sizeof(out), GM_TIMEOUT_MS,
				    "swapoff /dev/loop0 && losetup -d /dev/loop0 &&"
				    "rm " SWAP)) TH_LOG("%s", out);
}

static unsigned long pages_in_swap(const char *mem)
{
	uint64_t entries[PAGES] = { 0 };
	unsigned long nr = 0;
	int fd;

	fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (pread(fd, entries, sizeof(entries),
			  (uintptr_t)mem / GM_PAGE_SIZE * sizeof(*entries)) < 0)
			nr = 0;
		close(fd);
	}
	for (unsigned long page = 0; page < PAGES; page++)
		nr += entries[page] >> 62 & 1;
	return nr;
}

TEST_F_TIMEOUT(swapped, cleared_entry_is_none_when_it_is_looked_at, GM_TEST_S)
{
	char text[2048];
	ssize_t n;

	for (unsigned long page = 0; page < PAGES; page++)
		self->mem[page * GM_PAGE_SIZE] = 1;
	/* The kernel may leave some for now. */
	ASSERT_TRUE(gm_wait(!madvise(self->mem, PAGES * GM_PAGE_SIZE, MADV_NOW_PAGEOUT) &&
			    pages_in_swap(self->mem), GM_TIMEOUT_MS));
	ASSERT_EQ(0, madvise(self->mem, PAGES * GM_PAGE_SIZE, MADV_DONTNEED));
	EXPECT_EQ(0, self->mem[0]);
	while ((n = read(self->kmsg, text, sizeof(text) - 1)) > 0) {
		text[n] = '\0';
		EXPECT_EQ(NULL, strstr(text, "WARNING:")) TH_LOG("%s", text);
	}
}

TEST_HARNESS_MAIN
