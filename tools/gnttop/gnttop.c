// SPDX-License-Identifier: GPL-2.0-only
/*
 * gnttop: who has whose memory mapped, as it changes.
 *
 * One look is a struct look: what the driver says, and when. A screen is made of two: the
 * rates are what has changed between. An older driver counts for the whole machine alone, and
 * does not say since when a page waits: then the table has no such figures, and a line says so.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <ncurses.h>
#include <yajl/yajl_gen.h>

#include "handles.h"
#include "gntview.h"

struct options {
	const char *dir;
	double delay; /* seconds */
	long looks; /* 0: until the end */
	bool batch;
	bool json;
	enum gv_by by;
	enum gv_sort sort;
	struct gv_filter filter;
};

struct look {
	struct gv_view view;
	struct gv_row *rows;
	size_t nr_rows;
	long long handles; /* -1: not known */
	double when;
};

enum { RATE_MAP,
       RATE_UNMAP,
       RATE_COPY,
       RATE_ERRORS,
       NR_RATES };

static const char *const rate_names[NR_RATES] = { "map", "unmap", "copy", "errors" };

static void usage(FILE *to)
{
	fprintf(to, "Usage: gnttop [OPTION]...\n"
		    "Show who has which guest's memory mapped through /dev/xen/gntdev.\n\n"
		    "  -b           batch: print to standard output, no screen\n"
		    "  -j           the same, as JSON, one object a line\n"
		    "  -n COUNT     end after so many looks (batch: 1)\n"
		    "  -d SECONDS   time between two looks (1)\n"
		    "  -g           a line for each guest instead of each process\n"
		    "  -s COLUMN    sort by user, kernel, deferred, maps, rate, errors or oldest (user)\n"
		    "  -p PID       only this process\n"
		    "  -D DOMID     only maps with grants of this domain\n"
		    "  -r DIR       read the driver's files from DIR (" GV_DIR ")\n"
		    "  -h           this help\n\n"
		    "On the screen: g processes or guests, s next column to sort by, q end.\n\n"
		    "Examples:\n"
		    "  gnttop                      look at it live\n"
		    "  gnttop -b -s oldest         who waits for busy pages, once\n"
		    "  gnttop -b -n 2 -s rate      who maps and copies most, in a second\n"
		    "  gnttop -j -n 60 -D 3        a minute of domain 3, for a program\n");
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void look_free(struct look *look)
{
	free(look->rows);
	look->rows = NULL;
	gv_free(&look->view);
}

/* @old: the look before, or NULL */
static int look_take(const struct options *opt, const struct look *old, struct look *look)
{
	int ret = gv_read(opt->dir, &look->view);

	look->rows = NULL;
	if (ret)
		return ret;
	look->when = now();
	if (old)
		gv_compare(&old->view, &look->view);
	/* The driver's own figure; a folder of files has none. */
	look->handles = strcmp(opt->dir, GV_DIR) ? -1 : handles_in_use();
	ret = gv_rows(&look->view, opt->by, opt->sort, &opt->filter, &look->rows, &look->nr_rows);
	if (ret)
		gv_free(&look->view);
	return ret;
}

/* What happened in a second; 0 for the first look, which has nothing to compare with. */
static void rates(const struct look *old, const struct look *new, double rate[NR_RATES])
{
	static const int parts[NR_RATES][2] = {
		{ GV_TOTAL_MAPPED_KERNEL, GV_TOTAL_MAPPED_USER },
		{ GV_TOTAL_UNMAPPED_KERNEL, GV_TOTAL_UNMAPPED_USER },
		{ GV_TOTAL_COPIED, -1 },
		{ GV_TOTAL_ERRORS, -1 },
	};

	for (int i = 0; i < NR_RATES; i++) {
		rate[i] = 0;
		if (!old || new->when <= old->when)
			continue;
		for (int k = 0; k < 2 && parts[i][k] >= 0; k++)
			rate[i] += new->view.stats.value[parts[i][k]] -
				   old->view.stats.value[parts[i][k]];
		/* The module was loaded anew: its counters began again. */
		rate[i] = rate[i] < 0 ? 0 : rate[i] / (new->when - old->when);
	}
}

/* A row's share of them, of which it has all parts added up already. */
static void row_rates(const struct look *old, const struct look *new, const struct gv_row *row,
		      double rate[NR_RATES])
{
	static const enum gv_tally of[NR_RATES] = {
		[RATE_MAP] = GV_MAPPED,
		[RATE_UNMAP] = GV_UNMAPPED,
		[RATE_COPY] = GV_COPIED,
		[RATE_ERRORS] = GV_ERRORS,
	};

	for (int i = 0; i < NR_RATES; i++)
		rate[i] = !old || new->when <= old->when ?
				  0 :
				  row->grown[of[i]] / (new->when - old->when);
}

/* The map with a busy page that is oldest; NULL: there is none. */
static const struct gv_map *oldest_deferred(const struct gv_view *view)
{
	const struct gv_map *oldest = NULL;

	for (size_t i = 0; i < view->nr_maps; i++) {
		const struct gv_map *map = &view->maps[i];

		if (map->deferred && (!oldest || map->age_ms > oldest->age_ms))
			oldest = map;
	}
	return oldest;
}

/* ---- text ---- */

static void oldest_line(const struct gv_view *view, char *text, size_t size)
{
	const struct gv_map *map = oldest_deferred(view);
	const struct gv_busy *busy = gv_oldest_busy(view);
	char waits[32] = "for a time not known";

	if (view->has_waits && busy) {
		if (busy->age_ms >= 0)
			snprintf(waits, sizeof(waits), "%.1f s", busy->age_ms / 1000.0);
		snprintf(text, size,
			 "oldest busy page: %s (%d), domain %u, %s, ref %u waits %s: %s, %u references",
			 busy->comm, busy->pid, busy->domid, busy->state, busy->ref, waits,
			 gv_holder(busy), busy->refs);
	} else if (!view->has_waits && map) {
		snprintf(text, size,
			 "oldest map with a busy page: %s (%d), domain %s, %s, made %.1f s ago",
			 map->comm, map->pid, map->domids, map->state, map->age_ms / 1000.0);
	} else {
		snprintf(text, size, "no page is busy");
	}
}

/* One line of the table. */
static void row_line(const struct options *opt, const struct look *old, const struct look *new,
		     const struct gv_row *r, char *text, size_t size)
{
	char pid[16] = "", age[24] = "-", map[24] = "-", unmap[24] = "-", copy[24] = "-";
	char errors[24] = "-";
	double rate[NR_RATES];

	row_rates(old, new, r, rate);
	if (opt->by == GV_BY_PROCESS)
		snprintf(pid, sizeof(pid), "%d", r->pid);
	if (new->view.has_waits && r->wait_ms >= 0)
		snprintf(age, sizeof(age), "%.1f", r->wait_ms / 1000.0);
	else if (!new->view.has_waits && r->deferred)
		snprintf(age, sizeof(age), "%.1f", r->oldest_ms / 1000.0);
	if (r->counted) {
		snprintf(map, sizeof(map), "%.0f", rate[RATE_MAP]);
		snprintf(unmap, sizeof(unmap), "%.0f", rate[RATE_UNMAP]);
		snprintf(copy, sizeof(copy), "%.0f", rate[RATE_COPY]);
		snprintf(errors, sizeof(errors), "%llu", r->n[GV_ERRORS]);
	}
	snprintf(text, size, "%7s %-16s %6u %8u %8u %8u %8u %9s %7s %7s %7s %7s", pid, r->name,
		 r->maps, r->grants, r->user, r->kernel, r->deferred, age, map, unmap, copy,
		 errors);
}

/* @line is called for each line of the picture, in order. */
static void picture(const struct options *opt, const struct look *old, const struct look *new,
		    void (*line)(const char *text, bool head))
{
	const long long *v = new->view.stats.value;
	double rate[NR_RATES];
	char text[320], handles[24] = "-";

	if (new->handles >= 0)
		snprintf(handles, sizeof(handles), "%lld", new->handles);
	rates(old, new, rate);
	snprintf(text, sizeof(text),
		 "gnttop  maps %lld  user %lld  kernel %lld  deferred %lld  leaked %lld  handles %s",
		 v[GV_MAPS], v[GV_USER_SIDE], v[GV_KERNEL_SIDE], v[GV_DEFERRED], v[GV_LEAKED],
		 handles);
	line(text, false);
	snprintf(text, sizeof(text), "a second: map %.0f  unmap %.0f  copy %.0f  errors %.0f",
		 rate[RATE_MAP], rate[RATE_UNMAP], rate[RATE_COPY], rate[RATE_ERRORS]);
	line(text, false);
	oldest_line(&new->view, text, sizeof(text));
	line(text, false);
	if (!new->view.has_counts)
		line("an older driver: it does not count for a process or a guest", false);
	if (!new->view.has_waits)
		line("an older driver: OLDEST is the age of the map, not how long its page waits",
		     false);
	snprintf(text, sizeof(text), "%7s %-16s %6s %8s %8s %8s %8s %9s %7s %7s %7s %7s",
		 opt->by == GV_BY_PROCESS ? "PID" : "", opt->by == GV_BY_PROCESS ? "COMM" : "DOMAIN",
		 "MAPS", "GRANTS", "USER", "KERNEL", "DEFERRED", "OLDEST", "MAP/s", "UNMAP/s",
		 "COPY/s", "ERRORS");
	line(text, true);
	for (size_t i = 0; i < new->nr_rows; i++) {
		row_line(opt, old, new, &new->rows[i], text, sizeof(text));
		line(text, false);
	}
}

static void print_line(const char *text, bool head)
{
	(void)head;
	puts(text);
}

static void screen_line(const char *text, bool head)
{
	int y, x;

	getyx(stdscr, y, x);
	(void)x;
	if (y >= LINES - 1)
		return;
	if (head)
		attron(A_REVERSE);
	mvaddnstr(y, 0, text, COLS);
	if (head)
		attroff(A_REVERSE);
	move(y + 1, 0);
}

/* ---- JSON ---- */

static void put_string(yajl_gen gen, const char *s)
{
	yajl_gen_string(gen, (const unsigned char *)s, strlen(s));
}

static void put_number(yajl_gen gen, const char *name, long long value)
{
	put_string(gen, name);
	yajl_gen_integer(gen, value);
}

static void put_null(yajl_gen gen, const char *name)
{
	put_string(gen, name);
	yajl_gen_null(gen);
}

static void put_rates(yajl_gen gen, const double rate[NR_RATES])
{
	put_string(gen, "rates");
	yajl_gen_map_open(gen);
	for (int i = 0; i < NR_RATES; i++) {
		put_string(gen, rate_names[i]);
		yajl_gen_double(gen, rate[i]);
	}
	yajl_gen_map_close(gen);
}

/* A time that may not be known */
static void put_ms(yajl_gen gen, const char *name, long long ms)
{
	if (ms >= 0)
		put_number(gen, name, ms);
	else
		put_null(gen, name);
}

static void put_row(yajl_gen gen, const struct options *opt, const struct look *old,
		    const struct look *new, const struct gv_row *row)
{
	static const char *const names[GV_NR_TALLIES] = {
		[GV_MAPPED] = "mapped",
		[GV_UNMAPPED] = "unmapped",
		[GV_COPIED] = "copied",
		[GV_ERRORS] = "errors",
	};
	double rate[NR_RATES];

	yajl_gen_map_open(gen);
	if (opt->by == GV_BY_PROCESS)
		put_number(gen, "pid", row->pid);
	put_string(gen, opt->by == GV_BY_PROCESS ? "comm" : "domids");
	put_string(gen, row->name);
	put_number(gen, "maps", row->maps);
	put_number(gen, "grants", row->grants);
	put_number(gen, "user", row->user);
	put_number(gen, "kernel", row->kernel);
	put_number(gen, "deferred", row->deferred);
	put_number(gen, "oldest_deferred_map_ms", row->oldest_ms);
	put_ms(gen, "oldest_deferred_ms", row->wait_ms);
	for (int t = 0; t < GV_NR_TALLIES; t++) {
		if (row->counted)
			put_number(gen, names[t], row->n[t]);
		else
			put_null(gen, names[t]);
	}
	if (row->counted) {
		row_rates(old, new, row, rate);
		put_rates(gen, rate);
	} else {
		put_null(gen, "rates");
	}
	yajl_gen_map_close(gen);
}

static void put_oldest(yajl_gen gen, const struct gv_view *view)
{
	const struct gv_busy *busy = gv_oldest_busy(view);

	if (!busy) {
		put_null(gen, "oldest_deferred");
		return;
	}
	put_string(gen, "oldest_deferred");
	yajl_gen_map_open(gen);
	put_number(gen, "pid", busy->pid);
	put_string(gen, "comm");
	put_string(gen, busy->comm);
	put_string(gen, "state");
	put_string(gen, busy->state);
	put_number(gen, "domid", busy->domid);
	put_number(gen, "ref", busy->ref);
	put_ms(gen, "age_ms", busy->age_ms);
	put_number(gen, "page_refs", busy->refs);
	put_number(gen, "mapcount", busy->mapcount);
	put_string(gen, "pinned");
	yajl_gen_bool(gen, busy->pinned);
	put_string(gen, "holder");
	put_string(gen, gv_holder(busy));
	yajl_gen_map_close(gen);
}

/* What an older driver does not say */
static void put_missing(yajl_gen gen, const struct gv_view *view)
{
	put_string(gen, "missing");
	yajl_gen_array_open(gen);
	if (!view->has_counts)
		put_string(gen, "counts");
	if (!view->has_waits)
		put_string(gen, "waits");
	yajl_gen_array_close(gen);
}

/* All words of the driver are ASCII (gntview.c), and so all of this is UTF-8. */
static int print_json(const struct options *opt, const struct look *old, const struct look *new)
{
	yajl_gen gen = yajl_gen_alloc(NULL);
	const unsigned char *text;
	double rate[NR_RATES];
	size_t len;
	int ret = -ENOMEM;

	if (!gen)
		return ret;
	rates(old, new, rate);
	yajl_gen_map_open(gen);
	put_string(gen, "stats");
	yajl_gen_map_open(gen);
	for (int i = 0; i < GV_NR_STATS; i++)
		put_number(gen, gv_stat_names[i], new->view.stats.value[i]);
	yajl_gen_map_close(gen);
	put_rates(gen, rate);
	put_ms(gen, "handles", new->handles);
	put_missing(gen, &new->view);
	put_oldest(gen, &new->view);
	put_string(gen, opt->by == GV_BY_PROCESS ? "processes" : "guests");
	yajl_gen_array_open(gen);
	for (size_t i = 0; i < new->nr_rows; i++)
		put_row(gen, opt, old, new, &new->rows[i]);
	yajl_gen_array_close(gen);
	yajl_gen_map_close(gen);
	if (yajl_gen_get_buf(gen, &text, &len) == yajl_gen_status_ok) {
		printf("%.*s\n", (int)len, text);
		ret = 0;
	}
	yajl_gen_free(gen);
	return ret;
}

/* ---- the two ways to run ---- */

static int run_batch(const struct options *opt)
{
	struct look looks[2], *old = NULL, *new;
	long n, count = opt->looks ?: 1;
	int ret = 0;

	for (n = 0; n < count; n++) {
		new = &looks[n & 1];
		if (n)
			usleep(opt->delay * 1e6);
		ret = look_take(opt, old, new);
		if (ret)
			break;
		if (opt->json)
			ret = print_json(opt, old, new);
		else
			picture(opt, old, new, print_line);
		if (fflush(stdout) && !ret)
			ret = -errno;
		if (old)
			look_free(old);
		old = new;
		if (ret)
			break;
	}
	if (old)
		look_free(old);
	return ret;
}

static int run_screen(struct options *opt)
{
	struct look looks[2], *old = NULL, *new;
	int ret, key = 0;

	/* Keys that never come would be waited for no time at all. */
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		fprintf(stderr, "gnttop: input or output is no terminal: use -b, or -j\n");
		return -ENOTTY;
	}
	if (!newterm(NULL, stdout, stdin)) {
		fprintf(stderr, "gnttop: no screen on a terminal \"%s\": use -b\n",
			getenv("TERM") ?: "");
		return -ENOTTY;
	}
	cbreak();
	noecho();
	curs_set(0);
	for (long n = 0; !opt->looks || n < opt->looks; n++) {
		new = &looks[n & 1];
		ret = look_take(opt, old, new);
		if (ret)
			break;
		erase();
		picture(opt, old, new, screen_line);
		refresh();
		if (old)
			look_free(old);
		old = new;
		timeout(opt->delay * 1000);
		key = getch();
		if (key == 'q')
			break;
		if (key == 'g')
			opt->by = opt->by == GV_BY_GUEST ? GV_BY_PROCESS : GV_BY_GUEST;
		if (key == 's')
			opt->sort = (opt->sort + 1) % GV_NR_SORTS;
	}
	endwin();
	if (old)
		look_free(old);
	return ret;
}

