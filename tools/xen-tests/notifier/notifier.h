/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs of this suite share: the bench (an open file of mn_check), calls
 * that may take long made by a thread of their own, and invalidations held in flight.
 */
#ifndef NOTIFIER_H
#define NOTIFIER_H

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gm_test.h"
#include "mn_check/mn_check.h"

/* A call that never returns is one that has not after that long, in milliseconds. */
#define NEVER_MS	10000

/* How long anything may take that has to come sooner or later. */
#define SOON_MS		30000

/* What ASSERT and EXPECT look for in a function that is not a test. */
#define META struct __test_metadata *_metadata

static bool module_loaded;

static inline int module_command(const char *command)
{
	return gm_run(NULL, 0, GM_TIMEOUT_MS, command);
}

static inline int bench_open(META)
{
	int fd;

	if (access(GM_MN_DEVICE, F_OK))
		module_loaded = !module_command("modprobe mn_check");
	fd = open(GM_MN_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd)
		TH_LOG(GM_MN_DEVICE ": %s (is the module mn_check there?)",
		       strerror(errno));
	return fd;
}

/* In the fixture's teardown: as bench_open() found it. */
static inline void bench_close(META, int fd)
{
	close(fd);
	if (module_loaded)
		EXPECT_TRUE(gm_wait(!module_command("modprobe -r mn_check"), SOON_MS))
			TH_LOG("the module mn_check cannot be removed");
}

/* ---- requests: 0 (or what the request returns), or a negative errno ---- */

static inline int bench_ioctl(int fd, unsigned long request, void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

static inline int bench_insert(int fd, unsigned int slot, unsigned int flags,
			       const void *start, uint64_t length)
{
	struct gm_mn_insert arg = {
		.slot = slot,
		.flags = flags,
		.start = (uintptr_t)start,
		.length = length,
	};

	return bench_ioctl(fd, GM_MN_INSERT, &arg);
}

static inline int bench_remove(int fd, unsigned int slot)
{
	return bench_ioctl(fd, GM_MN_REMOVE, (void *)(uintptr_t)slot);
}

static inline int bench_hold(int fd, unsigned int slot, bool on)
{
	struct gm_mn_hold arg = { .slot = slot, .on = on };

	return bench_ioctl(fd, GM_MN_HOLD, &arg);
}

/* All zero if there is nothing in that slot. */
static inline struct gm_mn_info bench_info(int fd, unsigned int slot)
{
	struct gm_mn_info info = { .slot = slot };

	if (bench_ioctl(fd, GM_MN_INFO, &info))
		info = (struct gm_mn_info){ .slot = slot };
	return info;
}

static inline int bench_run(int fd, unsigned int role, unsigned int ms)
{
	struct gm_mn_run arg = { .role = role, .ms = ms };

	return bench_ioctl(fd, GM_MN_RUN, &arg);
}

static inline int bench_tune(int fd, unsigned int bugs, unsigned int forget,
			     unsigned int window_us)
{
	struct gm_mn_tune arg = {
		.bugs = bugs,
		.forget = forget,
		.window_us = window_us,
	};

	return bench_ioctl(fd, GM_MN_TUNE, &arg);
}

static inline struct gm_mn_stats bench_stats(int fd)
{
	struct gm_mn_stats stats = { };

	bench_ioctl(fd, GM_MN_GET_STATS, &stats);
	return stats;
}

static inline uint64_t bench_stat(int fd, unsigned int which)
{
	return bench_stats(fd).stat[which];
}

static inline bool bench_has_two_pass(int fd)
{
	return bench_ioctl(fd, GM_MN_HAS_TWO_PASS, NULL) == 1;
}

/* ---- diagnostics ---- */

static const char * const event_names[] = {
	"unmap", "clear", "protection-vma", "protection-page", "soft-dirty",
	"release", "migrate", "exclusive",
};

#define EVENT_UNMAP		0
#define EVENT_CLEAR		1
#define EVENT_PROTECTION_VMA	2
#define EVENT_PROTECTION_PAGE	3
#define EVENT_SOFT_DIRTY	4
#define EVENT_RELEASE		5

static inline void note_stats(int fd)
{
	struct gm_mn_stats st = bench_stats(fd);
	const __u64 *s = st.stat;
	char line[256];
	int len = 0;

	gm_note("entries: %llu compared, %llu wrong; %llu stored, %llu dropped",
		s[GM_MN_COMPARED], s[GM_MN_MISMATCHES], s[GM_MN_STORED],
		s[GM_MN_DROPPED]);
	gm_note("blocks: %llu, words: %llu, answers: %llu compared; unlocked reads: %llu",
		s[GM_MN_BLOCKS], s[GM_MN_WORDS], s[GM_MN_ANSWERED], s[GM_MN_UNLOCKED]);
	gm_note("reads: %llu, waits %llu, retries %llu, busy %llu",
		s[GM_MN_READS], s[GM_MN_WAITS], s[GM_MN_RETRIES], s[GM_MN_BUSY]);
	gm_note("subscriptions: %llu inserted, %llu removed; second passes: %llu",
		s[GM_MN_INSERTS], s[GM_MN_REMOVES], s[GM_MN_FINISHES]);
	gm_note("non-blockable callbacks: %llu, %llu refused",
		s[GM_MN_NONBLOCK], s[GM_MN_REFUSED]);
	for (size_t i = 0; i < sizeof(event_names) / sizeof(event_names[0]); i++)
		len += snprintf(line + len, sizeof(line) - len, " %s %llu",
				event_names[i], s[GM_MN_EVENTS + i]);
	gm_note("callbacks:%s", line);
}

static const char * const wrong_names[GM_MN_WRONGS] = {
	"entry", "order", "answer", "read of the page", "write to the page",
};

static inline bool bench_has_unlocked(int fd)
{
	return bench_ioctl(fd, GM_MN_HAS_UNLOCKED, NULL) == 1;
}

static inline void note_reports(int fd)
{
	for (unsigned int nr = 0; nr < GM_MN_REPORTS; nr++) {
		struct gm_mn_report r = { .nr = nr };
		unsigned int n;

		if (bench_ioctl(fd, GM_MN_GET_REPORT, &r))
			return;
		n = r.nr_events < GM_MN_HISTORY ? r.nr_events : GM_MN_HISTORY;
		gm_note("wrong %s: slot %u [%#llx, +%#llx) page %#llx: shadow %#llx, CPU %#llx",
			wrong_names[r.kind % GM_MN_WRONGS], r.slot, r.sub_start, r.sub_length, r.addr, r.shadow, r.cpu);
		for (unsigned int i = 0; i < n; i++)
			gm_note("  before: %s [%#llx, %#llx) flags %u seq %llu",
				event_names[r.history[i].event % 8],
				r.history[i].start, r.history[i].end,
				r.history[i].flags, r.history[i].seq);
	}
}

/* More than any invalidation takes, on a busy computer */
#define SECOND_PASS_MS	10000

/* What must hold at any time on a right kernel with no bug planted. */
static inline void expect_sound(META, int fd)
{
	EXPECT_EQ(0, bench_stat(fd, GM_MN_MISMATCHES));
	EXPECT_EQ(0, bench_stat(fd, GM_MN_AFTER_FREE))
		TH_LOG("callbacks ran on subscriptions that had been removed");
	/* The kernel's own threads (ksmd, khugepaged) may be between the two just now. */
	EXPECT_TRUE(gm_wait(!bench_stat(fd, GM_MN_UNFINISHED), SECOND_PASS_MS))
		TH_LOG("second passes that never came");
	note_reports(fd);
}

/* ---- calls that may take long ---- */

struct call {
	int (*fn)(struct call *call);
	int fd;
	unsigned long request;
	void *arg;
	pthread_t thread;
	atomic_int tid;
	atomic_bool returned;
	int ret;
};

static inline int call_ioctl(struct call *call)
{
	return bench_ioctl(call->fd, call->request, call->arg);
}

/* The first page of a memfd goes: an invalidation under no mmap lock. */
static inline int call_punch_hole(struct call *call)
{
	return fallocate(call->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			 GM_PAGE_SIZE);
}

static inline void *call_thread(void *arg)
{
	struct call *call = arg;

	call->tid = gettid();
	call->ret = call->fn(call);
	call->returned = true;
	return NULL;
}

static inline void call_start(META, struct call *call)
{
	call->returned = false;
	call->tid = 0;
	ASSERT_EQ(0, pthread_create(&call->thread, NULL, call_thread, call));
}

static inline void call_end(META, struct call *call)
{
	ASSERT_EQ(0, pthread_join(call->thread, NULL));
}

/* The task sleeps and no signal gets through to it: it is inside the core. */
static inline bool task_waits(int tid)
{
	char path[64], line[256] = "", *p;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "re");
	if (!f)
		return false;
	p = fgets(line, sizeof(line), f);
	fclose(f);
	p = p ? strrchr(line, ')') : NULL;
	return p && p[1] == ' ' && p[2] == 'D';
}

