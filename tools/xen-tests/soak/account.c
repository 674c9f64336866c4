// SPDX-License-Identifier: GPL-2.0-only
/*
 * The account sees what is left behind: one thing of each sort is, on purpose, and the row that
 * is about it has to grow; when that is gone, nothing has.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/wait.h>

#include "../grants/dmabuf.h"
#include "../lifecycle/kinds.h"
#include "account.h"

#define GUEST		"soak-account"
#define MESSAGES	120
#define MESSAGE_SIZE	1500	/* in kmalloc-2k */
#define DISK_MIB	"6"

struct left {
	int fd, fd2;
	pid_t pid;
	struct gm_guest *agent;
	struct gm_grant grant;
};

static struct account base, now;

FIXTURE(account) {
	struct left left;
};

FIXTURE_VARIANT(account) {
	int row;		/* that has to grow; NR_ROWS: a cache */
	bool needs_guest;
	bool needs_gpu;
	bool (*leave)(struct left *left);
	bool (*take_away)(struct left *left);
};

static bool close_fd(struct left *left)
{
	return !close(left->fd);
}

static bool leave_file(struct left *left)
{
	left->fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return left->fd >= 0;
}

FIXTURE_VARIANT_ADD(account, open_file) {
	.row = ROW_FILES, .leave = leave_file, .take_away = close_fd,
};

FIXTURE_VARIANT_ADD(account, descriptor) {
	.row = ROW_DESCRIPTORS, .leave = leave_file, .take_away = close_fd,
};

static bool leave_process(struct left *left)
{
	left->pid = fork();
	if (!left->pid) {
		pause();
		_exit(0);
	}
	return left->pid > 0;
}

static bool end_process(struct left *left)
{
	return !kill(left->pid, SIGKILL) && waitpid(left->pid, NULL, 0) == left->pid;
}

FIXTURE_VARIANT_ADD(account, process) {
	.row = ROW_PROCESSES, .leave = leave_process, .take_away = end_process,
};

/* Kernel memory, and nothing else: messages that nobody takes out of a queue */
static bool leave_messages(struct left *left)
{
	struct {
		long type;
		char text[MESSAGE_SIZE];
	} message = { .type = 1 };

	gm_write_file("/proc/sys/kernel/msgmnb", "1000000");
	left->fd = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
	for (int i = 0; i < MESSAGES; i++)
		if (msgsnd(left->fd, &message, MESSAGE_SIZE, IPC_NOWAIT))
			return false;
	return left->fd >= 0;
}

static bool remove_messages(struct left *left)
{
	return !msgctl(left->fd, IPC_RMID, NULL);
}

FIXTURE_VARIANT_ADD(account, kmalloc) {
	.row = NR_ROWS, .leave = leave_messages, .take_away = remove_messages,
};

/* Pages of a driver: those of a disk in memory */
static bool leave_pages(struct left *left)
{
	(void)left;
	return !gm_run(NULL, 0, GM_TIMEOUT_MS,
		       "modprobe brd rd_nr=1 rd_size=16384 && "
		       "dd if=/dev/urandom of=/dev/ram0 bs=1M conv=fsync count=" DISK_MIB);
}

static bool remove_pages(struct left *left)
{
	(void)left;
	return !gm_run(NULL, 0, GM_TIMEOUT_MS, "modprobe -r brd");
}

FIXTURE_VARIANT_ADD(account, pages) {
	.row = ROW_UNACCOUNTED, .leave = leave_pages, .take_away = remove_pages,
};

static bool leave_guest(struct left *left)
{
	static const struct dom pv = KIND_PV("soak-left", "");

	(void)left;
	return !dom_create_paused(&pv);
}

static bool destroy_guest(struct left *left)
{
	(void)left;
	return !dom_destroy("soak-left");
}

FIXTURE_VARIANT_ADD(account, domain) {
	.row = ROW_DOMAINS, .leave = leave_guest, .take_away = destroy_guest,
};

FIXTURE_VARIANT_ADD(account, memory_of_a_domain) {
	.row = ROW_HOST_USED, .leave = leave_guest, .take_away = destroy_guest,
};

