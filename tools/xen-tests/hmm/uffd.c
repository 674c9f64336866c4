// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that a handler in user space provides (h3_: row H3 of the list of the stock
 * code's defects: a call under the mmap lock cannot wait for such a handler, and fails).
 */
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "hmm.h"

#define PAGES	16U
#define SIZE	(PAGES * GM_PAGE_SIZE)

/* What the handler puts into page @n, first word */
#define PROVIDED(n) (0x5eed000000ULL + (n))

enum { ANSWER, ANSWER_LATE, LOSE_THE_OTHER };

FIXTURE(uffd) {
	int fd;
	int uffd;
	char *area;
	char *buffer;
	pthread_t handler;
	bool handled;
	int how_to_answer;
	atomic_bool stop;
	atomic_uint missing;
	atomic_uint protected;
};

static int uffd_new(void)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int uffd_register(int uffd, void *addr, size_t size, __u64 mode)
{
	struct uffdio_register reg = {
		.range = { (uintptr_t)addr, size },
		.mode = mode,
	};

	return ioctl(uffd, UFFDIO_REGISTER, &reg) ? -errno : 0;
}

static int uffd_protect(int uffd, void *addr, size_t size, bool on)
{
	struct uffdio_writeprotect wp = {
		.range = { (uintptr_t)addr, size },
		.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	return ioctl(uffd, UFFDIO_WRITEPROTECT, &wp) ? -errno : 0;
}

static void provide(struct _test_data_uffd *self, uintptr_t addr)
{
	unsigned int n = (addr - (uintptr_t)self->area) / GM_PAGE_SIZE;
	struct uffdio_copy copy = {
		.dst = addr,
		.src = (uintptr_t)self->buffer,
		.len = GM_PAGE_SIZE,
	};

	memset(self->buffer, 0, GM_PAGE_SIZE);
	*(uint64_t *)self->buffer = PROVIDED(n);
	self->missing++;
	if (self->how_to_answer == ANSWER_LATE)
		gm_sleep_ms(200);
	/* Page 1 goes before page 0 comes, and the other way round: it never ends. */
	if (self->how_to_answer == LOSE_THE_OTHER)
		madvise(self->area + (n ^ 1) * GM_PAGE_SIZE, GM_PAGE_SIZE, MADV_DONTNEED);
	ioctl(self->uffd, UFFDIO_COPY, &copy);
}

static void *handler_main(void *data)
{
	struct _test_data_uffd *self = data;
	struct pollfd p = { .fd = self->uffd, .events = POLLIN };
	struct uffd_msg msg;
	uintptr_t addr;

	while (!self->stop) {
		if (poll(&p, 1, 50) <= 0 || read(self->uffd, &msg, sizeof(msg)) != sizeof(msg) ||
		    msg.event != UFFD_EVENT_PAGEFAULT)
			continue;
		addr = msg.arg.pagefault.address & ~(GM_PAGE_SIZE - 1);
		if (msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) {
			self->protected++;
			if (self->how_to_answer == ANSWER_LATE)
				gm_sleep_ms(200);
			uffd_protect(self->uffd, (void *)addr, GM_PAGE_SIZE, false);
		} else {
			provide(self, addr);
		}
	}
	return NULL;
}

FIXTURE_SETUP(uffd)
{
	self->fd = hmm_open(_metadata);
	self->uffd = uffd_new();
	ASSERT_LE(0, self->uffd) TH_LOG("userfaultfd: %s", strerror(errno));
	self->area = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->area);
	self->buffer = aligned_alloc(GM_PAGE_SIZE, GM_PAGE_SIZE);
	ASSERT_NE(NULL, self->buffer);
}

FIXTURE_TEARDOWN(uffd)
{
	self->stop = true;
	if (self->handled)
		pthread_join(self->handler, NULL);
	close(self->uffd);
	free(self->buffer);
	hmm_close(_metadata, self->fd);
}

static void handle(HMM_META, struct _test_data_uffd *self, __u64 mode, int how)
{
	ASSERT_EQ(0, uffd_register(self->uffd, self->area, SIZE, mode));
	self->how_to_answer = how;
	ASSERT_EQ(0, pthread_create(&self->handler, NULL, handler_main, self));
	self->handled = true;
}

#define WORD(n) ((uint64_t *)(self->area + (n) * GM_PAGE_SIZE))

/* ---- missing pages ---- */

