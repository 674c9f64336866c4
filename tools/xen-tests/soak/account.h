/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The account: what dom0, its kernel and Xen hold just now, so that what is held after hours of
 * work can be compared with what was held before. All of it comes from those that own it (the
 * kernel's files, Xen's hypercalls), nothing from what a test believes to have given back.
 *
 * Some of it goes late (RCU, a worker, Xen's own clean-up), and caches fill up: so before each
 * reading caches are emptied, a base is the lowest of some readings, and a comparison is
 * repeated until nothing has grown, or too long. What may have grown all the same is in the
 * table of rows, with the reason.
 */
#ifndef SOAK_ACCOUNT_H
#define SOAK_ACCOUNT_H

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "dom.h"
#include "gm_gpu.h"
#include "gm_test.h"

enum account_row {
	ROW_SLAB,
	ROW_UNACCOUNTED,
	ROW_PERCPU,
	ROW_VMALLOC,
	ROW_CGROUPS,
	ROW_FILES,
	ROW_DESCRIPTORS,
	ROW_PROCESSES,
	ROW_INTERRUPTS,
	ROW_MAPS,
	ROW_HANDLES,
	ROW_DEFERRED,
	ROW_LEAKED,
	ROW_MAPTRACK,
	ROW_GRANT_FRAMES,
	ROW_GRANTS,
	ROW_DOMAINS,
	ROW_DOM0_PAGES,
	ROW_HOST_USED,
	ROW_DMABUFS,
	ROW_IMPORTERS,
	ROW_GPU_FILES,
	ROW_GPU_CONTEXT,
	ROW_GPU_MEMORY,
	NR_ROWS
};

/* A row that grows by more than @slack is a leak. */
struct account_what {
	const char *name;
	const char *unit;
	long slack;
};

static const struct account_what account_what[NR_ROWS] = {
	/* Beside this each cache by itself, below. */
	[ROW_SLAB] = { "slab", "KiB", 512 },
	/* The counters that it is made of are not read at the same moment. */
	[ROW_UNACCOUNTED] = { "pages of no known use", "KiB", 1024 },
	[ROW_PERCPU] = { "per-CPU memory", "KiB", 64 },
	[ROW_VMALLOC] = { "vmalloc", "KiB", 64 },
	/* One that something charged to it still keeps. */
	[ROW_CGROUPS] = { "cgroups, dying", "", 0 },
	/* file-nr of /proc is only about right; so these are the objects of their cache. */
	[ROW_FILES] = { "open files", "", 0 },
	[ROW_DESCRIPTORS] = { "descriptors of all processes", "", 0 },
	[ROW_PROCESSES] = { "processes", "", 0 },
	/* Event channels among them */
	[ROW_INTERRUPTS] = { "interrupts", "", 0 },
	[ROW_MAPS] = { "gntdev: maps", "", 0 },
	[ROW_HANDLES] = { "gntdev: handles of Xen", "", 0 },
	[ROW_DEFERRED] = { "gntdev: deferred", "pages", 0 },
	[ROW_LEAKED] = { "gntdev: leaked", "pages", 0 },
	/*
	 * Xen never gives these back: they are for the most that was ever mapped at once. A handle
	 * that leaks with each map would be hundreds of them.
	 */
	[ROW_MAPTRACK] = { "maptrack", "frames", 8 },
	/* The same; a reference that leaks with each import would be dozens. */
	[ROW_GRANT_FRAMES] = { "grant table of dom0", "frames", 1 },
	[ROW_GRANTS] = { "grants of dom0 in use", "", 0 },
	[ROW_DOMAINS] = { "domains and their traces", "lines", 0 },
	[ROW_DOM0_PAGES] = { "dom0's own memory", "pages", 0 },
	/* maptrack, and Xen's own heap; see account_slack() */
	[ROW_HOST_USED] = { "memory of the host", "pages", 64 },
	[ROW_DMABUFS] = { "dma-bufs", "", 0 },
	[ROW_IMPORTERS] = { "gnt_importer: open files", "", 0 },
	[ROW_GPU_FILES] = { "xgpu: users of the module", "", 0 },
	/* The lowest that is free */
	[ROW_GPU_CONTEXT] = { "xgpu: next context", "", 0 },
	[ROW_GPU_MEMORY] = { "xgpu: video memory", "KiB", 0 },
};

/*
 * Objects of one cache: a handful come and go with the daemons of dom0. One that is lost with
 * each guest's life, or with one map of a thousand, is more.
 */
#define ACCOUNT_CACHE_SLACK	48
#define ACCOUNT_CACHES		384

/* How often a base is read, and how long after; how long a comparison may take in all */
#define ACCOUNT_READINGS	3
#define ACCOUNT_APART_MS	1500
#define ACCOUNT_DROPS		4
/* What has been freed, but for those who may still read it */
#define ACCOUNT_RCU_MS		100
#define ACCOUNT_LATE_MS		60000

struct account_cache {
	char name[40];
	long objects;
	long size;
};

struct account {
	long value[NR_ROWS];	/* -1: there is no such thing here */
	unsigned int nr_caches;
	struct account_cache cache[ACCOUNT_CACHES];
};

/* ---- where the figures come from ---- */

#define GNTDEV_STATS	"/sys/kernel/debug/xen/gntdev/stats"
#define SLABS		"/sys/kernel/slab"

/* Free pages that processors keep at hand, and that do not count as free: megabytes, at times */
static inline long account_at_hand(void)
{
	FILE *f = fopen("/proc/zoneinfo", "re");
	long kib = 0, pages;
	char line[256];

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " count: %ld", &pages) == 1)
			kib += pages * (long)(GM_PAGE_SIZE / KIB);
	fclose(f);
	return kib;
}

