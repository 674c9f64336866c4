/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * labrun: runs one lab (one QEMU) and reports what comes out of it.
 *
 *   labrun.c   owns the machine: starts it, watches the time, always ends it
 *   report.c   understands the results channel: "@@" lines and KTAP
 *   console.c  reads the console log: its tail, and what must not be in it
 */
#ifndef LABRUN_H
#define LABRUN_H

#include <stdbool.h>

enum mode {
	MODE_TEST,	/* a line per test, KTAP saved, counts written */
	MODE_RUN,	/* the main job: its text is passed on as it is */
	MODE_SHELL,	/* somebody sits at the console */
};

struct report;

struct report *report_new(enum mode mode, const char *lab, const char *results_dir);
/* A run without any test program is no failure. */
void report_may_be_empty(struct report *r);
/* The channel is the console: lines that are no results are in its log, and nowhere else. */
void report_is_console(struct report *r);
/* One line of the results channel, without its end of line. */
void report_line(struct report *r, char *line);
/* The guest says that its job is done (what is left is powering off). */
bool report_done(const struct report *r);
/* Something outside the tests went wrong; fails what was running. */
void report_incident(struct report *r, const char *why, const char *console);
/* A test that labrun itself makes; @why == NULL means passed. */
void report_own_test(struct report *r, const char *name, const char *why);
/* The last word: counts, saved KTAP, RESULT line. Returns the exit status. */
int report_end(struct report *r);

/* Prints the last lines of a log, each after a "#". */
void console_tail(const char *path, int lines);
/* How long a log is, and the first @lines of what has come after so many bytes */
long console_size(const char *path);
void console_from(const char *path, long start, int lines);
/*
 * Returns how many lines of the console log tell of a kernel in trouble and are
 * not excused by @benign (a regular expression, a tab, the reason; per line);
 * shows the first of them. -1 when a file cannot be read.
 */
int console_trouble(const char *path, const char *benign);

#endif
