// SPDX-License-Identifier: GPL-2.0-only
/*
 * What comes over the results channel.
 *
 * Lines that start with "@@" are words of the job to labrun:
 *   @@ boot S, @@ ready S WHO     S seconds after dom0's kernel started; WHO is up
 *   @@ begin SUITE/PROG           what follows is the KTAP of that program ...
 *   @@ end SUITE/PROG STATUS      ... which has ended
 *   @@ note TEXT                  for the reader
 *   @@ data FILE TEXT             a line for FILE, among the results
 *   @@ done STATUS                nothing left but to power off
 *
 * A test counts as passed only when its "ok" line was seen: a program that dies
 * or hangs before its plan is fulfilled is a failure in the name of the test
 * that was running, however many of its tests passed before.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "labrun.h"

#define NAME_SIZE	128
#define MAX_PROGS	256
#define TAIL_LINES	25
/* A test that talks without end must not fill the memory or the screen. */
#define MAX_DIAG	(64 * 1024)

struct prog {
	char suite[NAME_SIZE];
	char name[NAME_SIZE];
	bool ok;
};

struct report {
	enum mode mode;
	const char *lab;
	const char *dir;
	int passed, failed, skipped;
	bool may_be_empty;
	bool is_console;
	bool done;
	int status;			/* of the job */
	char *verdict;			/* MODE_RUN: its RESULT line, held back */

	struct prog progs[MAX_PROGS];
	int nr_progs;

	/* the program that runs now */
	struct prog *cur;		/* NULL between programs */
	FILE *raw;
	int plan;			/* -1: not seen yet */
	int seen;			/* results so far */
	int bad;			/* of these, failures */
	char running[NAME_SIZE];	/* the test, when its name is known */
	double since;
	char diag[MAX_DIAG];		/* "#" lines since the last result */
	size_t diag_len;
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

struct report *report_new(enum mode mode, const char *lab, const char *results_dir)
{
	struct report *r = calloc(1, sizeof(*r));

