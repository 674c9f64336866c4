// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel's own unit tests found. They ran at boot (kunit.enable=1); their
 * results are read from debugfs, and each test case there is one result here.
 *
 * usage: kunit [-l] [-t CASE] [DIRECTORY]
 *
 * DIRECTORY stands in for debugfs where this program is tested (selftest.sh).
 */
#include <dirent.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEBUGFS		"/sys/kernel/debug/kunit"
#define HUGE_PAGES	"/sys/kernel/mm/transparent_hugepage"
#define MAX_RESULTS	4096
/* A test case that talks without end */
#define MAX_DIAG	(64 * 1024)

/* Without one of these, the kernel was not built with its tests. */
static const char * const expected[] = {
	"device_memory",
	"device_memory_place",
	"device_mirror",
	"hmm_device",
	"hmm_dma",
	"hmm_huge",
	"hmm_hugetlb",
	"hmm_loop",
	"hmm_range",
	"hmm_special",
	"mmu_notifier_call",
	"mmu_notifier_exit",
	"mmu_notifier_insert_remove",
	"mmu_notifier_plain",
	"mmu_notifier_random",
	"mmu_notifier_read",
	"mmu_notifier_refuse",
	"mmu_notifier_trace",
	"mmu_notifier_two_pass",
	"xgpu_table",
};

struct result {
	char *suite;
	char *name;
	char *remark;		/* "SKIP reason", or NULL */
	char *diag;		/* what came before it */
	bool ok;
};

static struct result results[MAX_RESULTS];
static int nr_results;

__attribute__((format(printf, 5, 6)))
static void add(const char *suite, const char *name, bool ok, const char *diag,
		const char *fmt, ...)
{
	struct result *r = &results[nr_results];
	va_list ap;

	if (nr_results == MAX_RESULTS) {
		fprintf(stderr, "kunit: more than %d results\n", MAX_RESULTS);
		exit(1);
	}
	nr_results++;
	r->suite = strdup(suite);
	r->name = strdup(name);
	r->ok = ok;
	r->diag = strdup(diag);
	if (fmt) {
		va_start(ap, fmt);
		if (vasprintf(&r->remark, fmt, ap) < 0)
			r->remark = NULL;
		va_end(ap);
	}
}

/* "ok 1 name # SKIP reason", or with "not" before it; false: another line */
static bool parse_result(char *line, bool *ok, char **name, char **remark)
{
	*ok = !strncmp(line, "ok ", 3);
	if (!*ok && strncmp(line, "not ok ", 7))
		return false;
	line += *ok ? 3 : 7;
	line += strspn(line, "0123456789");
	line += strspn(line, " -");
	*name = line;
	*remark = strstr(line, " # ");
	if (*remark) {
		**remark = '\0';
		*remark += strlen(" # ");
	}
	return true;
}

/*
 * A suite's file: one nested KTAP, four blanks deep, whose results are those of the
 * test cases; what is deeper are the parameters of one of them. The suite's own
 * result is at the left.
 */
static void read_suite(const char *suite, FILE *f)
{
	static char diag[MAX_DIAG];
	int plan = -1, seen = 0, bad = 0, verdict = -1;
	char *line = NULL, *text, *name, *remark;
	size_t size = 0, used = 0;
	bool ok;

	diag[0] = '\0';
	while (getline(&line, &size, f) > 0) {
		line[strcspn(line, "\n")] = '\0';
		text = line + strspn(line, " ");
		if (text == line) {
			if (parse_result(line, &ok, &name, &remark))
				verdict = ok;
			continue;
		}
		if (text == line + 4 && !strncmp(text, "1..", 3)) {
			plan = atoi(text + 3);
		} else if (text == line + 4 && parse_result(text, &ok, &name, &remark)) {
			add(suite, name, ok, diag, remark ? "%s" : NULL, remark);
			seen++;
			bad += !ok;
			used = 0;
			diag[0] = '\0';
		} else if (strlen(line) + 8 < sizeof(diag) - used) {
			used += sprintf(diag + used, "# %s\n",
					text + (text[0] == '#') + !strncmp(text, "# ", 2));
		}
	}
	free(line);
	if (seen != plan || !seen)
		add(suite, "complete", false, diag, "%d results, and its plan is %d", seen, plan);
	else if (verdict != !bad)
		add(suite, "verdict", false, diag, verdict < 0 ? "the suite has none" :
		    "the suite %s, its test cases did not", verdict ? "passed" : "failed");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int visible(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static void read_all(const char *dir)
{
	struct dirent **list;
	char path[4096];
	int i, n;
	FILE *f;

	n = scandir(dir, &list, visible, by_name);
	for (i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s/results", dir, list[i]->d_name);
		f = fopen(path, "r");
		if (f) {
			read_suite(list[i]->d_name, f);
			fclose(f);
		}
	}
}

static bool has_suite(const char *suite)
{
	int i;

	for (i = 0; i < nr_results; i++)
		if (!strcmp(results[i].suite, suite))
			return true;
	return false;
}

/* A kernel that is realtime has no transparent huge pages, and is built without their tests. */
static bool has_no_huge_pages(const char *suite)
{
	return !strncmp(suite, "hmm_huge", strlen("hmm_huge")) && access(HUGE_PAGES, F_OK);
}

static void add_missing(const char *suite)
{
	if (has_no_huge_pages(suite))
		add(suite, "present", true, "", "SKIP the kernel has no huge pages");
	else
		add(suite, "present", false, "", "the kernel has no such suite");
}

static bool wanted(const struct result *r, const char *only)
{
	return !only || !strcmp(r->name, only);
}

static int report(const char *only)
{
	int i, n = 0, failed = 0;

	for (i = 0; i < nr_results; i++)
		n += wanted(&results[i], only);
	printf("TAP version 13\n1..%d\n", n);
	n = 0;
	for (i = 0; i < nr_results; i++) {
		const struct result *r = &results[i];

		if (!wanted(r, only))
			continue;
		if (!r->ok)
			fputs(r->diag, stdout);
		printf("%sok %d %s.%s%s%s\n", r->ok ? "" : "not ", ++n, r->suite, r->name,
		       r->remark ? " # " : "", r->remark ? r->remark : "");
		failed += !r->ok;
	}
	return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
	const char *kernel = getenv("GM_KERNEL"), *only = NULL;
	bool list = false;
	size_t i;
	int c;

	while ((c = getopt(argc, argv, "lt:")) != -1) {
		switch (c) {
		case 'l':
			list = true;
			break;
		case 't':
			only = optarg;
			break;
		default:
			fprintf(stderr, "usage: kunit [-l] [-t CASE] [DIRECTORY]\n");
			return 2;
		}
	}
	read_all(optind < argc ? argv[optind] : DEBUGFS);
	if (list) {
		for (i = 0; i < (size_t)nr_results; i++)
			printf("  %s %s\n", results[i].suite, results[i].name);
		return 0;
	}
	if (kernel && !strcmp(kernel, "stock")) {
		printf("TAP version 13\n1..0 # SKIP the packaged kernel has none of our unit tests\n");
		return 4;
	}
	for (i = 0; i < sizeof(expected) / sizeof(expected[0]) && !only; i++)
		if (!has_suite(expected[i]))
			add_missing(expected[i]);
	return report(only);
}
