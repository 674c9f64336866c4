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

/* A file of lines with words, under a line that names them. */
struct table {
	const char *const *columns; /* that have to be there, in the order that parse() wants */
	int nr_columns;
	size_t row_size;
	/* Is a line right? Then *row is filled in. */
	bool (*parse)(char *const *word, void *row);
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

static int parse_header(char *line, const struct table *table, int place[MAX_WORDS])
{
	char *words[MAX_WORDS];
	int n = split(line, words);

	for (int c = 0; c < table->nr_columns; c++) {
		place[c] = -1;
		for (int i = 0; i < n; i++)
			if (!strcmp(words[i], table->columns[c]))
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

/* An older driver does not escape all that a process may call itself. */
static bool text(const char *word, char *to, size_t size)
{
	size_t len = strlen(word);

	if (len >= size)
		return false;
	for (size_t i = 0; i <= len; i++)
		to[i] = word[i] && (word[i] < ' ' || word[i] > '~') ? '?' : word[i];
	return true;
}

static bool number32(const char *word, unsigned int *value)
{
	unsigned long long v;

	if (!number(word, UINT32_MAX, &v))
		return false;
	*value = v;
	return true;
}

static bool parse_line(char *line, const struct table *table, const int place[MAX_WORDS],
		       int words, void *row)
{
	char *word[MAX_WORDS], *ours[MAX_WORDS];

	if (split(line, word) != words)
		return false;
	for (int c = 0; c < table->nr_columns; c++)
		ours[c] = word[place[c]];
	return table->parse(ours, row);
}

/* *rows is to be freed by the caller, if 0 is returned. */
static int parse_table(FILE *f, const struct table *table, void **rows, size_t *nr)
{
	int place[MAX_WORDS], words;
	size_t n = 0, room = 0;
	char *all = NULL, *more;
	char line[512];

	if (!fgets(line, sizeof(line), f))
		return -EPROTO;
	words = parse_header(line, table, place);
	if (words < 0)
		return words;
	while (fgets(line, sizeof(line), f)) {
		if (n == room) {
			room = room ? 2 * room : 64;
			more = reallocarray(all, room, table->row_size);
			if (!more) {
				free(all);
				return -ENOMEM;
			}
			all = more;
		}
		memset(all + n * table->row_size, 0, table->row_size);
		if (!parse_line(line, table, place, words, all + n++ * table->row_size)) {
			free(all);
			return -EPROTO;
		}
	}
	if (ferror(f)) {
		free(all);
		return -EIO;
	}
	*rows = all;
	*nr = n;
	return 0;
}

/* ---- the driver's files ---- */

#define TABLE(names, type, function) \
	{ \
		.columns = names, .nr_columns = sizeof(names) / sizeof(*names), \
		.row_size = sizeof(type), .parse = function, \
	}

static const char *const map_columns[] = {
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

static bool parse_map(char *const *word, void *row)
{
	struct gv_map *map = row;
	unsigned int pid;

	if (!number32(word[0], &pid))
		return false;
	map->pid = pid;
	return text(word[1], map->comm, sizeof(map->comm)) && number32(word[2], &map->file) &&
	       text(word[3], map->state, sizeof(map->state)) &&
	       number(word[4], UINT64_MAX, &map->offset) && number32(word[5], &map->count) &&
	       text(word[6], map->domids, sizeof(map->domids)) &&
	       number32(word[7], &map->kernel) && number32(word[8], &map->user) &&
	       number32(word[9], &map->deferred) && number32(word[10], &map->age_ms);
}

static bool parse_tallies(char *const *word, unsigned long long n[GV_NR_TALLIES])
{
	for (int i = 0; i < GV_NR_TALLIES; i++)
		if (!number(word[i], UINT64_MAX, &n[i]))
			return false;
	return true;
}

static const char *const file_columns[] = {
	"pid",
	"comm",
	"file",
	"mapped",
	"unmapped",
	"copied",
	"errors",
};

static bool parse_file(char *const *word, void *row)
{
	struct gv_count *count = row;
	unsigned int pid;

	if (!number32(word[0], &pid))
		return false;
	count->pid = pid;
	return text(word[1], count->name, sizeof(count->name)) &&
	       number32(word[2], &count->id) && parse_tallies(word + 3, count->n);
}

static const char *const domain_columns[] = {
	"domid",
	"mapped",
	"unmapped",
	"copied",
	"errors",
};

static bool parse_domain(char *const *word, void *row)
{
	struct gv_count *count = row;

	return number32(word[0], &count->id) && text(word[0], count->name, sizeof(count->name)) &&
	       parse_tallies(word + 1, count->n);
}

static const char *const busy_columns[] = {
	"pid",
	"comm",
	"file",
	"state",
	"domid",
	"ref",
	"deferred",
	"page_refs",
	"mapcount",
	"pinned",
	"age_ms",
};

static bool parse_busy(char *const *word, void *row)
{
	struct gv_busy *busy = row;
	unsigned int pid, pinned, age = 0;
	bool known = strcmp(word[10], "-1");

	if (!number32(word[0], &pid) || !number32(word[9], &pinned) ||
	    (known && !number32(word[10], &age)))
		return false;
	busy->pid = pid;
	busy->pinned = pinned;
	busy->age_ms = known ? (long long)age : -1;
	return text(word[1], busy->comm, sizeof(busy->comm)) && number32(word[2], &busy->file) &&
	       text(word[3], busy->state, sizeof(busy->state)) &&
	       number32(word[4], &busy->domid) && number32(word[5], &busy->ref) &&
	       number32(word[6], &busy->pages) && number32(word[7], &busy->refs) &&
	       number32(word[8], &busy->mapcount);
}

static const struct table map_table = TABLE(map_columns, struct gv_map, parse_map);
static const struct table file_table = TABLE(file_columns, struct gv_count, parse_file);
static const struct table domain_table = TABLE(domain_columns, struct gv_count, parse_domain);
static const struct table busy_table = TABLE(busy_columns, struct gv_busy, parse_busy);

static FILE *open_in(const char *dir, const char *name)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return fopen(path, "re");
}

static int read_table(const char *dir, const char *name, const struct table *table, void **rows,
		      size_t *nr)
{
	FILE *f = open_in(dir, name);
	int ret;

	if (!f)
		return -errno;
	ret = parse_table(f, table, rows, nr);
	fclose(f);
	return ret;
}

/* What an older driver has not got: *there is false then. */
static int read_newer(const char *dir, const char *name, const struct table *table, void **rows,
		      size_t *nr, bool *there)
{
	int ret = read_table(dir, name, table, rows, nr);

	*there = ret != -ENOENT;
	return *there ? ret : 0;
}

/**
 * gv_read() - Read all that there is now
 * @dir: GV_DIR, or a folder with files like those there
 * @view: filled in; to be given to gv_free() if 0 is returned
 *
 * The files are not read at the same moment: their figures may differ by what happened
 * between.
 */
int gv_read(const char *dir, struct gv_view *view)
{
	FILE *f = open_in(dir, "stats");
	bool files, domains;
	int ret;

	memset(view, 0, sizeof(*view));
	if (!f)
		return -errno;
	ret = gv_parse_stats(f, &view->stats);
	fclose(f);
	if (!ret)
		ret = read_table(dir, "maps", &map_table, (void **)&view->maps, &view->nr_maps);
	if (!ret)
		ret = read_newer(dir, "files", &file_table, (void **)&view->files,
				 &view->nr_files, &files);
	if (!ret)
		ret = read_newer(dir, "domains", &domain_table, (void **)&view->domains,
				 &view->nr_domains, &domains);
	if (!ret)
		ret = read_newer(dir, "deferred", &busy_table, (void **)&view->busy,
				 &view->nr_busy, &view->has_waits);
	if (ret) {
		gv_free(view);
		return ret;
	}
	view->has_counts = files && domains;
	return 0;
}

void gv_free(struct gv_view *view)
{
	free(view->maps);
	free(view->files);
	free(view->domains);
	free(view->busy);
	memset(view, 0, sizeof(*view));
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