	if (r) {
		r->mode = mode;
		r->lab = lab;
		r->dir = results_dir;
		r->since = now();
	}
	return r;
}

void report_may_be_empty(struct report *r)
{
	r->may_be_empty = true;
}

void report_is_console(struct report *r)
{
	r->is_console = true;
}

bool report_done(const struct report *r)
{
	return r->done;
}

/* -- results ------------------------------------------------------------ */

static void keep_diag(struct report *r, const char *line)
{
	size_t n = strlen(line);

	if (r->diag_len + n + 1 >= sizeof(r->diag))
		return;
	memcpy(r->diag + r->diag_len, line, n);
	r->diag_len += n;
	r->diag[r->diag_len++] = '\n';
	r->diag[r->diag_len] = '\0';
}

static void print_result(struct report *r, const char *verdict, const char *suite,
			 const char *test, const char *remark)
{
	printf("%-4s %s %s %s (%.2f s)%s%s\n", verdict, r->lab, suite, test,
	       now() - r->since, remark ? " # " : "", remark ? remark : "");
}

/* Every failure of the job's own passes here, so that none is uncounted. */
static void fail(struct report *r, const char *suite, const char *test,
		 const char *fmt, ...)
{
	va_list ap;

	print_result(r, "FAIL", suite, test, NULL);
	if (r->diag_len)
		fputs(r->diag, stdout);
	if (fmt) {
		fputs("# ", stdout);
		va_start(ap, fmt);
		vprintf(fmt, ap);
		va_end(ap);
		putchar('\n');
	}
	r->failed++;
	r->diag_len = 0;
	r->diag[0] = '\0';
}

/* "ok 3 - name # SKIP reason", or with "not" before it */
static void test_result(struct report *r, char *line)
{
	bool ok = line[0] == 'o';
	char *name = line + (ok ? strlen("ok ") : strlen("not ok ")), *remark;

	while (isdigit((unsigned char)*name))
		name++;
	name += strspn(name, " ");
	if (!strncmp(name, "- ", 2))
		name += 2;
	remark = strstr(name, "# ");
	if (remark) {
		char *end = remark;

		while (end > name && end[-1] == ' ')
			end--;
		*end = '\0';
		remark += strspn(remark, "# ");
	}
	if (!*name)
		name = "(unnamed)";
	r->seen++;

	if (!ok) {
		r->bad++;
		fail(r, r->cur->suite, name, remark && *remark ? "%s" : NULL, remark);
	} else if (remark && (!strncasecmp(remark, "SKIP", 4) ||
			      !strncasecmp(remark, "XFAIL", 5))) {
		r->skipped++;
		print_result(r, "SKIP", r->cur->suite, name, remark);
	} else {
		r->passed++;
		print_result(r, "ok", r->cur->suite, name, NULL);
	}
	r->running[0] = '\0';
	r->diag_len = 0;
	r->diag[0] = '\0';
	r->since = now();
}

/* "1..3", or "1..0 # SKIP reason" for a program that cannot run here */
static void plan(struct report *r, const char *line)
{
	const char *reason = strstr(line, "# SKIP");

	r->plan = atoi(line + strlen("1.."));
	if (!r->plan && reason) {
		r->skipped++;
		r->seen = 0;
		print_result(r, "SKIP", r->cur->suite, r->cur->name, reason + 2);
	} else if (!r->plan) {
		r->bad++;
		fail(r, r->cur->suite, r->cur->name, "its plan is to run no test at all");
	}
	r->since = now();
}

static bool is_result(const char *line)
{
	return (!strncmp(line, "ok ", 3) && isdigit((unsigned char)line[3])) ||
	       (!strncmp(line, "not ok ", 7) && isdigit((unsigned char)line[7]));
}

static void ktap_line(struct report *r, char *line)
{
	static const char run[] = "#  RUN ";

	if (r->raw)
		fprintf(r->raw, "%s\n", line);
	if (is_result(line)) {
		test_result(r, line);
	} else if (!strncmp(line, "1..", 3) && isdigit((unsigned char)line[3])) {
		plan(r, line);
	} else if (!strncmp(line, run, strlen(run))) {
		/* The harness announces each test: "#  RUN   name ..." */
		line += strlen(run);
		line += strspn(line, " ");
		snprintf(r->running, sizeof(r->running), "%.*s",
			 (int)strcspn(line, " "), line);
		r->since = now();
	} else if (strstr(line, "TAP version") != line && strncmp(line, "#   ", 4)) {
		/* Without the harness's own "#     OK  name" and "#   FAIL  name" */
		keep_diag(r, line);
	}
}

/* -- programs ------------------------------------------------------------ */

static FILE *results_file(struct report *r, const char *suite, const char *name)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", r->dir, suite);
	if (name) {
		mkdir(path, 0777);
		snprintf(path, sizeof(path), "%s/%s/%s.ktap", r->dir, suite, name);
	} else {
		snprintf(path, sizeof(path), "%s/%s.ktap", r->dir, suite);
	}
	f = fopen(path, "w");
	/* Whoever waits for a long program can see how far it is. */
	if (f)
		setvbuf(f, NULL, _IOLBF, 0);
	return f;
}

static void prog_end(struct report *r, const char *why)
{
	struct prog *p = r->cur;
	const char *name = r->running[0] ? r->running : p->name;

	if (why) {
		r->bad++;
		fail(r, p->suite, name, "%s", why);
	} else if (r->plan < 0) {
		r->bad++;
		fail(r, p->suite, name, "the program ended without a KTAP plan");
	} else if (r->seen != r->plan) {
		r->bad++;
		fail(r, p->suite, name, "the program ended after %d of %d tests",
		     r->seen, r->plan);
	}
	p->ok = !r->bad;
	if (r->raw)
		fclose(r->raw);
	r->raw = NULL;
	r->cur = NULL;
	r->running[0] = '\0';
	r->since = now();
}

