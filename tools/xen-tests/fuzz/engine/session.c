// SPDX-License-Identifier: GPL-2.0-only
/*
 * A session: programs made by chance from those that have been worth keeping, until time is up
 * or something is wrong.
 *
 * A program is printed before it runs, a few at a time, and the results channel is waited for:
 * if the machine goes down, its last words are what took it down. Lines that begin with
 * "#   " are for the log alone (lab/report.c).
 *
 * What chance does depends on the seed and on the coverage, thus on timing. Where time is a
 * count of instructions (ICOUNT=1), the same seed gives the same session.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "fuzz.h"

#define BATCH		8
#define STATUS_S	30
/* Asking kmemleak takes 12 s. */
#define THOROUGH_S	180

static unsigned long executed;

static void drain(void)
{
	fflush(stdout);
	/* ENOTTY, where it is no serial line: then it is as good as said. */
	tcdrain(STDOUT_FILENO);
}

/* One run of a program, and what came of it: NULL, or what is wrong */
static const char *run_once(const struct fz_prog *p, bool thorough)
{
	enum fz_end end = fz_exec(p);
	const char *wrong = judge(end, thorough);

	executed++;
	if (!wrong && fz_target->restore)
		fz_target->restore();
	return wrong;
}

static void print_prog(const char *what, const struct fz_prog *p)
{
	printf("#   program %s\n", what);
	fz_print(stdout, "#   ", p);
}

static int report(const char *test, const char *wrong)
{
	if (wrong)
		printf("# finding: %s\nnot ok 1 %s.%s\n", wrong, fz_target->name, test);
	else
		printf("ok 1 %s.%s\n", fz_target->name, test);
	drain();
	return wrong ? 1 : 0;
}

static void head(void)
{
	printf("TAP version 13\n1..1\n");
	drain();
}

/* ---- corpus ---- */

static int is_prog(const struct dirent *d)
{
	const char *dot = strrchr(d->d_name, '.');

	return dot && !strcmp(dot, ".prog");
}

/* All programs of a folder; 0 or -1 */
static int load_corpus(struct fz_list *list, const char *dir)
{
	struct dirent **names;
	char path[512];
	int n, ret = 0;

	n = dir ? scandir(dir, &names, is_prog, alphasort) : 0;
	if (n < 0) {
		perror(dir);
		return -1;
	}
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
		ret |= fz_load(list, path);
		free(names[i]);
	}
	if (n)
		free(names);
	return ret;
}

/*
 * Without the calls that are not needed for what it has reached anew. Timing may have its part
 * in that: then it stays as it is.
 */
static const char *shrink(struct fz_prog *p)
{
	const char *wrong = run_once(p, false);
	struct fz_prog less;

	if (wrong || !cover_same())
		return wrong;
	for (int i = p->nr - 1; i >= 0 && p->nr > 1; i--) {
		less = *p;
		fz_drop_calls(&less, i, 1);
		wrong = run_once(&less, false);
		if (wrong)
			break;
		if (cover_same())
			*p = less;
	}
	return wrong;
}

/*
 * What of the corpus is needed to reach what all of it reaches, and in which order: each is the
 * one that adds the most to those before it, so the first few are a small corpus for the tree.
 */
static const char *distill(struct fz_list *corpus)
{
	struct cover_set **sets = calloc(corpus->nr, sizeof(*sets));
	unsigned int sum = 0, added, best = 0, most;
	const char *wrong = NULL;
	char what[32];

	for (unsigned int i = 0; sets && i < corpus->nr && !wrong; i++) {
		wrong = run_once(&corpus->prog[i], false);
		sets[i] = cover_set();
	}
	cover_forget();
	while (sets && !wrong) {
		most = 0;
		for (unsigned int i = 0; i < corpus->nr; i++) {
			added = cover_set_new(sets[i], false);
			/* Of two that add as much, the shorter one */
			if (added > most || (added && added == most &&
					     corpus->prog[i].nr < corpus->prog[best].nr)) {
				most = added;
				best = i;
			}
		}
		if (!most)
			break;
		sum += cover_set_new(sets[best], true);
		snprintf(what, sizeof(what), "kept %u edges", sum);
		print_prog(what, &corpus->prog[best]);
	}
	for (unsigned int i = 0; sets && i < corpus->nr; i++)
		free(sets[i]);
	free(sets);
	return wrong;
}

/* ---- the loop ---- */

static void status(double begun, const struct fz_list *corpus)
{
	double s = gm_now() - begun;

	printf("@@ note %s: %.0f s, %lu programs (%.0f a second), corpus %u, %u blocks of code\n",
	       fz_target->name, s, executed, executed / s, corpus->nr, cover_blocks());
	drain();
}