/* What is neither free nor listed: pages that somebody in the kernel has allocated. */
static inline long account_unaccounted(void)
{
	static const char *const known[] = {
		"MemFree", "Buffers", "Cached", "SwapCached", "AnonPages", "Slab",
		"KernelStack", "PageTables", "SecPageTables", "Percpu",
	};
	long rest = gm_meminfo("MemTotal") - account_at_hand();

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		long kib = gm_meminfo(known[i]);

		rest -= kib > 0 ? kib : 0;
	}
	return rest;
}

/* The number at @field of a file's only line, or -1 */
static inline long account_field(const char *path, unsigned int field)
{
	char text[256], *at = text;
	long value = -1;

	if (gm_read_file(path, text, sizeof(text)) <= 0)
		return -1;
	for (unsigned int i = 0; i <= field; i++) {
		char *end;

		value = strtol(at, &end, 10);
		if (end == at)
			return -1;
		at = end;
	}
	return value;
}

static inline long account_lines(const char *path)
{
	FILE *f = fopen(path, "re");
	long lines = 0;
	int c;

	if (!f)
		return -1;
	while ((c = getc(f)) != EOF)
		lines += c == '\n';
	fclose(f);
	return lines;
}

static inline long account_dir_entries(const char *path)
{
	DIR *dir = opendir(path);
	long n = 0;

	if (!dir)
		return -1;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Kernel threads come and go; a process has an executable, or is a zombie that nobody reaps. */
static inline bool account_is_process(const char *pid)
{
	char path[64], stat[512], *end;
	unsigned long flags = 0;

	snprintf(path, sizeof(path), "/proc/%.16s/stat", pid);
	if (gm_read_file(path, stat, sizeof(stat)) <= 0)
		return false;
	end = strrchr(stat, ')');
	/* PF_KTHREAD of <linux/sched.h>, which is not for user space */
	return end && sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %lu", &flags) == 1 &&
	       !(flags & 0x00200000);
}

static inline void account_processes(struct account *a)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;
	char path[64];

	a->value[ROW_PROCESSES] = 0;
	a->value[ROW_DESCRIPTORS] = 0;
	while (proc && (d = readdir(proc))) {
		long fds;

		if (!isdigit(d->d_name[0]) || !account_is_process(d->d_name))
			continue;
		snprintf(path, sizeof(path), "/proc/%.16s/fd", d->d_name);
		fds = account_dir_entries(path);
		a->value[ROW_PROCESSES]++;
		a->value[ROW_DESCRIPTORS] += fds > 0 ? fds : 0;
	}
	if (proc)
		closedir(proc);
}

/* The root has the sum of them all; the file is there when somebody mounts it. */
static inline long account_dying_cgroups(void)
{
	static const char dir[] = "/tmp/gm-account-cgroup";
	char path[64];
	long n;

	mkdir(dir, 0755);
	if (mount("none", dir, "cgroup2", 0, NULL)) {
		rmdir(dir);
		return -1;
	}
	snprintf(path, sizeof(path), "%s/cgroup.stat", dir);
	n = gm_read_value(path, "nr_dying_descendants");
	umount(dir);
	rmdir(dir);
	return n;
}

static inline long account_dmabufs(void)
{
	FILE *f = fopen("/sys/kernel/debug/dma_buf/bufinfo", "re");
	char line[256];
	long n = -1;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		if (strstr(line, "objects"))
			sscanf(line, "Total %ld", &n);
	fclose(f);
	return n;
}

