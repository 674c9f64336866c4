/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A storm: threads that do to a piece of the address space everything that makes the
 * kernel change page table entries, others that insert and remove subscriptions there,
 * fill their shadows, and check them.
 *
 * The area is ANON bytes of private memory, SHARED bytes of a memfd, and as many again
 * as a place for mremap() to move things to. No thread of a storm may call anything
 * that maps memory at an address of the kernel's choice: another one's hole is filled
 * again with MAP_FIXED.
 */
#ifndef STORM_H
#define STORM_H

#include <linux/userfaultfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "notifier.h"

#define HUGE_SIZE	(2UL << 20)
#define ANON_SIZE	(8 * HUGE_SIZE)
#define SHARED_SIZE	(2 * HUGE_SIZE)
#define SPARE_SIZE	ANON_SIZE
#define AREA_SIZE	(ANON_SIZE + SHARED_SIZE + SPARE_SIZE)

#define STORM_THREADS	16

#ifndef MADV_COLD
#define MADV_COLD	20
#define MADV_PAGEOUT	21
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

struct storm {
	int fd;			/* of the bench */
	char *area;
	int memfd, pattern, clear_refs, compact, uffd;
	unsigned long ops;	/* bits of enum op */
	bool two_pass;
	atomic_bool stop;
	atomic_ulong *done;	/* of each enum op: how often it worked */
	int nr_threads;
	pthread_t threads[STORM_THREADS];
	atomic_uint seed;
};

/* ---- chance ---- */

static __thread unsigned int chance_state;

static inline unsigned long chance(unsigned long below)
{
	unsigned long hi = rand_r(&chance_state);

	return (hi << 15 ^ rand_r(&chance_state)) % below;
}

struct piece {
	char *addr;
	size_t length;
};

/* Whole pages in [from, from + size); some of them whole huge pages. */
static inline struct piece a_piece(char *from, size_t size)
{
	size_t unit = chance(16) ? GM_PAGE_SIZE : HUGE_SIZE;
	size_t units = size / unit;
	size_t first = chance(units);
	size_t most = unit == HUGE_SIZE ? 2 : 32;
	size_t n = 1 + chance(most);

	if (n > units - first)
		n = units - first;
	return (struct piece){ from + first * unit, n * unit };
}

static inline struct piece anon_piece(struct storm *s)
{
	return a_piece(s->area, ANON_SIZE);
}

static inline struct piece any_piece(struct storm *s)
{
	return a_piece(s->area, ANON_SIZE + SHARED_SIZE);
}

static inline struct piece huge_piece(struct storm *s)
{
	return (struct piece){
		s->area + chance(ANON_SIZE / HUGE_SIZE) * HUGE_SIZE, HUGE_SIZE,
	};
}

/* ---- operations: true if it worked ---- */

static inline bool advise(struct piece p, int advice)
{
	return !madvise(p.addr, p.length, advice);
}

