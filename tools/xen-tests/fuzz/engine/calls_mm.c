// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls of all targets: what a process can do with its memory, and with that of a device as
 * soon as that is in the arena.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz.h"

#ifndef MADV_COLD
#define MADV_COLD		20
#define MADV_PAGEOUT		21
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED	24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE	101
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP	4
#endif

#define VALUE(prefix, name)	{ #name, prefix ## name }

_Atomic int fz_fds[FZ_FDS] = { -1, -1, -1, -1 };
static _Atomic int pipes[2] = { -1, -1 };

/* Whole maps, parts of them, and what lies across the borders of page tables */
const struct fz_value fz_places[] = {
	{ "p0", 0 }, { "p8", 8 }, { "p16", 16 }, { "p24", 24 }, { "p40", 40 }, { "p508", 508 },
	{ "p512", 512 }, { "p1020", 1020 }, { "p1024", 1024 }, { "last", ARENA_PAGES - 1 }, { },
};

const struct fz_value fz_lengths[] = {
	{ "one", 1 }, { "two", 2 }, { "eight", 8 }, { "forty", 40 }, { "huge", 512 },
	{ "all", ARENA_PAGES }, { },
};

const struct fz_value fz_prots[] = {
	{ "none", 0 }, { "read", PROT_READ }, { "read|write", PROT_READ | PROT_WRITE },
	{ "write", PROT_WRITE }, { "exec", PROT_EXEC }, { },
};

static const struct fz_value map_flags[] = {
	{ "private", MAP_PRIVATE }, { "shared", MAP_SHARED }, { },
};

static const struct fz_value advices[] = {
	{ "normal", MADV_NORMAL },
	{ "willneed", MADV_WILLNEED },
	{ "dontneed", MADV_DONTNEED },
	{ "free", MADV_FREE },
	{ "remove", MADV_REMOVE },
	{ "dontfork", MADV_DONTFORK },
	{ "dofork", MADV_DOFORK },
	{ "mergeable", MADV_MERGEABLE },
	{ "unmergeable", MADV_UNMERGEABLE },
	{ "hugepage", MADV_HUGEPAGE },
	{ "nohugepage", MADV_NOHUGEPAGE },
	{ "dontdump", MADV_DONTDUMP },
	{ "dodump", MADV_DODUMP },
	{ "wipeonfork", MADV_WIPEONFORK },
	{ "keeponfork", MADV_KEEPONFORK },
	{ "cold", MADV_COLD },
	{ "pageout", MADV_PAGEOUT },
	{ "populate_read", MADV_POPULATE_READ },
	{ "populate_write", MADV_POPULATE_WRITE },
	{ "dontneed_locked", MADV_DONTNEED_LOCKED },
	{ "collapse", MADV_COLLAPSE },
	{ },
};

static const struct fz_value remap_flags[] = { { "dontunmap", MREMAP_DONTUNMAP }, { } };
static const struct fz_value nth_values[] = { { "off", 0 }, { } };
static const struct fz_value accesses[] = { { "read", 0 }, { "write", 1 }, { } };

enum { CHILD_EXIT, CHILD_TOUCH, CHILD_UNMAP, CHILD_EXEC, CHILD_STAY };

static const struct fz_value children[] = {
	{ "exit", CHILD_EXIT }, { "touch", CHILD_TOUCH }, { "munmap", CHILD_UNMAP },
	{ "exec", CHILD_EXEC }, { "stay", CHILD_STAY }, { },
};

long fz_fd_put(_Atomic int *slot, int fd)
{
	int old = atomic_exchange(slot, fd);

	if (old >= 0)
		close(old);
	return fd;
}

static long call_mmap(const uint64_t *a)
{
	void *p = mmap(fz_at(a[0]), fz_len(a[0], a[1]), a[2], MAP_FIXED | MAP_ANONYMOUS |
		       MAP_NORESERVE | (a[3] ? (int)a[3] & 3 : MAP_PRIVATE), -1, 0);

	return p == MAP_FAILED ? -errno : 0;
}

/* A memfd, which has no more pages than that */
static long call_memfd(const uint64_t *a)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && ftruncate(fd, (off_t)(a[1] % 1024) * GM_PAGE_SIZE))
		fz_disarm();
	return fz_fd_put(&fz_fds[a[0] % FZ_FDS], fd);
}