static inline long account_grant_frames(void)
{
	struct gntdev_query query = { .size = sizeof(query) };
	int fd = gm_gntdev_open();
	long frames = -1;

	if (fd >= 0 && !ioctl(fd, IOCTL_GNTDEV_QUERY, &query))
		frames = query.gnttab_frames;
	if (fd >= 0)
		close(fd);
	return frames;
}

static inline long account_census_lines(void)
{
	char *census = dom_census();
	long lines = 0;

	for (const char *c = census; c && *c; c++)
		lines += *c == '\n';
	free(census);
	return lines;
}

static inline void account_gpu(struct account *a)
{
	struct xgpu_query query = { .size = sizeof(query) };
	int fd;

	a->value[ROW_GPU_FILES] = account_field("/sys/module/xgpu/refcnt", 0);
	fd = open(GPU_0, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && !gpu_ioctl(fd, XGPU_IOCTL_QUERY, &query)) {
		a->value[ROW_GPU_CONTEXT] = query.context;
		a->value[ROW_GPU_MEMORY] = query.vram_used / KIB;
	}
	if (fd >= 0)
		close(fd);
}

static inline void account_caches(struct account *a, FILE *slabinfo)
{
	char line[512];

	while (a->nr_caches < ACCOUNT_CACHES && fgets(line, sizeof(line), slabinfo)) {
		struct account_cache *c = &a->cache[a->nr_caches];

		if (sscanf(line, "%39s %ld %*d %ld", c->name, &c->objects, &c->size) != 3)
			continue;
		if (!strcmp(c->name, "filp"))
			a->value[ROW_FILES] = c->objects;
		a->nr_caches++;
	}
}

/*
 * Caches are emptied, so that what is left is in use. A processor's current slab counts as
 * all in use, until its cache is shrunk: and as that, and the reading, allocates, all files that
 * it takes are opened before.
 */
static inline void account_slab(struct account *a)
{
	FILE *slabinfo = fopen("/proc/slabinfo", "re");
	DIR *slabs = opendir(SLABS);
	int shrink[ACCOUNT_CACHES];
	unsigned int n = 0;
	struct dirent *d;
	char path[300];

	while (slabs && n < ACCOUNT_CACHES && (d = readdir(slabs))) {
		snprintf(path, sizeof(path), SLABS "/%s/shrink", d->d_name);
		shrink[n] = open(path, O_WRONLY | O_CLOEXEC);
		n += shrink[n] >= 0;
	}
	sync();
	/* The first time spares what has been used since the last time. */
	for (int i = 0; i < ACCOUNT_DROPS; i++)
		gm_write_file("/proc/sys/vm/drop_caches", "3");
	gm_sleep_ms(ACCOUNT_RCU_MS);
	for (unsigned int i = 0; i < n; i++)
		if (write(shrink[i], "1", 1) != 1)
			break;
	if (slabinfo) {
		account_caches(a, slabinfo);
		fclose(slabinfo);
	}
	for (unsigned int i = 0; i < n; i++)
		close(shrink[i]);
	if (slabs)
		closedir(slabs);
}

static inline void account_read(struct account *a)
{
	struct dom_state dom0 = { };

	memset(a, 0, sizeof(*a));
	for (int i = 0; i < NR_ROWS; i++)
		a->value[i] = -1;
	account_slab(a);
	a->value[ROW_SLAB] = gm_meminfo("SUnreclaim");
	a->value[ROW_UNACCOUNTED] = account_unaccounted();
	a->value[ROW_PERCPU] = gm_meminfo("Percpu");
	a->value[ROW_VMALLOC] = gm_meminfo("VmallocUsed");
	a->value[ROW_CGROUPS] = account_dying_cgroups();
	account_processes(a);
	a->value[ROW_INTERRUPTS] = account_lines("/proc/interrupts");
	a->value[ROW_MAPS] = gm_read_value(GNTDEV_STATS, "maps");
	a->value[ROW_HANDLES] = gm_read_value(GNTDEV_STATS, "kernel_side") +
				gm_read_value(GNTDEV_STATS, "user_side");
	a->value[ROW_DEFERRED] = gm_read_value(GNTDEV_STATS, "deferred");
	a->value[ROW_LEAKED] = gm_read_value(GNTDEV_STATS, "leaked");
	a->value[ROW_MAPTRACK] = gm_maptrack_frames(0);
	a->value[ROW_GRANT_FRAMES] = account_grant_frames();
	a->value[ROW_GRANTS] = gm_active_entries(0);
	a->value[ROW_DOMAINS] = account_census_lines();
	if (dom_state(0, &dom0))
		a->value[ROW_DOM0_PAGES] = dom0.nr_pages;
	a->value[ROW_HOST_USED] = -(long)dom_free_pages();
	a->value[ROW_DMABUFS] = account_dmabufs();
	a->value[ROW_IMPORTERS] = account_field("/sys/module/gnt_importer/refcnt", 0);
	account_gpu(a);
}