static void prog_begin(struct report *r, const char *what)
{
	const char *slash = strchr(what, '/');
	struct prog *p;

	if (r->cur)
		prog_end(r, "the next program began before this one ended");
	if (!slash || strstr(what, "..") || r->nr_progs == MAX_PROGS)
		return;
	p = &r->progs[r->nr_progs++];
	snprintf(p->suite, sizeof(p->suite), "%.*s", (int)(slash - what), what);
	snprintf(p->name, sizeof(p->name), "%.*s", (int)strcspn(slash + 1, " /"), slash + 1);
	r->cur = p;
	r->raw = results_file(r, p->suite, p->name);
	r->plan = -1;
	r->seen = 0;
	r->bad = 0;
	r->running[0] = '\0';
	r->diag_len = 0;
	r->diag[0] = '\0';
	r->since = now();
}

static void prog_end_line(struct report *r, const char *what)
{
	const char *status = strrchr(what, ' ');
	char why[80];
	int rc = status ? atoi(status) : -1;

	if (!r->cur)
		return;
	/* 1: tests failed (counted already); 4: all were skipped */
	if (rc && !r->bad && rc != 4 && r->seen == r->plan) {
		snprintf(why, sizeof(why),
			 "no test failed, but the program ended with status %d", rc);
		prog_end(r, why);
	} else {
		prog_end(r, NULL);
	}
}

/* -- lines --------------------------------------------------------------- */

/* The machine has no other way to hand over a file. A name with a slash is none. */
static void data_line(struct report *r, const char *line)
{
	size_t len = strcspn(line, " ");
	char path[4096];
	FILE *f;

	if (!len || line[0] == '.' || memchr(line, '/', len) || len >= NAME_SIZE) {
		fail(r, "lab", "data", "not a file name: %.*s", (int)len, line);
		return;
	}
	snprintf(path, sizeof(path), "%s/%.*s", r->dir, (int)len, line);
	line += len;
	f = fopen(path, "a");
	if (!f || fprintf(f, "%s\n", *line ? line + 1 : line) < 0)
		fail(r, "lab", "data", "%s: cannot be written", path);
	if (f && fclose(f))
		fail(r, "lab", "data", "%s: cannot be written", path);
}

static void job_word(struct report *r, char *line)
{
	if (!strncmp(line, "begin ", 6)) {
		prog_begin(r, line + 6);
	} else if (!strncmp(line, "end ", 4)) {
		prog_end_line(r, line + 4);
	} else if (!strncmp(line, "note ", 5)) {
		printf("%s%s\n", r->mode == MODE_TEST ? "# " : "", line + 5);
	} else if (!strncmp(line, "data ", 5)) {
		data_line(r, line + 5);
	} else if (!strncmp(line, "ready ", 6)) {
		line += strlen("ready ");
		line += strcspn(line, " ");
		printf("%s%s:%s up (%.1f s)\n", r->mode == MODE_TEST ? "# " : "==> ",
		       r->lab, line, now() - r->since);
		r->since = now();
	} else if (!strncmp(line, "done", 4)) {
		if (r->cur)
			prog_end(r, "the job ended while this program was running");
		r->done = true;
		r->status = atoi(line + 4);
	}
}

void report_line(struct report *r, char *line)
{
	line[strcspn(line, "\r\n")] = '\0';
	if (!strncmp(line, "@@ ", 3)) {
		if (r->mode != MODE_SHELL)
			job_word(r, line + 3);
	} else if (r->mode == MODE_RUN) {
		/*
		 * The verdict waits until the machine has powered off and its
		 * console has been read.
		 */
		if (!strncmp(line, "RESULT:", 7)) {
			free(r->verdict);
			r->verdict = strdup(line);
		} else {
			printf("%s\n", line);
		}
	} else if (r->cur) {
		ktap_line(r, line);
	} else if (r->mode == MODE_TEST && *line && !r->is_console) {
		printf("# %s\n", line);
	}
}