/* The file is closed, the mapping stays: what a backend forgets most easily */
static bool leave_mapping(struct left *left)
{
	int fd = gm_gntdev_open();
	void *addr = gm_gntdev_map(fd, &left->grant, PROT_READ, NULL);

	left->fd2 = fd;
	close(fd);
	return addr != MAP_FAILED;
}

/* The process that has it ends. */
static bool leave_mapper(struct left *left)
{
	int ready[2];
	char c;

	if (pipe2(ready, O_CLOEXEC))
		return false;
	left->pid = fork();
	if (!left->pid) {
		if (!leave_mapping(left) || write(ready[1], "r", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	c = read(ready[0], &c, 1) == 1;
	close(ready[0]);
	return c;
}

FIXTURE_VARIANT_ADD(account, map) {
	.row = ROW_MAPS, .needs_guest = true, .leave = leave_mapper, .take_away = end_process,
};

FIXTURE_VARIANT_ADD(account, handles) {
	.row = ROW_HANDLES, .needs_guest = true, .leave = leave_mapper, .take_away = end_process,
};

static bool leave_dmabuf(struct left *left)
{
	int gntdev = gm_gntdev_open();

	left->fd = dmabuf_export(gntdev, &left->grant, left->grant.count, 0);
	close(gntdev);
	return left->fd >= 0;
}

FIXTURE_VARIANT_ADD(account, dmabuf) {
	.row = ROW_DMABUFS, .needs_guest = true, .leave = leave_dmabuf, .take_away = close_fd,
};

static bool leave_gpu_file(struct left *left)
{
	left->fd = open(GPU_0, O_RDWR | O_CLOEXEC);
	return left->fd >= 0;
}

FIXTURE_VARIANT_ADD(account, gpu_file) {
	.row = ROW_GPU_FILES, .needs_gpu = true, .leave = leave_gpu_file, .take_away = close_fd,
};

FIXTURE_VARIANT_ADD(account, gpu_context) {
	.row = ROW_GPU_CONTEXT, .needs_gpu = true, .leave = leave_gpu_file, .take_away = close_fd,
};

FIXTURE_SETUP(account)
{
	static const struct dom pv = KIND_PV(GUEST, "");

	if (variant->needs_gpu && !gpu_load(GPU_0))
		SKIP(return, "no GPU in this lab");
	if (!variant->needs_guest)
		return;
	ASSERT_EQ(0, dom_ensure(&pv)) WHY();
	self->left.agent = gm_guest_open(dom_find(GUEST));
	ASSERT_NE(NULL, self->left.agent);
	ASSERT_EQ(0, gm_guest_grant(self->left.agent, &self->left.grant, PAGES, true, SEED));
}

FIXTURE_TEARDOWN(account)
{
	if (self->left.agent)
		EXPECT_EQ(0, gm_guest_revoke(self->left.agent, &self->left.grant));
	gm_guest_close(self->left.agent);
}

static bool row_grew(int row)
{
	bool grew = false;

	if (row < NR_ROWS)
		return account_row_grew(&base, &now, row);
	for (unsigned int i = 0; i < now.nr_caches; i++)
		grew |= account_cache_grew(&base, &now.cache[i]);
	return grew;
}

TEST_F_TIMEOUT(account, what_is_left_is_seen, TEST_S)
{
	/* The first time loads modules, and whatever else stays. */
	ASSERT_TRUE(variant->leave(&self->left)) WHY();
	ASSERT_TRUE(variant->take_away(&self->left)) WHY();
	account_base(&base);

	ASSERT_TRUE(variant->leave(&self->left)) WHY();
	account_read(&now);
	EXPECT_TRUE(row_grew(variant->row)) account_print(&base, &now);

	ASSERT_TRUE(variant->take_away(&self->left)) WHY();
	if (account_compare(&base, &now)) {
		EXPECT_EQ(0, account_grown(&base, &now));
		account_print(&base, &now);
	}
}

static void clean_up(void)
{
	dom_destroy(GUEST);
	dom_destroy("soak-left");
}

int main(int argc, char **argv)
{
	atexit(clean_up);
	return test_harness_run(argc, argv);
}
