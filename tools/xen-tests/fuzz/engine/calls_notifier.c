// SPDX-License-Identifier: GPL-2.0-only
/*
 * Target notifier: subscriptions with shadow page tables (module mn_check), and requests to HMM
 * (hmm_check), for memory that changes meanwhile. mn_check is also the judge: no valid entry of
 * a shadow may name another page than the CPU's.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fuzz.h"
#include "hmm_check/hmm_check.h"
#include "mn_check/mn_check.h"

/* Slots of a bench that programs use: they shall meet. */
#define SLOTS		12
#define HMM_FILES	2
#define ENTRIES		1024

/* Opened anew for each program: a bench belongs to one address space. */
static int bench = -1;
static _Atomic int hmm_files[HMM_FILES] = { -1, -1 };
static _Atomic int uffd = -1;

static const struct fz_value insert_flags[] = {
	{ "shadow", GM_MN_SHADOW }, { "two_pass", GM_MN_TWO_PASS }, { "signal", GM_MN_SIGNAL },
	{ },
};

static const struct fz_value roles[] = {
	{ "reader", GM_MN_READER }, { "checker", GM_MN_CHECKER }, { },
};

static const struct fz_value hows[] = {
	{ "once", GM_HMM_ONCE }, { "loop", GM_HMM_LOOP }, { "unlocked", GM_HMM_UNLOCKED }, { },
};

static const struct fz_value requests[] = {
	{ "nothing", 0 }, { "valid", GM_HMM_VALID }, { "write", GM_HMM_VALID | GM_HMM_WRITE },
	{ },
};

static const struct fz_value uffd_modes[] = {
	{ "missing", UFFDIO_REGISTER_MODE_MISSING }, { "wp", UFFDIO_REGISTER_MODE_WP }, { },
};

static long call_insert(const uint64_t *a)
{
	struct gm_mn_insert arg = {
		.slot = a[0] % SLOTS,
		.flags = a[5],
		.start = (uintptr_t)fz_at(a[1]) + a[3] % GM_PAGE_SIZE,
		.length = fz_len(a[1], a[2]) - a[4] % GM_PAGE_SIZE,
	};

	return ioctl(bench, GM_MN_INSERT, &arg);
}

static long call_remove(const uint64_t *a)
{
	return ioctl(bench, GM_MN_REMOVE, a[0] % SLOTS);
}

static long call_run(const uint64_t *a)
{
	struct gm_mn_run arg = { .role = a[0], .ms = a[1] % 20 };

	return ioctl(bench, GM_MN_RUN, &arg);
}

static long call_read_begin(const uint64_t *a)
{
	struct gm_mn_read arg = { .slot = a[0] % SLOTS };

	return ioctl(bench, GM_MN_READ_BEGIN, &arg);
}

/* No planted bugs: only the time for which races are open */
static long call_tune(const uint64_t *a)
{
	struct gm_mn_tune arg = { .window_us = a[0] % 500 };

	return ioctl(bench, GM_MN_TUNE, &arg);
}

static long call_refused(const uint64_t *a)
{
	struct gm_mn_refused arg = { .slot = a[0] % SLOTS, .ms = a[1] % 20 };

	return ioctl(bench, GM_MN_REFUSED_START, &arg);
}

static long call_open(const uint64_t *a)
{
	int fd = open(GM_HMM_DEVICE, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		ioctl(fd, GM_HMM_BIND, NULL);
	return fz_fd_put(&hmm_files[a[0] % HMM_FILES], fd);
}

static long call_close(const uint64_t *a)
{
	return fz_fd_put(&hmm_files[a[0] % HMM_FILES], -1);
}

static long call_take(const uint64_t *a)
{
	struct gm_hmm_entry entries[ENTRIES];
	struct gm_hmm_take arg = {
		.start = (uintptr_t)fz_at(a[1]),
		.pages = fz_len(a[1], a[2]) / GM_PAGE_SIZE,
		.entries = (uintptr_t)entries,
		.how = a[3],
		/* Without a limit it may be as long as a userfaultfd lasts. */
		.timeout_ms = 1 + a[4] % 20,
		.request = a[5],
		.mask = a[6],
		.pin = a[7] & 1,
	};

	if (arg.pages > ENTRIES)
		arg.pages = ENTRIES;
	for (unsigned int i = 0; i < ENTRIES; i++)
		entries[i].flags = i % 3 ? GM_HMM_VALID : GM_HMM_WRITE;
	return ioctl(hmm_files[a[0] % HMM_FILES], GM_HMM_TAKE, &arg);
}

static long call_access(const uint64_t *a)
{
	struct gm_hmm_access arg = {
		.addr = (uintptr_t)fz_at(a[1]) + a[2] % 512 * 8,
		.value = a[2],
		.write = a[3] & 1,
		.how = a[4],
		.timeout_ms = 1 + a[5] % 20,
	};

	return ioctl(hmm_files[a[0] % HMM_FILES], GM_HMM_ACCESS, &arg);
}

static long call_migrate(const uint64_t *a)
{
	struct gm_hmm_migrate arg = {
		.start = (uintptr_t)fz_at(a[1]),
		.pages = fz_len(a[1], a[2]) / GM_PAGE_SIZE,
	};

	return ioctl(hmm_files[a[0] % HMM_FILES], GM_HMM_MIGRATE, &arg);
}

static long call_uffd(const uint64_t *a)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	(void)a;
	if (fd >= 0)
		ioctl(fd, UFFDIO_API, &api);
	return fz_fd_put(&uffd, fd);
}

