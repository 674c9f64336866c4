// SPDX-License-Identifier: GPL-2.0-only
/*
 * gntctl: grants from a shell. This file has what all commands share; exercise.c what does
 * something with grants, inspect.c what only looks.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gntctl.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *args;
	const char *what;
} commands[] = {
	{ "grant", cmd_grant, "[-r] [-t SECONDS] DOMID PAGES",
	  "grant pages of zeroes to a domain, print the references" },
	{ "map", cmd_map, "[-r] [-p] [-x] [-t SECONDS] DOMID REF...",
	  "map grants, say what Xen made of each, hold them" },
	{ "copy", cmd_copy, "[-w] DOMID REF [OFFSET [LENGTH]]",
	  "copy out of a grant to standard output; -w: from standard input into it" },
	{ "watch", cmd_watch, "[-i SECONDS] [-n COUNT] [-r DIR]",
	  "print each mapping of this domain that comes, changes or goes" },
	{ "limits", cmd_limits, "", "what there is, and what is in use" },
	{ "leaks", cmd_leaks, "", "compare Xen's grant tables with what processes hold" },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *to)
{
	fprintf(to, "Usage: gntctl COMMAND [OPTION]... [ARGUMENT]...\n"
		    "Inspect and exercise grants of Xen: memory that one domain lets another use.\n\n");
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(to, "  %s %s\n      %s\n", commands[i].name, commands[i].args,
			commands[i].what);
	fprintf(to, "\nOptions\n"
		    "  -r          read-only\n"
		    "  -p          map: what can be mapped is, the others are left out\n"
		    "  -x          map: show the first 16 bytes of each page\n"
		    "  -r DIR      watch: read the driver's files from there, not from debugfs\n"
		    "  -t SECONDS  how long to hold; without it until standard input ends, or ctrl-C\n"
		    "\nExamples\n"
		    "  gntctl grant 3 2              in a guest: prints, say, 8 9\n"
		    "  gntctl map -x 5 8 9           in domain 3, if that guest is domain 5\n"
		    "  gntctl copy 5 8 0 64 | xxd    the first 64 bytes, without a mapping\n"
		    "  gntctl leaks || echo look     is anything held that nobody uses?\n");
}

/* @text as a number up to @max, or the end of the program. */
unsigned long gntctl_number(const char *text, unsigned long max, const char *what)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 0);
	if (*text < '0' || *text > '9' || *end || errno || value > max) {
		fprintf(stderr, "gntctl: %s \"%s\": want a number from 0 to %lu\n", what, text, max);
		exit(EXIT_USE);
	}
	return value;
}

static int fail(const char *what, int err, const char *hint)
{
	fprintf(stderr, "gntctl: %s: %s%s\n", what, strerror(err), hint);
	return 1;
}

/* Says that @device cannot be opened, and what to do about it; the exit code. */
int gntctl_fail_open(const char *device, int err)
{
	const char *hint = "";

	if (err == EACCES || err == EPERM)
		hint = ": only root may: try sudo";
	else if (err == ENOENT || err == ENODEV || err == ENXIO)
		hint = ": modprobe xen-gntdev (grant: xen-gntalloc)? does this run on Xen?";
	else if (err == ENOTTY)
		hint = ": the grant device is the stock driver, which has no such call";
	return fail(device, err, hint);
}

/*
 * Says what failed of an open device, and what to do about it where that is known; the exit code.
 * Where Xen has refused a grant (EPERM, ENXIO ...), the caller has said which, and how.
 */
int gntctl_fail(const char *what, int err)
{
	const char *hint = "";

	if (err == ENOSPC && !strcmp(what, "grant"))
		hint = ": see the module parameter limit of xen-gntalloc";
	else if (err == ENOSPC)
		hint = ": Xen has no more handles, see its option gnttab_max_maptrack_frames";
	else if (err == EDQUOT)
		hint = ": see the module parameter limit_user of xen-gntdev";
	else if (err == ENOTTY)
		hint = ": the grant device is the stock driver, which has no such call";
	return fail(what, err, hint);
}

static void nothing(int sig)
{
	(void)sig;
}

/*
 * Waits, so that what this process holds can be looked at: for @seconds, or (-1) until
 * standard input ends. A signal ends both, and what is held is given back.
 */
void gntctl_hold(long seconds)
{
	struct sigaction sa = { .sa_handler = nothing };
	char buf[64];

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	if (seconds >= 0) {
		struct timespec ts = { .tv_sec = seconds };

		nanosleep(&ts, NULL);
		return;
	}
	while (read(STDIN_FILENO, buf, sizeof(buf)) > 0)
		;
}

int main(int argc, char **argv)
{
	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		usage(stdout);
		return 0;
	}
	for (size_t i = 0; argc > 1 && i < COMMANDS; i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	if (argc > 1)
		fprintf(stderr, "gntctl: no command \"%s\"\n", argv[1]);
	usage(stderr);
	return EXIT_USE;
}