TEST_F_TIMEOUT(uffd, snapshot_asks_nobody, GM_TEST_S)
{
	struct gm_hmm_entry entries[PAGES] = { };

	handle(_metadata, self, UFFDIO_REGISTER_MODE_MISSING, ANSWER);
	ASSERT_EQ(0, hmm_take(self->fd, self->area, PAGES, hmm_how(self->fd), 0, entries));
	for (unsigned int n = 0; n < PAGES; n++)
		EXPECT_EQ(0, entries[n].flags);
	EXPECT_EQ(0, self->missing);
}

TEST_F_TIMEOUT(uffd, h3_missing_page_is_provided, GM_TEST_S)
{
	uint64_t value = 0;

	handle(_metadata, self, UFFDIO_REGISTER_MODE_MISSING, ANSWER);
	for (unsigned int n = 0; n < PAGES; n++) {
		ASSERT_EQ(0, hmm_read(self->fd, WORD(n), &value));
		EXPECT_EQ(PROVIDED(n), value);
		ASSERT_EQ(0, hmm_write(self->fd, WORD(n), 1000 + n));
		EXPECT_EQ(1000 + n, *WORD(n));
	}
	EXPECT_EQ(PAGES, self->missing);
}

TEST_F_TIMEOUT(uffd, h3_many_missing_pages_in_one_call, GM_TEST_S)
{
	struct gm_hmm_entry entries[PAGES] = { };
	uint64_t value = 0;

	handle(_metadata, self, UFFDIO_REGISTER_MODE_MISSING, ANSWER);
	ASSERT_EQ(0, hmm_take(self->fd, self->area, PAGES, hmm_how(self->fd), ASK_WRITE, entries));
	EXPECT_EQ(PAGES, self->missing);
	for (unsigned int n = 0; n < PAGES; n++) {
		EXPECT_EQ(ASK_WRITE, entries[n].flags);
		EXPECT_EQ(0, hmm_read(self->fd, WORD(n), &value));
		EXPECT_EQ(PROVIDED(n), value);
	}
}

TEST_F_TIMEOUT(uffd, h3_handler_is_late, GM_TEST_S)
{
	struct gm_hmm_entry entries[PAGES] = { };

	handle(_metadata, self, UFFDIO_REGISTER_MODE_MISSING, ANSWER_LATE);
	ASSERT_EQ(0, hmm_take(self->fd, self->area, 4, hmm_how(self->fd), ASK_READ, entries));
	for (unsigned int n = 0; n < 4; n++)
		EXPECT_EQ(PROVIDED(n), *WORD(n));
	EXPECT_EQ(4, self->missing);
}

/* ---- write-protected pages ---- */

TEST_F_TIMEOUT(uffd, protected_page_is_read_only, GM_TEST_S)
{
	struct gm_hmm_entry entries[PAGES] = { };

	memset(self->area, 1, SIZE);
	handle(_metadata, self, UFFDIO_REGISTER_MODE_WP, ANSWER);
	ASSERT_EQ(0, uffd_protect(self->uffd, self->area + GM_PAGE_SIZE, GM_PAGE_SIZE, true));
	ASSERT_EQ(0, hmm_take(self->fd, self->area, PAGES, GM_HMM_LOOP, ASK_READ, entries));
	for (unsigned int n = 0; n < PAGES; n++)
		EXPECT_EQ(n == 1 ? ASK_READ : ASK_WRITE, entries[n].flags);
	EXPECT_EQ(0, self->protected);
}

static void write_protected(HMM_META, struct _test_data_uffd *self, int how)
{
	struct gm_hmm_entry entries[PAGES] = { };

	memset(self->area, 1, SIZE);
	handle(_metadata, self, UFFDIO_REGISTER_MODE_WP, how);
	ASSERT_EQ(0, uffd_protect(self->uffd, self->area, 4 * GM_PAGE_SIZE, true));
	ASSERT_EQ(0, hmm_take(self->fd, self->area, PAGES, hmm_how(self->fd), ASK_WRITE, entries));
	EXPECT_EQ(4, self->protected);
	for (unsigned int n = 0; n < PAGES; n++) {
		EXPECT_EQ(ASK_WRITE, entries[n].flags);
		EXPECT_EQ(0, hmm_write(self->fd, WORD(n), 2000 + n));
		EXPECT_EQ(2000 + n, *WORD(n));
	}
}

TEST_F_TIMEOUT(uffd, h3_protected_page_is_released, GM_TEST_S)
{
	write_protected(_metadata, self, ANSWER);
}

TEST_F_TIMEOUT(uffd, h3_protected_page_is_released_late, GM_TEST_S)
{
	write_protected(_metadata, self, ANSWER_LATE);
}

/* ---- limits ---- */