static void next_prog(struct fz_prog *p, const struct fz_list *corpus)
{
	if (!corpus->nr || !fz_below(16)) {
		fz_generate(p);
		return;
	}
	/* The latest ones have been tried the least. */
	if (corpus->nr > 16 && fz_below(2))
		*p = corpus->prog[corpus->nr - 1 - fz_below(16)];
	else
		*p = corpus->prog[fz_below(corpus->nr)];
	fz_mutate(p, corpus);
}

/* Runs what is there already: it may have been found on another kernel. */
static const char *warm_up(const struct fz_list *corpus)
{
	const char *wrong = NULL;

	for (unsigned int i = 0; i < corpus->nr && !wrong; i++) {
		print_prog("corpus", &corpus->prog[i]);
		drain();
		wrong = run_once(&corpus->prog[i], false);
		cover_new(true);
	}
	return wrong;
}

static const char *one_batch(struct fz_list *corpus)
{
	struct fz_prog batch[BATCH];
	const char *wrong = NULL;

	for (int i = 0; i < BATCH; i++) {
		next_prog(&batch[i], corpus);
		print_prog("next", &batch[i]);
	}
	drain();
	for (int i = 0; i < BATCH && !wrong; i++) {
		wrong = run_once(&batch[i], false);
		if (wrong || !cover_new(true))
			continue;
		wrong = shrink(&batch[i]);
		fz_add(corpus, &batch[i]);
	}
	return wrong;
}

int fz_session(const struct fz_options *o)
{
	double begun = gm_now(), told = begun, asked = begun;
	struct fz_list corpus = { };
	const char *wrong;

	if (load_corpus(&corpus, o->corpus))
		return 1;
	head();
	printf("# %s: seed %lu, %u s, %u programs to begin with%s\n", fz_target->name, o->seed,
	       o->seconds, corpus.nr, cover_init() ? "" : "; no KCOV here: blind");
	fz_seed(o->seed);
	wrong = warm_up(&corpus);
	while (!wrong && gm_now() - begun < o->seconds) {
		wrong = one_batch(&corpus);
		if (gm_now() - told > STATUS_S) {
			status(begun, &corpus);
			told = gm_now();
		}
		if (!wrong && gm_now() - asked > THOROUGH_S) {
			wrong = run_once(&corpus.prog[0], true);
			asked = gm_now();
		}
	}
	if (!wrong)
		wrong = run_once(&corpus.prog[0], true);
	status(begun, &corpus);
	cover_report(stdout);
	if (!wrong)
		wrong = distill(&corpus);
	free(corpus.prog);
	return report("no_finding", wrong);
}

/* All of a folder or a file, again and again. */
int fz_replay(const struct fz_options *o)
{
	struct fz_list list = { };
	const char *wrong = NULL;

	if (load_corpus(&list, o->corpus) || (o->input && fz_load(&list, o->input)))
		return 1;
	if (!list.nr) {
		fprintf(stderr, "gm-fuzz: nothing to replay\n");
		return 1;
	}
	head();
	for (unsigned int r = 0; r < o->repeat && !wrong; r++) {
		for (unsigned int i = 0; i < list.nr && !wrong; i++) {
			if (!r) {
				print_prog("replay", &list.prog[i]);
				drain();
			}
			wrong = run_once(&list.prog[i], false);
			if (wrong)
				print_prog("finding", &list.prog[i]);
		}
	}
	if (!wrong)
		wrong = run_once(&list.prog[0], true);
	printf("# %s: %u programs, %lu runs\n", fz_target->name, list.nr, executed);
	free(list.prog);
	return report("replay", wrong);
}

/* ---- a finding made small ---- */

/*
 * Each candidate is less than the input. The first that still shows the finding ends the
 * machine, or this; the host takes it for the next input, and boots again, until no candidate
 * shows it any more.
 */
int fz_minimise(const struct fz_options *o)
{
	struct fz_list list = { }, less = { };
	const char *wrong = NULL;

	if (!o->input || fz_load(&list, o->input))
		return 1;
	head();
	for (unsigned int k = 0; !wrong && fz_candidate(&list, k, &less); k++) {
		printf("#   candidate %u\n", k);
		for (unsigned int i = 0; i < less.nr; i++)
			print_prog("less", &less.prog[i]);
		drain();
		for (unsigned int r = 0; r < o->repeat && !wrong; r++)
			for (unsigned int i = 0; i < less.nr && !wrong; i++)
				wrong = run_once(&less.prog[i], false);
	}
	free(list.prog);
	free(less.prog);
	return report("is_minimal", wrong);
}

/* As gm-fuzz would have written it: on any computer */
int fz_format(const struct fz_options *o)
{
	struct fz_list list = { };

	if (!o->input || fz_load(&list, o->input))
		return 1;
	for (unsigned int i = 0; i < list.nr; i++) {
		if (i)
			printf("program\n");
		fz_print(stdout, "", &list.prog[i]);
	}
	free(list.prog);
	return 0;
}
