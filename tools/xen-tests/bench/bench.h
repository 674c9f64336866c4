/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs of suite bench share: the device of module mn_bench, and how a
 * figure is printed.
 *
 * A program prints its figures, and does not judge them:
 *
 *   # bench NAME unit=UNIT n=N min=A p50=B p99=C max=D [cut=1]
 *
 * lab/bench.sh collects these lines and compares them as the file targets says.
 * UNIT is ticks (of the TSC: instructions in a lab with ICOUNT=1), ticks/kpage (for
 * 1000 pages), ns, bytes or ops/s. cut=1: the longest was cut off, it would have gone on.
 *
 * In `make test` the programs take few samples; `make bench` sets GM_LONG, for all.
 */
#ifndef BENCH_H
#define BENCH_H

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "gm_test.h"
#include "mn_bench/mn_bench.h"

#define PAGE	GM_PAGE_SIZE
#define US	1000ULL
#define MS	(1000 * US)

struct bench {
	int fd;
	uint32_t tsc_khz;
	uint64_t overhead; /* of every sample, in ticks */
	bool full;
};

static inline bool bench_is_full(void)
{
	const char *lasting = getenv("GM_LONG");

	return lasting && *lasting;
}

/* -- figures ------------------------------------------------------------------- */

static inline int bench_compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Sorts @samples; @more is added to the line. */
static inline void bench_print(const char *name, const char *unit,
			       uint64_t *samples, unsigned int n,
			       const char *more)
{
	qsort(samples, n, sizeof(*samples), bench_compare);
	gm_note("bench %s unit=%s n=%u min=%llu p50=%llu p99=%llu max=%llu%s",
		name, unit, n, (unsigned long long)samples[0],
		(unsigned long long)samples[n / 2],
		(unsigned long long)samples[(99 * n + 99) / 100 - 1],
		(unsigned long long)samples[n - 1], more);
}

static inline void bench_print_one(const char *name, const char *unit,
				   uint64_t value)
{
	bench_print(name, unit, &value, 1, "");
}

/* @samples are ticks; less what the measuring itself takes */
static inline void bench_print_cost(const struct bench *b, const char *name,
				    uint64_t *samples, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		samples[i] -= samples[i] < b->overhead ? samples[i] :
							 b->overhead;
	bench_print(name, "ticks", samples, n, "");
}

/* @samples are ticks, the figures ns */
static inline void bench_print_time(const struct bench *b, const char *name,
				    uint64_t *samples, unsigned int n, bool cut)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		samples[i] = samples[i] * 1e6 / b->tsc_khz;
	bench_print(name, "ns", samples, n, cut ? " cut=1" : "");
}

/* -- the device: 0 or a number, or a negative errno ------------------------------ */

/* -EOPNOTSUPP: this kernel has no such kind of callback */
static inline int bench_subscribe(struct bench *b, const void *start,
				  size_t length, size_t stride,
				  unsigned int count, enum mnb_kind kind,
				  uint64_t delay)
{
	struct mnb_subscribe arg = {
		.start = (uintptr_t)start,
		.length = length,
		.stride = stride,
		.count = count,
		.kind = kind,
		.delay = delay,
	};
	int ret = ioctl(b->fd, MNB_SUBSCRIBE, &arg);

	return ret < 0 ? -errno : ret;
}

static inline int bench_unsubscribe(struct bench *b, int group)
{
	return ioctl(b->fd, MNB_UNSUBSCRIBE, group) < 0 ? -errno : 0;
}

/* Repetitions that were done; @arg.count is what was asked for. */
static inline int bench_repeat(struct bench *b, unsigned long what,
			       struct mnb_repeat arg)
{
	int ret = ioctl(b->fd, what, &arg);

	return ret < 0 ? -errno : (int)arg.count;
}

/* What repetitions on one page cost, in @samples (@n of them). */
static inline int bench_cost(struct bench *b, unsigned long what,
			     const void *page, int group, uint64_t *samples,
			     unsigned int n)
{
	return bench_repeat(b, what,
			    (struct mnb_repeat){
				    .start = (uintptr_t)page,
				    .length = PAGE,
				    .count = n,
				    .group = group,
				    .samples = { (uintptr_t)samples },
			    });
}

static inline int bench_open(struct bench *b)
{
	uint64_t samples[101];
	struct mnb_info info;
	int ret;

	b->full = bench_is_full();
	b->fd = open(MNB_DEVICE, O_RDWR | O_CLOEXEC);
	if (b->fd < 0)
		return -errno;
	if (ioctl(b->fd, MNB_INFO, &info) < 0)
		return -errno;
	b->tsc_khz = info.tsc_khz;
	ret = bench_cost(b, MNB_NOTHING, (void *)PAGE, 0, samples, 101);
	if (ret != 101)
		return ret < 0 ? ret : -EIO;
	qsort(samples, ret, sizeof(samples[0]), bench_compare);
	b->overhead = samples[ret / 2];
	return 0;
}

static inline void bench_close(struct bench *b)
{
	close(b->fd);
}

/*
 * A moment after boot, as soon as the kernel trusts the TSC, timers are exact; before,
 * they end with the next tick, which is milliseconds.
 */
static inline bool bench_timers_are_exact(void)
{
	struct timespec res;

	return !clock_getres(CLOCK_MONOTONIC, &res) && !res.tv_sec &&
	       res.tv_nsec == 1;
}

/* Each program brings its module, and takes it away again. */
static inline int bench_main(int argc, char **argv, const char *module,
			     const char *device)
{
	bool there = !access(device, F_OK);
	char command[64];
	int ret;

	/* Should it fail, every test says so. */
	snprintf(command, sizeof(command), "modprobe %s", module);
	if (!there && system(command))
		fprintf(stderr, "bench: %s failed\n", command);
	if (!gm_wait(bench_timers_are_exact(), 10000))
		fprintf(stderr, "bench: timers are not exact, times will be wrong\n");
	ret = test_harness_run(argc, argv);
	snprintf(command, sizeof(command), "rmmod %s", module);
	if (!there && system(command))
		fprintf(stderr, "bench: %s failed\n", command);
	return ret;
}

#define BENCH_MAIN                                   \
	int main(int argc, char **argv)              \
	{                                            \
		return bench_main(argc, argv, "mn_bench", MNB_DEVICE); \
	}

#endif /* BENCH_H */