static inline void *map_anon(struct piece p)
{
	return mmap(p.addr, p.length, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		    MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

/*
 * Written by the processor; a hole is an errno and no signal. All pages get the same,
 * for KSM, and not zeros, which would not be swapped out.
 */
static inline bool fill(struct storm *s, struct piece p)
{
	return pread(s->pattern, p.addr, p.length, 0) > 0;
}

static inline bool op_write(struct storm *s)
{
	return fill(s, any_piece(s));
}

static inline bool op_read(struct storm *s)
{
	return advise(any_piece(s), MADV_POPULATE_READ);
}

static inline bool op_remap(struct storm *s)
{
	struct piece p = anon_piece(s);

	return !munmap(p.addr, p.length) && map_anon(p) != MAP_FAILED;
}

static inline bool op_mremap(struct storm *s)
{
	struct piece p = anon_piece(s);
	char *there = s->area + ANON_SIZE + SHARED_SIZE + (p.addr - s->area);
	bool ok;

	ok = mremap(p.addr, p.length, p.length, MREMAP_MAYMOVE | MREMAP_FIXED,
		    there) == there;
	/* Somebody else may have changed some of it meanwhile. */
	if (ok && mremap(there, p.length, p.length, MREMAP_MAYMOVE |
			 MREMAP_FIXED, p.addr) != p.addr) {
		map_anon(p);
		munmap(there, p.length);
	}
	return ok;
}

static inline bool op_mprotect(struct storm *s)
{
	struct piece p = any_piece(s);
	bool ok = !mprotect(p.addr, p.length, chance(4) ? PROT_READ : PROT_NONE);

	return !mprotect(p.addr, p.length, PROT_READ | PROT_WRITE) && ok;
}

static inline bool op_dontneed(struct storm *s)
{
	return advise(any_piece(s), MADV_DONTNEED);
}

static inline bool op_free(struct storm *s)
{
	return advise(anon_piece(s), MADV_FREE);
}

static inline bool op_cold(struct storm *s)
{
	return advise(any_piece(s), MADV_COLD);
}

static inline bool op_pageout(struct storm *s)
{
	struct piece p = any_piece(s);

	return advise(p, MADV_PAGEOUT) && (!chance(4) || advise(p, MADV_POPULATE_READ));
}

/*
 * Faulted in as a huge page, which needs a place without a page table, and split by
 * changing a part of it.
 */
static inline bool op_huge(struct storm *s)
{
	struct piece p = huge_piece(s), part = p;
	bool ok;

	part.length = GM_PAGE_SIZE;
	ok = !munmap(p.addr, p.length) && map_anon(p) != MAP_FAILED &&
	     advise(p, MADV_HUGEPAGE) && fill(s, part);
	part.addr += chance(256) * GM_PAGE_SIZE;
	part.length = (1 + chance(256)) * GM_PAGE_SIZE;
	ok = ok && advise(part, MADV_DONTNEED);
	if (!chance(4))
		advise(p, MADV_NOHUGEPAGE);
	return ok;
}

static inline bool op_collapse(struct storm *s)
{
	struct piece p = huge_piece(s);

	return fill(s, p) && advise(p, MADV_COLLAPSE);
}

/* Copy on write, on both sides. */
static inline bool op_fork(struct storm *s)
{
	struct piece p = anon_piece(s);
	int status;
	pid_t pid;

	pid = fork();
	if (!pid)
		_exit(fill(s, p));
	if (pid < 0)
		return false;
	fill(s, p);
	return waitpid(pid, &status, 0) == pid;
}

static inline bool op_ksm(struct storm *s)
{
	struct piece p = huge_piece(s);
	bool ok = advise(p, MADV_MERGEABLE);

	if (!chance(8))
		advise(p, MADV_UNMERGEABLE);
	return ok;
}

/* Migrates pages. Slow: now and then is enough. */
static inline bool op_compact(struct storm *s)
{
	usleep(20000);
	return write(s->compact, "1", 1) == 1;
}

static inline bool op_clear_refs(struct storm *s)
{
	return write(s->clear_refs, chance(4) ? "4" : "1", 1) == 1;
}

static inline bool op_punch_hole(struct storm *s)
{
	return !fallocate(s->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  chance(SHARED_SIZE / GM_PAGE_SIZE) * GM_PAGE_SIZE,
			  (1 + chance(32)) * GM_PAGE_SIZE);
}

/* Write-protected by userfaultfd; who writes meanwhile waits until it is no more. */
static inline bool op_uffd_wp(struct storm *s)
{
	struct piece p = anon_piece(s);
	struct uffdio_register reg = {
		.range = { (uintptr_t)p.addr, p.length },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	struct uffdio_writeprotect wp = {
		.range = reg.range,
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	bool ok;

	if (ioctl(s->uffd, UFFDIO_REGISTER, &reg))
		return false;
	ok = !ioctl(s->uffd, UFFDIO_WRITEPROTECT, &wp);
	wp.mode = 0;
	ioctl(s->uffd, UFFDIO_WRITEPROTECT, &wp);
	ioctl(s->uffd, UFFDIO_UNREGISTER, &reg.range);
	return ok;
}

/*
 * Absent, and provided by userfaultfd only: who wants it waits until that is over. HMM can
 * wait without the mmap lock, too.
 */
static inline bool op_uffd_missing(struct storm *s)
{
	struct piece p = anon_piece(s);
	struct uffdio_register reg = {
		.range = { (uintptr_t)p.addr, p.length },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	bool ok;

	if (ioctl(s->uffd, UFFDIO_REGISTER, &reg))
		return false;
	ok = advise(p, MADV_DONTNEED);
	usleep(500);
	ioctl(s->uffd, UFFDIO_UNREGISTER, &reg.range);
	return ok;
}

enum op {
	OP_WRITE, OP_READ, OP_REMAP, OP_MREMAP, OP_MPROTECT, OP_DONTNEED, OP_FREE,
	OP_COLD, OP_PAGEOUT, OP_HUGE, OP_COLLAPSE, OP_FORK, OP_KSM, OP_COMPACT,
	OP_CLEAR_REFS, OP_PUNCH_HOLE, OP_UFFD_WP,
	OP_UFFD_MISSING,
	OPS
};

static const struct {
	const char *name;
	bool (*fn)(struct storm *s);
} ops[OPS] = {
	[OP_WRITE] = { "write", op_write },
	[OP_READ] = { "read", op_read },
	[OP_REMAP] = { "munmap+mmap", op_remap },
	[OP_MREMAP] = { "mremap", op_mremap },
	[OP_MPROTECT] = { "mprotect", op_mprotect },
	[OP_DONTNEED] = { "dontneed", op_dontneed },
	[OP_FREE] = { "free", op_free },
	[OP_COLD] = { "cold", op_cold },
	[OP_PAGEOUT] = { "pageout", op_pageout },
	[OP_HUGE] = { "huge+split", op_huge },
	[OP_COLLAPSE] = { "collapse", op_collapse },
	[OP_FORK] = { "fork", op_fork },
	[OP_KSM] = { "ksm", op_ksm },
	[OP_COMPACT] = { "compact", op_compact },
	[OP_CLEAR_REFS] = { "clear_refs", op_clear_refs },
	[OP_PUNCH_HOLE] = { "punch-hole", op_punch_hole },
	[OP_UFFD_WP] = { "uffd-wp", op_uffd_wp },
	[OP_UFFD_MISSING] = { "uffd-missing", op_uffd_missing },
};

#define BIT(n)		(1UL << (n))
#define OPS_FAULT	(BIT(OP_WRITE) | BIT(OP_READ))
#define OPS_MAP		(BIT(OP_REMAP) | BIT(OP_MREMAP) | BIT(OP_MPROTECT) | \
			 BIT(OP_DONTNEED) | BIT(OP_PUNCH_HOLE) | BIT(OP_FORK))
#define OPS_RECLAIM	(BIT(OP_FREE) | BIT(OP_COLD) | BIT(OP_PAGEOUT) | \
			 BIT(OP_KSM) | BIT(OP_COMPACT))
#define OPS_HUGE	(BIT(OP_HUGE) | BIT(OP_COLLAPSE))
#define OPS_PROTECT	(BIT(OP_CLEAR_REFS) | BIT(OP_UFFD_WP) | \
			 BIT(OP_UFFD_MISSING))
#define OPS_ALL		(BIT(OPS) - 1)

/* ---- threads ---- */

static inline void *storm_operate(void *arg)
{
	struct storm *s = arg;
	unsigned int op;

	chance_state = ++s->seed;
	while (!s->stop) {
		/* Every second one brings pages in, or there would be none. */
		op = chance(2) ? chance(2) : chance(OPS);
		if (s->ops & BIT(op) && ops[op].fn(s))
			s->done[op]++;
	}
	return NULL;
}

#define CHURN_US	1000

/* Windows of all sizes and alignments, one inside of the other; a few are endless. */
static inline void *storm_churn(void *arg)
{
	struct storm *s = arg;
	unsigned int slot, flags;
	size_t start, length;

	chance_state = ++s->seed;
	while (!s->stop) {
		/* A shadow has to live long enough to be filled. */
		usleep(CHURN_US);
		slot = chance(GM_MN_SLOTS);
		if (chance(2)) {
			bench_remove(s->fd, slot);
			continue;
		}
		flags = s->two_pass && chance(2) ? GM_MN_TWO_PASS : 0;
		if (!chance(64)) {
			bench_insert(s->fd, slot, flags, NULL, ~0ULL);
			continue;
		}
		length = chance(3) ? 64 * GM_PAGE_SIZE :
				     (GM_MN_MAX_PAGES - 1) * GM_PAGE_SIZE;
		length = 1 + chance(length);
		start = chance(AREA_SIZE - length);
		bench_insert(s->fd, slot, flags | GM_MN_SHADOW, s->area + start,
			     length);
	}
	return NULL;
}

/* In short rounds, so that the end of the storm is noticed. */
#define ROUND_MS	200

static inline void *storm_read(void *arg)
{
	struct storm *s = arg;

	while (!s->stop && !bench_run(s->fd, GM_MN_READER, ROUND_MS))
		;
	return NULL;
}

static inline void *storm_check(void *arg)
{
	struct storm *s = arg;

	while (!s->stop && !bench_run(s->fd, GM_MN_CHECKER, ROUND_MS))
		;
	return NULL;
}

/* ---- beginning and end ---- */

static inline int uffd_open(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* The area starts at a huge page, or nothing in it could be one. */
static inline void storm_map(META, struct storm *s)
{
	size_t size = AREA_SIZE + HUGE_SIZE;
	struct piece all;
	char *addr;

	addr = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, addr);
	s->area = (char *)(((uintptr_t)addr + HUGE_SIZE - 1) & -HUGE_SIZE);
	all = (struct piece){ s->area, AREA_SIZE };
	ASSERT_EQ(s->area, map_anon(all));
	s->memfd = memfd_create("storm", MFD_CLOEXEC);
	ASSERT_LE(0, s->memfd);
	ASSERT_EQ(0, ftruncate(s->memfd, SHARED_SIZE));
	addr = s->area + ANON_SIZE;
	ASSERT_EQ(addr, mmap(addr, SHARED_SIZE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_FIXED, s->memfd, 0));
}

static inline void storm_pattern(META, struct storm *s)
{
	char page[GM_PAGE_SIZE];

	memset(page, 0x5a, sizeof(page));
	s->pattern = memfd_create("pattern", MFD_CLOEXEC);
	ASSERT_LE(0, s->pattern);
	for (size_t at = 0; at < 2 * HUGE_SIZE; at += sizeof(page))
		ASSERT_EQ(sizeof(page), pwrite(s->pattern, page, sizeof(page), at));
}

/* Everything but the threads. The seed is fixed: what is left to chance is timing. */
static inline void storm_prepare(META, struct storm *s, int fd, unsigned long which)
{
	s->fd = fd;
	s->ops = which;
	s->two_pass = bench_has_two_pass(fd);
	s->done = calloc(OPS, sizeof(*s->done));
	ASSERT_NE(NULL, s->done);
	storm_map(_metadata, s);
	storm_pattern(_metadata, s);
	s->clear_refs = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	ASSERT_LE(0, s->clear_refs);
	s->compact = open("/proc/sys/vm/compact_memory", O_WRONLY | O_CLOEXEC);
	ASSERT_LE(0, s->compact);
	s->uffd = uffd_open();
	ASSERT_LE(0, s->uffd) TH_LOG("userfaultfd: %s", strerror(errno));
	/* The bench is of this mm from here on. */
	ASSERT_EQ(0, bench_insert(fd, 0, GM_MN_SHADOW, s->area, HUGE_SIZE));
}

static inline void storm_thread(META, struct storm *s, void *(*fn)(void *))
{
	ASSERT_GT(STORM_THREADS, s->nr_threads);
	ASSERT_EQ(0, pthread_create(&s->threads[s->nr_threads++], NULL, fn, s));
}

static inline void storm_start(META, struct storm *s)
{
	storm_thread(_metadata, s, storm_operate);
	storm_thread(_metadata, s, storm_operate);
	storm_thread(_metadata, s, storm_churn);
	storm_thread(_metadata, s, storm_read);
	storm_thread(_metadata, s, storm_read);
	storm_thread(_metadata, s, storm_check);
}

static inline void storm_stop(META, struct storm *s)
{
	s->stop = true;
	while (s->nr_threads)
		ASSERT_EQ(0, pthread_join(s->threads[--s->nr_threads], NULL));
}

static inline void note_ops(struct storm *s)
{
	char line[512] = "";
	int len = 0;

	for (int op = 0; op < OPS; op++)
		if (s->ops & BIT(op))
			len += snprintf(line + len, sizeof(line) - len, " %s %lu",
					ops[op].name, s->done[op]);
	gm_note("operations:%s", line);
}

#endif /* STORM_H */