/* Waits until @call has come to a halt, for better or worse. True: it waits. */
static inline bool call_waits(struct call *call)
{
	return gm_wait(call->returned || task_waits(call->tid), SOON_MS) &&
	       !call->returned;
}

/* ---- an invalidation held in flight ---- */

/*
 * It comes from the file that is mapped, through the reverse map: the mmap lock would
 * stop everything else that the process does, new threads among it.
 */
struct held {
	struct call call;
	int bench;
	unsigned int slot;
	int memfd;
	void *page;
	bool on;
};

static inline void held_map(META, struct held *h)
{
	h->memfd = memfd_create("held", MFD_CLOEXEC);
	ASSERT_LE(0, h->memfd);
	ASSERT_EQ(0, ftruncate(h->memfd, GM_PAGE_SIZE));
	h->page = mmap(NULL, GM_PAGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, h->memfd, 0);
	ASSERT_NE(MAP_FAILED, h->page);
}

/* The page is being invalidated from here on, and @slot's callback hangs. */
static inline void held_begin(META, struct held *h, int bench, unsigned int slot)
{
	h->bench = bench;
	h->slot = slot;
	h->call = (struct call){ .fn = call_punch_hole, .fd = h->memfd };
	ASSERT_EQ(0, bench_hold(bench, slot, true));
	h->on = true;
	call_start(_metadata, &h->call);
	ASSERT_TRUE(gm_wait(bench_info(bench, slot).holding, SOON_MS))
		TH_LOG("the callback of slot %u was not called", slot);
}

static inline void held_end(META, struct held *h)
{
	EXPECT_EQ(0, bench_hold(h->bench, h->slot, false));
	h->on = false;
	call_end(_metadata, &h->call);
	EXPECT_EQ(0, h->call.ret);
}

/* After a failure: whatever waits has to get out. */
static inline void held_abandon(struct held *h)
{
	if (h->on)
		bench_hold(h->bench, h->slot, false);
}

#endif /* NOTIFIER_H */
