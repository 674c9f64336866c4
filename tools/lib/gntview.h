/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the grant device says of itself in debugfs, as structures: the only place that knows
 * the text of debugfs/xen/gntdev/{stats,maps,files,domains,deferred}. Columns are found by their
 * names, so that a driver with more of them can be read, too. An older one has only the first
 * two files.
 */
#ifndef GNTVIEW_H
#define GNTVIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define GV_DIR "/sys/kernel/debug/xen/gntdev"

enum gv_stat {
	GV_MAPS,
	GV_KERNEL_SIDE,
	GV_USER_SIDE,
	GV_DEFERRED,
	GV_LEAKED,
	GV_TOTAL_MAPPED_KERNEL,
	GV_TOTAL_MAPPED_USER,
	GV_TOTAL_UNMAPPED_KERNEL,
	GV_TOTAL_UNMAPPED_USER,
	GV_TOTAL_COPIED,
	GV_TOTAL_ERRORS,
	GV_NR_STATS
};

struct gv_stats {
	long long value[GV_NR_STATS];
};

/* A line of maps; comm and domids are words as the driver writes them. */
struct gv_map {
	int pid;
	char comm[68]; /* 16 characters, each of which may be escaped */
	char state[16];
	char domids[32];
	unsigned long long offset;
	unsigned int file;
	unsigned int count;
	unsigned int kernel;
	unsigned int user;
	unsigned int deferred;
	unsigned int age_ms;
};

enum gv_tally { GV_MAPPED,
		GV_UNMAPPED,
		GV_COPIED,
		GV_ERRORS,
		GV_NR_TALLIES };

/* A line of files, or of domains */
struct gv_count {
	int pid; /* of a file: who opened it */
	char name[68]; /* comm, or the domid */
	unsigned int id; /* number of the file, or domid */
	unsigned long long n[GV_NR_TALLIES];
	unsigned long long grown[GV_NR_TALLIES]; /* see gv_compare() */
};

/* A line of deferred: the page of a map that has waited longest */
struct gv_busy {
	int pid;
	char comm[68];
	char state[16];
	unsigned int file;
	unsigned int domid;
	unsigned int ref;
	unsigned int pages; /* of the map that wait, this one included */
	unsigned int refs;
	unsigned int mapcount;
	bool pinned;
	long long age_ms; /* -1: not known */
};

struct gv_view {
	struct gv_stats stats;
	struct gv_map *maps;
	size_t nr_maps;
	struct gv_count *files;
	size_t nr_files;
	struct gv_count *domains;
	size_t nr_domains;
	struct gv_busy *busy;
	size_t nr_busy;
	bool has_counts; /* there are files and domains */
	bool has_waits; /* there is deferred */
};

/* The maps of one process, or of one guest (or several, if a map has grants of them). */
struct gv_row {
	int pid;
	char name[68];
	unsigned int maps;
	unsigned int grants;
	unsigned int user;
	unsigned int kernel;
	unsigned int deferred;
	unsigned int oldest_ms; /* age of the oldest map with a deferred page */
	long long wait_ms; /* how long the oldest deferred page has waited; -1: none, or not known */
	bool counted; /* the next two are known */
	unsigned long long n[GV_NR_TALLIES];
	unsigned long long grown[GV_NR_TALLIES];
};

enum gv_by { GV_BY_PROCESS,
	     GV_BY_GUEST };
enum gv_sort { GV_SORT_USER,
	       GV_SORT_KERNEL,
	       GV_SORT_DEFERRED,
	       GV_SORT_MAPS,
	       GV_SORT_RATE,
	       GV_SORT_ERRORS,
	       GV_SORT_OLDEST,
	       GV_NR_SORTS };

struct gv_filter {
	int pid; /* 0: all */
	int domid; /* -1: all */
};

extern const char *const gv_stat_names[GV_NR_STATS];
extern const char *const gv_sort_names[GV_NR_SORTS];

int gv_parse_stats(FILE *f, struct gv_stats *stats);
int gv_read(const char *dir, struct gv_view *view);
void gv_free(struct gv_view *view);
const char *gv_why(const char *dir, int err, char *buf, size_t size);
void gv_compare(const struct gv_view *old, struct gv_view *view);
const struct gv_busy *gv_oldest_busy(const struct gv_view *view);
const char *gv_holder(const struct gv_busy *busy);
bool gv_map_has_domid(const struct gv_map *map, unsigned int domid);
int gv_rows(const struct gv_view *view, enum gv_by by, enum gv_sort sort,
	    const struct gv_filter *filter, struct gv_row **rows, size_t *nr);

#endif /* GNTVIEW_H */
