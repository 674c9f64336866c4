// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads what the grant device says of itself. Functions return 0 or a negative errno;
 * EPROTO: the text is not what a driver of ours writes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "gntview.h"

const char *const gv_stat_names[GV_NR_STATS] = {
	[GV_MAPS] = "maps",
	[GV_KERNEL_SIDE] = "kernel_side",
	[GV_USER_SIDE] = "user_side",
	[GV_DEFERRED] = "deferred",
	[GV_LEAKED] = "leaked",
	[GV_TOTAL_MAPPED_KERNEL] = "total_mapped_kernel",
	[GV_TOTAL_MAPPED_USER] = "total_mapped_user",
	[GV_TOTAL_UNMAPPED_KERNEL] = "total_unmapped_kernel",
	[GV_TOTAL_UNMAPPED_USER] = "total_unmapped_user",
	[GV_TOTAL_COPIED] = "total_copied",
	[GV_TOTAL_ERRORS] = "total_errors",
};

const char *const gv_sort_names[GV_NR_SORTS] = {
	[GV_SORT_USER] = "user",
	[GV_SORT_KERNEL] = "kernel",
	[GV_SORT_DEFERRED] = "deferred",
	[GV_SORT_MAPS] = "maps",
};

/* All that we know must be there; what we do not know is a newer driver's. */
int gv_parse_stats(FILE *f, struct gv_stats *stats)
{
	unsigned int seen = 0;
	char line[128], name[64];
	long long value;

	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%63s %lld", name, &value) != 2)
			return -EPROTO;
		for (int i = 0; i < GV_NR_STATS; i++) {
			if (strcmp(name, gv_stat_names[i]))
				continue;
			stats->value[i] = value;
			seen |= 1U << i;
		}
	}
	if (ferror(f))
		return -EIO;
	return seen == (1U << GV_NR_STATS) - 1 ? 0 : -EPROTO;
}

enum column {
	PID,
	COMM,
	FILE_NR,
	STATE,
	OFFSET,
	COUNT,
	DOMIDS,
	KERNEL,
	USER,
	DEFERRED,
	AGE,
	NR_COLUMNS
};

static const char *const column_names[NR_COLUMNS] = {
	"pid",
	"comm",
	"file",
	"state",
	"offset",
	"count",
	"domids",
	"kernel_side",
	"user_side",
	"deferred",
	"age_ms",
};

/* More than the driver has, for a newer one */
#define MAX_WORDS 32

static int split(char *line, char *words[MAX_WORDS])
{
	char *next, *word;
	int n = 0;

	for (word = strtok_r(line, " \n", &next); word && n < MAX_WORDS;
	     word = strtok_r(NULL, " \n", &next))
		words[n++] = word;
	return n;
}

static int parse_header(char *line, int place[NR_COLUMNS])
{
	char *words[MAX_WORDS];
	int n = split(line, words);

	for (int c = 0; c < NR_COLUMNS; c++) {
		place[c] = -1;
		for (int i = 0; i < n; i++)
			if (!strcmp(words[i], column_names[c]))
				place[c] = i;
		if (place[c] < 0)
			return -EPROTO;
	}
	return n;
}

static bool number(const char *word, unsigned long long max, unsigned long long *value)
{
	char *end;

	errno = 0;
	*value = strtoull(word, &end, 0);
	return *word >= '0' && *word <= '9' && !*end && !errno && *value <= max;
}

static bool text(const char *word, char *to, size_t size)
{
	size_t len = strlen(word);

	if (len >= size)
		return false;
	memcpy(to, word, len + 1);
	return true;
}

static int parse_map(char *line, const int place[NR_COLUMNS], int words, struct gv_map *map)
{
	unsigned long long v[NR_COLUMNS] = { 0 };
	char *word[MAX_WORDS];

	if (split(line, word) != words)
		return -EPROTO;
	for (int c = 0; c < NR_COLUMNS; c++) {
		if (c == COMM || c == STATE || c == DOMIDS)
			continue;
		if (!number(word[place[c]], c == OFFSET ? UINT64_MAX : UINT32_MAX, &v[c]))
			return -EPROTO;
	}
	if (!text(word[place[COMM]], map->comm, sizeof(map->comm)) ||
	    !text(word[place[STATE]], map->state, sizeof(map->state)) ||
	    !text(word[place[DOMIDS]], map->domids, sizeof(map->domids)))
		return -EPROTO;
	map->pid = v[PID];
	map->file = v[FILE_NR];
	map->offset = v[OFFSET];
	map->count = v[COUNT];
	map->kernel = v[KERNEL];
	map->user = v[USER];
	map->deferred = v[DEFERRED];
	map->age_ms = v[AGE];
	return 0;
}

/* *maps is to be freed by the caller, if 0 is returned. */
int gv_parse_maps(FILE *f, struct gv_map **maps, size_t *nr)
{
	struct gv_map *all = NULL, *more;
	size_t n = 0, room = 0;
	int place[NR_COLUMNS], words, ret;
	char line[512];

	if (!fgets(line, sizeof(line), f))
		return -EPROTO;
	words = parse_header(line, place);
	if (words < 0)
		return words;
	while (fgets(line, sizeof(line), f)) {
		if (n == room) {
			room = room ? 2 * room : 64;
			more = reallocarray(all, room, sizeof(*all));
			if (!more) {
				free(all);
				return -ENOMEM;
			}
			all = more;
		}
		ret = parse_map(line, place, words, &all[n++]);
		if (ret) {
			free(all);
			return ret;
		}
	}
	if (ferror(f)) {
		free(all);
		return -EIO;
	}
	*maps = all;
	*nr = n;
	return 0;
}