/* Any descriptor that there is: a memfd, a dma-buf */
static long call_mmap_fd(const uint64_t *a)
{
	void *p = mmap(fz_at(a[1]), fz_len(a[1], a[2]), a[3], MAP_FIXED | (a[4] & 3),
		       fz_fds[a[0] % FZ_FDS], (off_t)(a[5] % 1024) * GM_PAGE_SIZE);

	return p == MAP_FAILED ? -errno : 0;
}

static long call_close_fd(const uint64_t *a)
{
	return fz_fd_put(&fz_fds[a[0] % FZ_FDS], -1);
}

static long call_punch_hole(const uint64_t *a)
{
	return fallocate(fz_fds[a[0] % FZ_FDS], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 (off_t)(a[1] % 1024) * GM_PAGE_SIZE,
			 (off_t)(1 + a[2] % 64) * GM_PAGE_SIZE);
}

static long call_munmap(const uint64_t *a)
{
	return munmap(fz_at(a[0]), fz_len(a[0], a[1]));
}

/* To a place in the arena, and never beyond its end */
static long call_mremap(const uint64_t *a)
{
	size_t old = fz_len(a[0], a[1]), new = fz_len(a[2], a[3] ?: a[1]);
	void *p = mremap(fz_at(a[0]), old, a[4] & MREMAP_DONTUNMAP ? old : new,
			 MREMAP_MAYMOVE | MREMAP_FIXED | (a[4] & MREMAP_DONTUNMAP),
			 fz_at(a[4] & MREMAP_DONTUNMAP && old > new ? 0 : a[2]));

	return p == MAP_FAILED ? -errno : 0;
}

static long call_mprotect(const uint64_t *a)
{
	return mprotect(fz_at(a[0]), fz_len(a[0], a[1]), a[2] & 7);
}

static long call_madvise(const uint64_t *a)
{
	/* Poisoned memory stays so until the next boot. */
	if (a[2] == MADV_HWPOISON || a[2] == MADV_SOFT_OFFLINE)
		return 0;
	return madvise(fz_at(a[0]), fz_len(a[0], a[1]), a[2]);
}

static long call_mlock(const uint64_t *a)
{
	return mlock(fz_at(a[0]), fz_len(a[0], a[1]));
}

static long call_munlock(const uint64_t *a)
{
	return munlock(fz_at(a[0]), fz_len(a[0], a[1]));
}

static void touch(uint64_t at, uint64_t pages, bool write)
{
	size_t len = fz_len(at, pages);
	volatile char *p = fz_at(at);

	for (size_t i = 0; i < len; i += GM_PAGE_SIZE) {
		char c = p[i];

		if (write)
			p[i] = c + 1;
	}
}

static long call_touch(const uint64_t *a)
{
	touch(a[0], a[1], a[2] & 1);
	return 0;
}

static void end_child(int sig)
{
	_exit(128 + sig);
}

/* No more of libc than may be used after fork() in a process with threads */
static void be_child(const uint64_t *a)
{
	signal(SIGSEGV, end_child);
	signal(SIGBUS, end_child);
	switch (a[0]) {
	case CHILD_TOUCH:
		touch(a[1], a[2], true);
		break;
	case CHILD_UNMAP:
		munmap(fz_at(a[1]), fz_len(a[1], a[2]));
		break;
	case CHILD_EXEC:
		execl("/bin/busybox", "busybox", "true", NULL);
		break;
	case CHILD_STAY:
		usleep(5000);
		break;
	}
	_exit(0);
}

/* In a PV domain an allocation that fails in fork() is the end: see Documentation/lab.md. */
static long call_fork(const uint64_t *a)
{
	unsigned int nth = fz_disarm();
	int status;
	pid_t pid;

	pid = fork();
	if (!pid)
		be_child(a);
	fz_rearm(nth);
	if (pid > 0 && a[3] & 1)
		waitpid(pid, &status, 0);
	return pid > 0 ? 0 : pid;
}

static long call_exit(const uint64_t *a)
{
	(void)a;
	_exit(0);
}

