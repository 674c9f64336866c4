// SPDX-License-Identifier: GPL-2.0-only
/*
 * gm-fuzz: see fuzz.h, and Documentation/fuzzing.md.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static const char usage_text[] =
	"usage: gm-fuzz session  --target T [--seconds S] [--seed N] [--corpus DIR]\n"
	"       gm-fuzz replay   --target T [--corpus DIR] [--input FILE] [--repeat N]\n"
	"       gm-fuzz minimise --target T --input FILE [--repeat N]\n"
	"       gm-fuzz format   --target T --input FILE\n"
	"       gm-fuzz calls    --target T\n"
	"\n"
	"Targets: gntdev (GM_DOMID=the granting guest), xgpu, notifier.\n"
	"\n"
	"session   programs by chance, guided by KCOV; ends at the first finding\n"
	"replay    programs of a folder (*.prog) or a file, N times\n"
	"minimise  less and less of a program that shows a finding, N times each\n"
	"format    reads programs and writes them again, on any computer\n"
	"calls     what a target's programs are made of\n"
	"\n"
	"Exit status: 0 nothing wrong, 1 a finding or an error, 4 not possible here.\n";

static int help(FILE *f, int status)
{
	fputs(usage_text, f);
	return status;
}

static int list_calls(const struct fz_options *o)
{
	(void)o;
	for (const struct fz_call_type *const *t = fz_target->calls; *t; t++) {
		for (const struct fz_call_type *type = *t; type->name; type++) {
			printf("%s", type->name);
			for (int a = 0; a < FZ_ARGS && type->args[a].kind; a++) {
				const struct fz_value *v = type->args[a].values;

				printf(" %s=", type->args[a].name);
				if (type->args[a].max)
					printf("0..%lu", type->args[a].max - 1);
				for (; v && v->name; v++)
					printf("|%s", v->name);
			}
			putchar('\n');
		}
	}
	return 0;
}

static const struct {
	const char *name;
	int (*run)(const struct fz_options *o);
	bool here;	/* runs programs: only where they can run */
} verbs[] = {
	{ "session", fz_session, true },
	{ "replay", fz_replay, true },
	{ "minimise", fz_minimise, true },
	{ "format", fz_format, false },
	{ "calls", list_calls, false },
};

static bool parse(struct fz_options *o, const char **target, int argc, char **argv)
{
	static const struct option options[] = {
		{ "target", required_argument, NULL, 't' },
		{ "seconds", required_argument, NULL, 's' },
		{ "seed", required_argument, NULL, 'n' },
		{ "corpus", required_argument, NULL, 'c' },
		{ "input", required_argument, NULL, 'i' },
		{ "repeat", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 't':
			*target = optarg;
			break;
		case 's':
			o->seconds = strtoul(optarg, NULL, 10);
			break;
		case 'n':
			o->seed = strtoull(optarg, NULL, 0);
			break;
		case 'c':
			o->corpus = optarg;
			break;
		case 'i':
			o->input = optarg;
			break;
		case 'r':
			o->repeat = strtoul(optarg, NULL, 10);
			break;
		case 'h':
			exit(help(stdout, 0));
		default:
			return false;
		}
	}
	return *target && optind + 1 == argc;
}

static const char *prepare(void)
{
	const char *why = fz_target->prepare();

	if (!why && fz_exec_init())
		why = "processes cannot be reaped";
	if (!why && judge_init())
		why = "the kernel's log, or kmemleak, cannot be read";
	return why;
}

int main(int argc, char **argv)
{
	struct fz_options o = { .seconds = 60, .seed = 1, .repeat = 1 };
	const char *target = NULL, *why;

	if (!parse(&o, &target, argc, argv))
		return help(stderr, 1);
	fz_target = fz_find_target(target);
	if (!fz_target) {
		fprintf(stderr, "gm-fuzz: there is no target '%s'\n", target);
		return 1;
	}
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(verbs[i].name, argv[optind]))
			continue;
		why = verbs[i].here ? prepare() : NULL;
		if (!why)
			return verbs[i].run(&o);
		printf("TAP version 13\n1..0 # SKIP %s: %s\n", target, why);
		return 4;
	}
	return help(stderr, 1);
}
