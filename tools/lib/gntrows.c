// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the grant device says, added up by process or by guest.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gntview.h"

const char *const gv_sort_names[GV_NR_SORTS] = {
	[GV_SORT_USER] = "user",
	[GV_SORT_KERNEL] = "kernel",
	[GV_SORT_DEFERRED] = "deferred",
	[GV_SORT_MAPS] = "maps",
	[GV_SORT_RATE] = "rate",
	[GV_SORT_ERRORS] = "errors",
	[GV_SORT_OLDEST] = "oldest",
};

static void compare_counts(const struct gv_count *old, size_t nr_old, struct gv_count *new,
			   size_t nr_new)
{
	for (size_t i = 0; i < nr_new; i++) {
		const struct gv_count *was = NULL;

		for (size_t k = 0; k < nr_old && !was; k++)
			if (old[k].id == new[i].id)
				was = &old[k];
		/* One that is new since then began with 0; less than it had: it began again. */
		for (int t = 0; t < GV_NR_TALLIES; t++) {
			new[i].grown[t] = new[i].n[t];
			if (was && was->n[t] <= new[i].n[t])
				new[i].grown[t] -= was->n[t];
		}
	}
}

/**
 * gv_compare() - Find out what has happened between two views
 * @old: the one before
 * @view: its counts' @grown is filled in; all 0 without this
 */
void gv_compare(const struct gv_view *old, struct gv_view *view)
{
	if (!old->has_counts || !view->has_counts)
		return;
	compare_counts(old->files, old->nr_files, view->files, view->nr_files);
	compare_counts(old->domains, old->nr_domains, view->domains, view->nr_domains);
}

/* NULL: no page waits. */
const struct gv_busy *gv_oldest_busy(const struct gv_view *view)
{
	const struct gv_busy *oldest = NULL;

	for (size_t i = 0; i < view->nr_busy; i++)
		if (!oldest || view->busy[i].age_ms > oldest->age_ms)
			oldest = &view->busy[i];
	return oldest;
}

/* What holds it, as far as the kernel can tell: a reference has no name on it. */
const char *gv_holder(const struct gv_busy *busy)
{
	if (busy->pinned)
		return "pinned (direct I/O, a device)";
	if (busy->mapcount)
		return "mapped by a process";
	if (busy->refs > 1)
		return "referenced (a pipe, a socket, I/O)";
	return "free by now";
}

/* Is it in a list as the driver writes them? */
static bool domids_have(const char *domids, unsigned int domid)
{
	char *end;

	for (;;) {
		if (strtoul(domids, &end, 10) == domid && end != domids)
			return true;
		if (*end != ',')
			return false;
		domids = end + 1;
	}
}

/* Has it grants of this domain? The driver names four domains of a map at the most. */
bool gv_map_has_domid(const struct gv_map *map, unsigned int domid)
{
	return domids_have(map->domids, domid);
}

/* What rows are sorted by */
struct order {
	enum gv_sort sort;
	bool has_waits;
};

static unsigned long long sort_key(const struct gv_row *row, const struct order *order)
{
	switch (order->sort) {
	case GV_SORT_KERNEL:
		return row->kernel;
	case GV_SORT_DEFERRED:
		return row->deferred;
	case GV_SORT_MAPS:
		return row->maps;
	case GV_SORT_RATE:
		return row->grown[GV_MAPPED] + row->grown[GV_UNMAPPED] + row->grown[GV_COPIED];
	case GV_SORT_ERRORS:
		return row->n[GV_ERRORS];
	case GV_SORT_OLDEST:
		/* Of an older driver nobody knows how long a page waits: what is shown then */
		return order->has_waits ? row->wait_ms + 1 : row->oldest_ms;
	default:
		return row->user;
	}
}

/* Largest first; equal ones in an order that does not change from one look to the next. */
static int compare(const void *a, const void *b, void *order)
{
	const struct gv_row *x = a, *y = b;
	unsigned long long kx = sort_key(x, order), ky = sort_key(y, order);

	if (kx != ky)
		return kx < ky ? 1 : -1;
	return x->pid != y->pid ? (x->pid > y->pid) - (x->pid < y->pid) :
				  strcmp(x->name, y->name);
}

/* The rows that there are so far */
struct rows {
	struct gv_row *row;
	size_t nr;
};

static struct gv_row *row_find(const struct rows *rows, int pid, const char *name)
{
	for (size_t r = 0; r < rows->nr; r++)
		if (rows->row[r].pid == pid && !strcmp(rows->row[r].name, name))
			return &rows->row[r];
	return NULL;
}