static long write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	long ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, text, strlen(text));
	close(fd);
	return ret;
}

static long call_clear_refs(const uint64_t *a)
{
	char text[2] = { '1' + a[0] % 5 };

	return write_text("/proc/self/clear_refs", text);
}

static long call_compact(const uint64_t *a)
{
	(void)a;
	return write_text("/proc/sys/vm/compact_memory", "1");
}

/* Pages by reference in a pipe: they are in use for as long as they are there. */
static long call_vmsplice(const uint64_t *a)
{
	struct iovec iov = { fz_at(a[0]), fz_len(a[0], a[1]) };
	int fds[2];

	if (pipes[1] < 0) {
		if (pipe2(fds, O_CLOEXEC | O_NONBLOCK))
			return -errno;
		fz_fd_put(&pipes[0], fds[0]);
		fz_fd_put(&pipes[1], fds[1]);
	}
	return vmsplice(pipes[1], &iov, 1, SPLICE_F_NONBLOCK | (a[2] & 1 ? SPLICE_F_GIFT : 0));
}

static long call_read_pipe(const uint64_t *a)
{
	return read(pipes[0], fz_at(a[0]), fz_len(a[0], a[1]));
}

static long call_close_pipe(const uint64_t *a)
{
	(void)a;
	fz_fd_put(&pipes[1], -1);
	return fz_fd_put(&pipes[0], -1);
}

/* As a debugger does */
static long call_proc_mem(const uint64_t *a)
{
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	char buf[64] = "";
	long ret;

	if (fd < 0)
		return -errno;
	ret = a[1] & 1 ? pwrite(fd, buf, sizeof(buf), (off_t)fz_at(a[0])) :
			 pread(fd, buf, sizeof(buf), (off_t)fz_at(a[0]));
	close(fd);
	return ret;
}

/* The kernel takes pages of both, for as long as it copies. */
static long call_vm_readv(const uint64_t *a)
{
	struct iovec local = { fz_at(a[2]), fz_len(a[2], a[1]) };
	struct iovec remote = { fz_at(a[0]), fz_len(a[0], a[1]) };

	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
}

/* The kernel writes to memory, or reads it, in a system call: faults of its own */
static long call_file_io(const uint64_t *a)
{
	int fd = fz_fds[a[0] % FZ_FDS];

	return a[3] & 1 ? pwrite(fd, fz_at(a[1]), fz_len(a[1], a[2]), 0) :
			  pread(fd, fz_at(a[1]), fz_len(a[1], a[2]), 0);
}

static long read_all(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char buf[4096];
	long n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		;
	close(fd);
	return n;
}

static long call_smaps(const uint64_t *a)
{
	return read_all(a[0] & 1 ? "/proc/self/smaps" : "/proc/self/numa_maps");
}

static long call_pagemap(const uint64_t *a)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entries[64];
	long ret;

	if (fd < 0)
		return -errno;
	ret = pread(fd, entries, sizeof(entries), ((off_t)fz_at(a[0]) >> 12) * 8);
	close(fd);
	return ret;
}

static long call_mincore(const uint64_t *a)
{
	unsigned char vec[ARENA_PAGES];

	return mincore(fz_at(a[0]), fz_len(a[0], a[1]), vec);
}

static long call_msync(const uint64_t *a)
{
	return msync(fz_at(a[0]), fz_len(a[0], a[1]), MS_SYNC | (a[2] & 1 ? MS_INVALIDATE : 0));
}

static long call_move_pages(const uint64_t *a)
{
	void *pages[8];
	int status[8];

	for (int i = 0; i < 8; i++)
		pages[i] = fz_at(a[0] + i);
	return syscall(SYS_move_pages, 0, 8, pages, NULL, status, 0);
}

/* Waits, so that others come in between */
static long call_sleep(const uint64_t *a)
{
	return usleep(a[0] % 3000);
}

static long call_yield(const uint64_t *a)
{
	(void)a;
	return sched_yield();
}

/* From here on in this thread: what can fail fails, the nth time it comes to that. */
static long call_fail_nth(const uint64_t *a)
{
	fz_fail_nth(a[0] % 64);
	return 0;
}