void report_incident(struct report *r, const char *why, const char *console)
{
	if (r->mode == MODE_TEST && r->cur)
		prog_end(r, why);
	else if (r->mode == MODE_TEST)
		fail(r, "lab", r->done ? "power_off" : "machine", "%s", why);
	else
		r->failed++;
	console_tail(console, TAIL_LINES);
	if (r->mode == MODE_RUN) {
		free(r->verdict);
		if (asprintf(&r->verdict, "RESULT: FAILED: %s", why) < 0)
			r->verdict = NULL;
	}
}

void report_own_test(struct report *r, const char *name, const char *why)
{
	r->since = now();
	if (r->mode == MODE_TEST) {
		if (why) {
			fail(r, "lab", name, "%s", why);
		} else {
			r->passed++;
			print_result(r, "ok", "lab", name, NULL);
		}
	} else if (why) {
		r->failed++;
		if (!r->verdict || !strcmp(r->verdict, "RESULT: ok")) {
			free(r->verdict);
			if (asprintf(&r->verdict, "RESULT: FAILED: %s", why) < 0)
				r->verdict = NULL;
		}
	}
}

/* -- the end ------------------------------------------------------------- */

/* One KTAP file per suite, with each program's as a nested test. */
static void save_suite(struct report *r, const char *suite)
{
	int i, n = 0, total = 0;
	char *line = NULL;
	size_t size = 0;
	FILE *out = results_file(r, suite, NULL), *in;
	char path[4096];

	if (!out)
		return;
	for (i = 0; i < r->nr_progs; i++)
		total += !strcmp(r->progs[i].suite, suite);
	fprintf(out, "KTAP version 1\n1..%d\n", total);
	for (i = 0; i < r->nr_progs; i++) {
		struct prog *p = &r->progs[i];

		if (strcmp(p->suite, suite))
			continue;
		snprintf(path, sizeof(path), "%s/%s/%s.ktap", r->dir, suite, p->name);
		in = fopen(path, "r");
		while (in && getline(&line, &size, in) > 0)
			fprintf(out, "  %s", line);
		if (in)
			fclose(in);
		fprintf(out, "%sok %d %s\n", p->ok ? "" : "not ", ++n, p->name);
	}
	free(line);
	fclose(out);
}

static void save(struct report *r)
{
	char path[4096];
	int i, j;
	FILE *f;

	for (i = 0; i < r->nr_progs; i++) {
		for (j = 0; j < i; j++)
			if (!strcmp(r->progs[i].suite, r->progs[j].suite))
				break;
		if (j == i)
			save_suite(r, r->progs[i].suite);
	}
	snprintf(path, sizeof(path), "%s/counts", r->dir);
	f = fopen(path, "w");
	if (f) {
		fprintf(f, "%d %d %d\n", r->passed, r->failed, r->skipped);
		fclose(f);
	}
}

int report_end(struct report *r)
{
	bool ok;

	r->since = now();
	if (r->mode == MODE_TEST) {
		if (r->done && r->status && !r->failed)
			fail(r, "lab", "job", "no test failed, but the job ended with status %d",
			     r->status);
		if (!r->nr_progs && !r->failed && !r->may_be_empty)
			fail(r, "lab", "job", "no test program ran");
		save(r);
		return r->failed ? 1 : 0;
	}
	if (r->mode == MODE_SHELL)
		return 0;
	if (!r->verdict)
		r->verdict = strdup("RESULT: FAILED: the job ended without a result");
	ok = r->verdict && !strcmp(r->verdict, "RESULT: ok") && !r->failed && !r->status;
	if (r->verdict && !strcmp(r->verdict, "RESULT: ok") && !ok)
		printf("RESULT: FAILED: the job ended with status %d\n", r->status);
	else
		printf("%s\n", r->verdict ? r->verdict : "RESULT: FAILED: out of memory");
	return ok ? 0 : 1;
}