static struct gv_row *row_get(struct rows *rows, int pid, const char *name)
{
	struct gv_row *row = row_find(rows, pid, name);

	if (!row) {
		row = &rows->row[rows->nr++];
		row->pid = pid;
		row->wait_ms = -1;
		strcpy(row->name, name);
	}
	return row;
}

static void add_map(struct gv_row *row, const struct gv_map *map)
{
	row->maps++;
	row->grants += map->count;
	row->user += map->user;
	row->kernel += map->kernel;
	row->deferred += map->deferred;
	if (map->deferred && map->age_ms > row->oldest_ms)
		row->oldest_ms = map->age_ms;
}

static void add_maps(struct rows *rows, const struct gv_view *view, enum gv_by by,
		     const struct gv_filter *filter)
{
	for (size_t i = 0; i < view->nr_maps; i++) {
		const struct gv_map *map = &view->maps[i];

		if ((filter->pid && map->pid != filter->pid) ||
		    (filter->domid >= 0 && !gv_map_has_domid(map, filter->domid)))
			continue;
		if (by == GV_BY_PROCESS)
			add_map(row_get(rows, map->pid, map->comm), map);
		else
			add_map(row_get(rows, 0, map->domids), map);
	}
}

static unsigned long long sum(const unsigned long long n[GV_NR_TALLIES])
{
	return n[GV_MAPPED] + n[GV_UNMAPPED] + n[GV_COPIED] + n[GV_ERRORS];
}

static void add_count(struct gv_row *row, const struct gv_count *count)
{
	row->counted = true;
	for (int t = 0; t < GV_NR_TALLIES; t++) {
		row->n[t] += count->n[t];
		row->grown[t] += count->grown[t];
	}
}

/*
 * A process that only copies has no map; it has a row. The driver remembers guests that have
 * ended: one without a map has a row while something happens. A file's counts do not say of
 * which domain they are, nor a domain's of which process: where only those of one are asked
 * for, they are not known.
 */
static void add_counts(struct rows *rows, const struct gv_view *view, enum gv_by by,
		       const struct gv_filter *filter)
{
	bool files = by == GV_BY_PROCESS;
	const struct gv_count *counts = files ? view->files : view->domains;
	size_t nr = files ? view->nr_files : view->nr_domains;

	if (files ? filter->domid >= 0 : filter->pid)
		return;
	for (size_t i = 0; i < nr; i++) {
		const struct gv_count *c = &counts[i];
		struct gv_row *row = row_find(rows, c->pid, c->name);

		if (files && filter->pid && c->pid != filter->pid)
			continue;
		if (!files && filter->domid >= 0 && (int)c->id != filter->domid)
			continue;
		if (!row && (files ? sum(c->n) : sum(c->grown)))
			row = row_get(rows, c->pid, c->name);
		if (row)
			add_count(row, c);
	}
}

/* Which row's map it is: of a guest's there is no better hint than the domain. */
static struct gv_row *row_of_busy(const struct rows *rows, enum gv_by by,
				  const struct gv_busy *busy)
{
	struct gv_row *row;
	char domid[16];

	if (by == GV_BY_PROCESS)
		return row_find(rows, busy->pid, busy->comm);
	snprintf(domid, sizeof(domid), "%u", busy->domid);
	row = row_find(rows, 0, domid);
	for (size_t r = 0; r < rows->nr && !(row && row->deferred); r++)
		if (rows->row[r].deferred && domids_have(rows->row[r].name, busy->domid))
			row = &rows->row[r];
	return row;
}

/* *rows is to be freed by the caller, if 0 is returned. */
int gv_rows(const struct gv_view *view, enum gv_by by, enum gv_sort sort,
	    const struct gv_filter *filter, struct gv_row **rows, size_t *nr)
{
	struct order order = { sort, view->has_waits };
	struct rows all = { NULL, 0 };

	all.row = calloc(view->nr_maps + view->nr_files + view->nr_domains + 1, sizeof(*all.row));
	if (!all.row)
		return -ENOMEM;
	add_maps(&all, view, by, filter);
	add_counts(&all, view, by, filter);
	for (size_t i = 0; i < view->nr_busy; i++) {
		const struct gv_busy *busy = &view->busy[i];
		struct gv_row *row;

		if ((filter->pid && busy->pid != filter->pid) ||
		    (filter->domid >= 0 && (int)busy->domid != filter->domid))
			continue;
		row = row_of_busy(&all, by, busy);
		if (row && busy->age_ms > row->wait_ms)
			row->wait_ms = busy->age_ms;
	}
	qsort_r(all.row, all.nr, sizeof(*all.row), compare, &order);
	*rows = all.row;
	*nr = all.nr;
	return 0;
}