/* Each page that comes takes another away: without a limit that would go on for ever. */
TEST_F_TIMEOUT(uffd, h3_time_limit_ends_it, GM_TEST_S)
{
	struct gm_hmm_entry entries[2] = { };
	struct gm_hmm_take arg = {
		.start = (uintptr_t)self->area,
		.pages = 2,
		.entries = (uintptr_t)entries,
		.how = GM_HMM_UNLOCKED,
		.timeout_ms = 300,
		.request = ASK_READ,
	};

	if (!hmm_has_unlocked(self->fd))
		SKIP(return, "this kernel has no call with a time limit");
	handle(_metadata, self, UFFDIO_REGISTER_MODE_MISSING, LOSE_THE_OTHER);
	EXPECT_EQ(-EBUSY, hmm_ioctl(self->fd, GM_HMM_TAKE, &arg));
	EXPECT_LT(2, self->missing);
}

static char task_state(pid_t pid)
{
	char path[64], line[256] = "", *p;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	p = fgets(line, sizeof(line), f);
	fclose(f);
	p = p ? strrchr(line, ')') : NULL;
	return p && p[1] ? p[2] : 0;
}

/*
 * A child whose memory nobody provides: it binds device @fd, says so by a byte, and asks
 * for a page itself if @ask. Ends only by a signal.
 */
static pid_t child_without_handler(int fd, char *area, bool ask, int ready)
{
	pid_t pid = fork();
	uint64_t value = 0;
	int uffd, ret;

	if (pid)
		return pid;
	uffd = uffd_new();
	ret = uffd < 0 ? -1 : uffd_register(uffd, area, SIZE, UFFDIO_REGISTER_MODE_MISSING);
	if (ret || hmm_ioctl(fd, GM_HMM_BIND, NULL) || write(ready, "r", 1) != 1)
		_exit(1);
	if (ask)
		_exit(hmm_read(fd, area, &value) ? 2 : 3);
	for (;;)
		pause();
}

TEST_F_TIMEOUT(uffd, h3_killed_while_nobody_answers, GM_TEST_S)
{
	int fd = hmm_open_unbound(_metadata), ready[2], status = 0;
	char c;
	pid_t pid;

	ASSERT_EQ(0, pipe(ready));
	pid = child_without_handler(fd, self->area, true, ready[1]);
	ASSERT_LT(0, pid);
	ASSERT_EQ(1, read(ready[0], &c, 1));
	/* It sleeps in the request, or has ended if that has failed. */
	EXPECT_TRUE(gm_wait(task_state(pid) != 'R', SOON_MS));
	gm_sleep_ms(100);
	EXPECT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status))
		TH_LOG("the request did not wait: the child ended with %d", WEXITSTATUS(status));
	EXPECT_TRUE(gm_wait(!hmm_ioctl(fd, GM_HMM_USERS, NULL), SOON_MS))
		TH_LOG("the address space is still used: %d", hmm_ioctl(fd, GM_HMM_USERS, NULL));
	close(fd);
}

struct request {
	int fd;
	char *addr;
	int ret;
	atomic_bool returned;
};

static void *request_main(void *data)
{
	struct request *r = data;
	uint64_t value = 0;

	r->ret = hmm_read(r->fd, r->addr, &value);
	r->returned = true;
	return NULL;
}

/* The process whose memory it is goes, in the middle of somebody else's request. */
TEST_F_TIMEOUT(uffd, process_exits_in_the_middle_of_a_fault, GM_TEST_S)
{
	struct request r = { .fd = hmm_open_unbound(_metadata), .addr = self->area };
	int ready[2], status;
	pthread_t thread;
	uint64_t value = 0;
	char c;
	pid_t pid;

	ASSERT_EQ(0, pipe(ready));
	pid = child_without_handler(r.fd, self->area, false, ready[1]);
	ASSERT_LT(0, pid);
	ASSERT_EQ(1, read(ready[0], &c, 1));
	ASSERT_EQ(0, pthread_create(&thread, NULL, request_main, &r));
	gm_sleep_ms(200);
	if (hmm_has_unlocked(r.fd))
		EXPECT_FALSE(r.returned);
	EXPECT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(gm_wait(r.returned, SOON_MS));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	gm_note("the request returned %d", r.ret);
	EXPECT_TRUE(r.ret == 0 || r.ret == -EFAULT || r.ret == -ESRCH);
	EXPECT_TRUE(gm_wait(!hmm_ioctl(r.fd, GM_HMM_USERS, NULL), SOON_MS))
		TH_LOG("the address space is still used");
	EXPECT_EQ(-ESRCH, hmm_read(r.fd, self->area, &value));
	close(r.fd);
}

TEST_HARNESS_MAIN