static FILE *open_in(const char *dir, const char *name)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return fopen(path, "re");
}

/**
 * gv_read() - Read all that there is now
 * @dir: GV_DIR, or a folder with files like those there
 * @view: filled in; to be given to gv_free() if 0 is returned
 *
 * The two files are not read at the same moment: their figures may differ by what happened
 * between.
 */
int gv_read(const char *dir, struct gv_view *view)
{
	FILE *f = open_in(dir, "stats");
	int ret;

	memset(view, 0, sizeof(*view));
	if (!f)
		return -errno;
	ret = gv_parse_stats(f, &view->stats);
	fclose(f);
	if (ret)
		return ret;
	f = open_in(dir, "maps");
	if (!f)
		return -errno;
	ret = gv_parse_maps(f, &view->maps, &view->nr_maps);
	fclose(f);
	return ret;
}

void gv_free(struct gv_view *view)
{
	free(view->maps);
	view->maps = NULL;
	view->nr_maps = 0;
}

static const char *missing(void)
{
	struct statfs fs;

	if (access("/proc/xen", F_OK) && access("/sys/hypervisor/type", F_OK))
		return "this kernel does not run on Xen";
	/* The folder is there without it, too. */
	if (statfs("/sys/kernel/debug", &fs) || fs.f_type != DEBUGFS_MAGIC)
		return "debugfs is not mounted: mount -t debugfs debugfs /sys/kernel/debug";
	if (access("/sys/module/xen_gntdev", F_OK))
		return "the grant device is not there: modprobe xen-gntdev";
	return "the grant device is the stock driver, which says nothing of itself: see "
	       "grantmirror-gntdev-dkms, or boot grantmirror's kernel";
}

/**
 * gv_why() - Say why gv_read() failed, and what to do
 * @dir: what it was called with
 * @err: what it returned
 * @buf: for the answer
 * @size: of @buf
 */
const char *gv_why(const char *dir, int err, char *buf, size_t size)
{
	if ((err == -EACCES || err == -ENOENT) && !strcmp(dir, GV_DIR) && geteuid())
		snprintf(buf, size, "only root may look into %s: try sudo", dir);
	else if (err == -ENOENT && !strcmp(dir, GV_DIR))
		snprintf(buf, size, "no %s: %s", dir, missing());
	else if (err == -EPROTO)
		snprintf(buf, size, "%s: not written by a driver that this program knows", dir);
	else
		snprintf(buf, size, "%s: %s", dir, strerror(-err));
	return buf;
}

/* Has it grants of this domain? The driver names four domains of a map at the most. */
bool gv_map_has_domid(const struct gv_map *map, unsigned int domid)
{
	const char *p = map->domids;
	char *end;

	for (;;) {
		if (strtoul(p, &end, 10) == domid && end != p)
			return true;
		if (*end != ',')
			return false;
		p = end + 1;
	}
}

static unsigned int sort_key(const struct gv_row *row, enum gv_sort sort)
{
	switch (sort) {
	case GV_SORT_KERNEL:
		return row->kernel;
	case GV_SORT_DEFERRED:
		return row->deferred;
	case GV_SORT_MAPS:
		return row->maps;
	default:
		return row->user;
	}
}

/* Largest first; equal ones in an order that does not change from one look to the next. */
static int compare(const void *a, const void *b, void *sort)
{
	const struct gv_row *x = a, *y = b;
	unsigned int kx = sort_key(x, *(enum gv_sort *)sort);
	unsigned int ky = sort_key(y, *(enum gv_sort *)sort);

	if (kx != ky)
		return kx < ky ? 1 : -1;
	return x->pid != y->pid ? (x->pid > y->pid) - (x->pid < y->pid) :
				  strcmp(x->name, y->name);
}

static void add(struct gv_row *row, const struct gv_map *map)
{
	row->maps++;
	row->grants += map->count;
	row->user += map->user;
	row->kernel += map->kernel;
	row->deferred += map->deferred;
	if (map->deferred && map->age_ms > row->oldest_ms)
		row->oldest_ms = map->age_ms;
}

/* *rows is to be freed by the caller, if 0 is returned. */
int gv_rows(const struct gv_view *view, enum gv_by by, enum gv_sort sort,
	    const struct gv_filter *filter, struct gv_row **rows, size_t *nr)
{
	struct gv_row *all = calloc(view->nr_maps + 1, sizeof(*all));
	size_t n = 0, r;

	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < view->nr_maps; i++) {
		const struct gv_map *map = &view->maps[i];
		const char *name = by == GV_BY_PROCESS ? map->comm : map->domids;
		int pid = by == GV_BY_PROCESS ? map->pid : 0;

		if ((filter->pid && map->pid != filter->pid) ||
		    (filter->domid >= 0 && !gv_map_has_domid(map, filter->domid)))
			continue;
		for (r = 0; r < n; r++)
			if (all[r].pid == pid && !strcmp(all[r].name, name))
				break;
		if (r == n) {
			all[n].pid = pid;
			strcpy(all[n++].name, name);
		}
		add(&all[r], map);
	}
	qsort_r(all, n, sizeof(*all), compare, &sort);
	*rows = all;
	*nr = n;
	return 0;
}