/* ---- comparison ---- */

static inline struct account_cache *account_find(struct account *a, const char *name)
{
	for (unsigned int i = 0; i < a->nr_caches; i++)
		if (!strcmp(a->cache[i].name, name))
			return &a->cache[i];
	return NULL;
}

/* Keeps in @a the lower of each. */
static inline void account_lower(struct account *a, struct account *other)
{
	for (int i = 0; i < NR_ROWS; i++)
		if (other->value[i] < a->value[i])
			a->value[i] = other->value[i];
	for (unsigned int i = 0; i < a->nr_caches; i++) {
		struct account_cache *c = account_find(other, a->cache[i].name);

		if (c && c->objects < a->cache[i].objects)
			a->cache[i].objects = c->objects;
	}
}

/*
 * What later ones are compared with. The first reading of a process opens what others use again:
 * handles of libxenctrl, xenstore.
 */
static inline void account_base(struct account *base)
{
	static struct account next;

	account_read(base);
	account_read(base);
	for (int i = 1; i < ACCOUNT_READINGS; i++) {
		gm_sleep_ms(ACCOUNT_APART_MS);
		account_read(&next);
		account_lower(base, &next);
	}
}

/*
 * Where dom0's devices reach what dom0 maps and nothing else, Xen enters each page that is mapped
 * into tables for the IOMMU. There can be one for each 2 MiB of the machine, and which of them
 * it keeps is its own affair: 69 pages more after half an hour in lab gpu-dom0, none in lab pv,
 * which does the same without an IOMMU, and where nothing more than usual is allowed.
 */
static inline long account_slack(int row)
{
	static long tables = -1;

	if (row != ROW_HOST_USED)
		return account_what[row].slack;
	if (tables < 0) {
		bool strict = !gm_run(NULL, 0, GM_TIMEOUT_MS,
				      "xl info xen_commandline | grep -q dom0-iommu=strict");

		tables = strict ? (dom_host_pages() << 12) >> 21 : 0;
	}
	return account_what[row].slack + tables;
}

static inline bool account_row_grew(const struct account *base, const struct account *now, int row)
{
	return now->value[row] > base->value[row] + account_slack(row);
}

static inline long account_cache_growth(struct account *base, const struct account_cache *now)
{
	const struct account_cache *was = account_find(base, now->name);

	return now->objects - (was ? was->objects : 0);
}

static inline bool account_cache_grew(struct account *base, const struct account_cache *now)
{
	return account_cache_growth(base, now) > ACCOUNT_CACHE_SLACK;
}

static inline int account_grown(struct account *base, const struct account *now)
{
	int grown = 0;

	for (int i = 0; i < NR_ROWS; i++)
		grown += account_row_grew(base, now, i);
	for (unsigned int i = 0; i < now->nr_caches; i++)
		grown += account_cache_grew(base, &now->cache[i]);
	return grown;
}

/* Reads again until nothing has grown: how much has, and @now. */
static inline int account_compare(struct account *base, struct account *now)
{
	double end = gm_now() + ACCOUNT_LATE_MS * gm_scale() / 1000;
	int grown;

	for (;;) {
		account_read(now);
		grown = account_grown(base, now);
		if (!grown || gm_now() > end)
			return grown;
		gm_sleep_ms(ACCOUNT_APART_MS);
	}
}

/* All rows, and of the caches what has grown by half of what is allowed */
static inline void account_print(struct account *base, const struct account *now)
{
	for (int i = 0; i < NR_ROWS; i++) {
		const struct account_what *w = &account_what[i];

		if (now->value[i] == -1 && base->value[i] == -1)
			continue;
		gm_note("%s%s: %ld, then %ld%s%s (%+ld; allowed: %ld)",
			account_row_grew(base, now, i) ? "LEAK " : "", w->name, base->value[i],
			now->value[i], *w->unit ? " " : "", w->unit,
			now->value[i] - base->value[i], account_slack(i));
	}
	for (unsigned int i = 0; i < now->nr_caches; i++) {
		const struct account_cache *c = &now->cache[i];
		long growth = account_cache_growth(base, c);

		if (growth > ACCOUNT_CACHE_SLACK / 2)
			gm_note("%scache %s: %ld objects of %ld bytes (%+ld; allowed: %d)",
				account_cache_grew(base, c) ? "LEAK " : "", c->name, c->objects,
				c->size, growth, ACCOUNT_CACHE_SLACK);
	}
}

#endif /* SOAK_ACCOUNT_H */