const struct fz_call_type calls_mm[] = {
	{ "mmap", 10, call_mmap, { ARG_AT, ARG_PAGES, CHOICE("prot", fz_prots),
				   CHOICE("flags", map_flags) } },
	{ "memfd", 5, call_memfd, { SLOT("fd", FZ_FDS), ARG_PAGES } },
	{ "mmap_fd", 8, call_mmap_fd, { SLOT("fd", FZ_FDS), ARG_AT, ARG_PAGES,
					CHOICE("prot", fz_prots),
					CHOICE("flags", map_flags),
					NUMBER("offset", 16) } },
	{ "close_fd", 3, call_close_fd, { SLOT("fd", FZ_FDS) } },
	{ "punch_hole", 3, call_punch_hole, { SLOT("fd", FZ_FDS),
					      NUMBER("offset", 16), ARG_PAGES } },
	{ "munmap", 16, call_munmap, { ARG_AT, ARG_PAGES } },
	{ "mremap", 10, call_mremap, { ARG_AT, ARG_PAGES, NUMBER_OR("to", 64, fz_places),
				       NUMBER_OR("new_pages", 41, fz_lengths),
				       FLAGS("flags", remap_flags) } },
	{ "mprotect", 10, call_mprotect, { ARG_AT, ARG_PAGES,
					   CHOICE("prot", fz_prots) } },
	{ "madvise", 16, call_madvise, { ARG_AT, ARG_PAGES,
					 CHOICE("advice", advices) } },
	{ "mlock", 3, call_mlock, { ARG_AT, ARG_PAGES } },
	{ "munlock", 2, call_munlock, { ARG_AT, ARG_PAGES } },
	{ "touch", 18, call_touch, { ARG_AT, ARG_PAGES, CHOICE("access", accesses) } },
	{ "fork", 8, call_fork, { CHOICE("child", children), ARG_AT, ARG_PAGES,
				  NUMBER("wait", 2) } },
	{ "exit", 1, call_exit, { } },
	{ "clear_refs", 4, call_clear_refs, { NUMBER("what", 5) } },
	{ "compact", 1, call_compact, { } },
	{ "vmsplice", 6, call_vmsplice, { ARG_AT, ARG_PAGES, NUMBER("gift", 2) } },
	{ "read_pipe", 4, call_read_pipe, { ARG_AT, ARG_PAGES } },
	{ "close_pipe", 2, call_close_pipe, { } },
	{ "proc_mem", 3, call_proc_mem, { ARG_AT, CHOICE("access", accesses) } },
	{ "vm_readv", 3, call_vm_readv, { ARG_AT, ARG_PAGES,
					  NUMBER_OR("to", 64, fz_places) } },
	{ "file_io", 3, call_file_io, { SLOT("fd", FZ_FDS), ARG_AT, ARG_PAGES,
					CHOICE("access", accesses) } },
	{ "smaps", 1, call_smaps, { NUMBER("numa", 2) } },
	{ "pagemap", 1, call_pagemap, { ARG_AT } },
	{ "mincore", 1, call_mincore, { ARG_AT, ARG_PAGES } },
	{ "msync", 1, call_msync, { ARG_AT, ARG_PAGES, NUMBER("invalidate", 2) } },
	{ "move_pages", 2, call_move_pages, { ARG_AT } },
	{ "sleep", 4, call_sleep, { NUMBER("us", 2000) } },
	{ "yield", 2, call_yield, { } },
	{ "fail_nth", 8, call_fail_nth, { NUMBER_OR("nth", 20, nth_values) } },
	{ },
};

/* ---- what else moves pages ---- */

/* None of it has to work: a PV domain has no huge pages, a kernel may lack KSM. */
void mm_prepare(void)
{
	static const char *const settings[][2] = {
		{ "/sys/kernel/mm/ksm/run", "1" },
		{ "/sys/kernel/mm/ksm/sleep_millisecs", "100" },
		{ "/sys/kernel/mm/transparent_hugepage/hugepages-64kB/enabled", "madvise" },
	};

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		gm_write_file(settings[i][0], settings[i][1]);
	gm_run(NULL, 0, GM_TIMEOUT_MS,
	       "modprobe brd rd_nr=1 rd_size=65536 && mkswap /dev/ram0 && swapon /dev/ram0");
}