static long whole(const char *text, long min, long max, const char *what)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < min || value > max) {
		fprintf(stderr, "gnttop: %s \"%s\": want a number from %ld to %ld\n", what, text,
			min, max);
		exit(2);
	}
	return value;
}

static enum gv_sort sort_of(const char *name)
{
	for (int i = 0; i < GV_NR_SORTS; i++)
		if (!strcmp(name, gv_sort_names[i]))
			return i;
	fprintf(stderr, "gnttop: cannot sort by \"%s\": user, kernel, deferred, maps, rate, errors or oldest\n",
		name);
	exit(2);
}

static double seconds(const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= 0.1 && value <= 3600)) {
		fprintf(stderr, "gnttop: -d \"%s\": want seconds, from 0.1 to 3600\n", text);
		exit(2);
	}
	return value;
}

static void parse_options(int argc, char **argv, struct options *opt)
{
	static const struct option longs[] = { { "help", no_argument, NULL, 'h' }, {} };
	int c;

	while ((c = getopt_long(argc, argv, "bjn:d:gs:p:D:r:h", longs, NULL)) != -1) {
		switch (c) {
		case 'j':
			opt->json = true;
			/* fall through */
		case 'b':
			opt->batch = true;
			break;
		case 'n':
			opt->looks = whole(optarg, 1, 1000000000, "-n");
			break;
		case 'd':
			opt->delay = seconds(optarg);
			break;
		case 'g':
			opt->by = GV_BY_GUEST;
			break;
		case 's':
			opt->sort = sort_of(optarg);
			break;
		case 'p':
			opt->filter.pid = whole(optarg, 1, 1 << 22, "-p");
			break;
		case 'D':
			opt->filter.domid = whole(optarg, 0, 65535, "-D");
			break;
		case 'r':
			opt->dir = optarg;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			fprintf(stderr, "gnttop --help says what there is\n");
			exit(2);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "gnttop: \"%s\"? gnttop --help says what there is\n", argv[optind]);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct options opt = { .dir = GV_DIR, .delay = 1, .filter = { .domid = -1 } };
	struct gv_view view;
	char why[512];
	int ret;

	parse_options(argc, argv, &opt);
	/* Before there is a screen that would hide what is said. */
	ret = gv_read(opt.dir, &view);
	if (!ret) {
		gv_free(&view);
		ret = opt.batch ? run_batch(&opt) : run_screen(&opt);
	}
	if (ret && ret != -ENOTTY)
		fprintf(stderr, "gnttop: %s\n", gv_why(opt.dir, ret, why, sizeof(why)));
	return ret ? 1 : 0;
}