static long call_uffd_register(const uint64_t *a)
{
	struct uffdio_register reg = {
		.range = { (uintptr_t)fz_at(a[0]), fz_len(a[0], a[1]) },
		.mode = a[2],
	};

	return ioctl(uffd, UFFDIO_REGISTER, &reg);
}

static long call_uffd_unregister(const uint64_t *a)
{
	struct uffdio_range range = { (uintptr_t)fz_at(a[0]), fz_len(a[0], a[1]) };

	return ioctl(uffd, UFFDIO_UNREGISTER, &range);
}

static long call_uffd_wp(const uint64_t *a)
{
	struct uffdio_writeprotect wp = {
		.range = { (uintptr_t)fz_at(a[0]), fz_len(a[0], a[1]) },
		.mode = a[2] & 1 ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	return ioctl(uffd, UFFDIO_WRITEPROTECT, &wp);
}

static long call_uffd_zero(const uint64_t *a)
{
	struct uffdio_zeropage zero = {
		.range = { (uintptr_t)fz_at(a[0]), fz_len(a[0], a[1]) },
	};

	return ioctl(uffd, UFFDIO_ZEROPAGE, &zero);
}

#define ARG_SLOT	SLOT("slot", SLOTS)
#define ARG_FILE	SLOT("file", HMM_FILES)
#define ARG_HOW		CHOICE("how", hows)
#define ARG_MS		NUMBER("ms", 10)

const struct fz_call_type calls_notifier[] = {
	{ "insert", 24, call_insert,
	  { ARG_SLOT, ARG_AT, ARG_PAGES, NUMBER("from", 4096), NUMBER("less", 4096),
	    FLAGS("flags", insert_flags) } },
	{ "remove", 10, call_remove, { ARG_SLOT } },
	{ "run", 20, call_run, { CHOICE("role", roles), ARG_MS } },
	{ "read_begin", 4, call_read_begin, { ARG_SLOT } },
	{ "tune", 3, call_tune, { NUMBER("us", 500) } },
	{ "refused", 3, call_refused, { ARG_SLOT, ARG_MS } },
	{ },
};

const struct fz_call_type calls_hmm[] = {
	{ "hmm_open", 6, call_open, { ARG_FILE } },
	{ "hmm_close", 2, call_close, { ARG_FILE } },
	{ "hmm_take", 18, call_take,
	  { ARG_FILE, ARG_AT, ARG_PAGES, ARG_HOW, ARG_MS,
	    CHOICE("request", requests), CHOICE("mask", requests),
	    NUMBER("pin", 2) } },
	{ "hmm_access", 10, call_access,
	  { ARG_FILE, ARG_AT, NUMBER("word", 512), NUMBER("write", 2), ARG_HOW,
	    ARG_MS } },
	{ "hmm_migrate", 4, call_migrate, { ARG_FILE, ARG_AT, ARG_PAGES } },
	{ "uffd", 3, call_uffd, { } },
	{ "uffd_register", 4, call_uffd_register,
	  { ARG_AT, ARG_PAGES, CHOICE("mode", uffd_modes) } },
	{ "uffd_unregister", 3, call_uffd_unregister, { ARG_AT, ARG_PAGES } },
	{ "uffd_wp", 4, call_uffd_wp, { ARG_AT, ARG_PAGES, NUMBER("on", 2) } },
	{ "uffd_zero", 3, call_uffd_zero, { ARG_AT, ARG_PAGES } },
	{ },
};

const char *notifier_prepare(void)
{
	if (access(GM_MN_DEVICE, F_OK))
		gm_run(NULL, 0, GM_TIMEOUT_MS, "modprobe mn_check");
	if (access(GM_HMM_DEVICE, F_OK))
		gm_run(NULL, 0, GM_TIMEOUT_MS, "modprobe hmm_check");
	if (access(GM_MN_DEVICE, F_OK) || access(GM_HMM_DEVICE, F_OK))
		return "the modules mn_check and hmm_check are not there";
	mm_prepare();
	return NULL;
}

void notifier_before(void)
{
	bench = open(GM_MN_DEVICE, O_RDWR | O_CLOEXEC);
}

/* The subscriptions have outlived their process. */
const char *notifier_wrong(bool thorough)
{
	static char why[128];
	struct gm_mn_stats st = { };
	const __u64 *s = st.stat;

	(void)thorough;
	if (ioctl(bench, GM_MN_GET_STATS, &st))
		return "mn_check does not say what it has seen";
	close(bench);
	bench = -1;
	if (!s[GM_MN_MISMATCHES] && !s[GM_MN_AFTER_FREE] && !s[GM_MN_UNFINISHED])
		return NULL;
	snprintf(why, sizeof(why),
		 "mn_check: %llu wrong entries, %llu callbacks after removal, %llu second passes missing",
		 s[GM_MN_MISMATCHES], s[GM_MN_AFTER_FREE], s[GM_MN_UNFINISHED]);
	return why;
}
