/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gm-fuzz: programs of system calls, run in threads, guided by what they reach.
 *
 *	prog.c		programs: their text, chance, mutation
 *	exec.c		runs one, in a process of its own
 *	cover.c		what of the kernel's code it has reached (KCOV)
 *	judge.c		what is wrong afterwards
 *	session.c	the loop: a corpus that grows
 *	minimise.c	a finding made small
 *	calls_*.c	what can be called: calls_mm.c for all targets, the others each for one
 *	granter.c	the guest that grants, in the programs' stead
 *	target.c	which of these a target has, and what is left when nothing is
 *
 * A program has no results that one call hands to the next. Whatever lives longer than a call
 * (a file, a map, a dma-buf) is in one of a few numbered slots, and memory is pages of one
 * arena: so any sequence of calls makes some sense, a call can be dropped from the middle, and
 * two threads meet at the same things by chance.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "gm.h"

/* Longer programs have more to meet, but find less in the same time. */
#define FZ_CALLS	20
#define FZ_ARGS		8
#define FZ_THREADS	3

/* ---- programs: prog.c ---- */

struct fz_value {
	const char *name;
	uint64_t value;
};

enum fz_kind {
	FZ_NONE,	/* no argument: the end of the list */
	FZ_SLOT,	/* one of max things */
	FZ_NUMBER,	/* most often below max, or one of values; now and then anything */
	FZ_CHOICE,	/* one of values */
	FZ_FLAGS,	/* some of values */
};

struct fz_arg {
	const char *name;
	enum fz_kind kind;
	uint64_t max;
	const struct fz_value *values;	/* its last one has no name */
};

#define SLOT(arg, n)		{ .name = arg, .kind = FZ_SLOT, .max = n }
#define NUMBER(arg, n)		{ .name = arg, .kind = FZ_NUMBER, .max = n }
#define NUMBER_OR(arg, n, v)	{ .name = arg, .kind = FZ_NUMBER, .max = n, .values = v }
#define CHOICE(arg, v)		{ .name = arg, .kind = FZ_CHOICE, .values = v }
#define FLAGS(arg, v)		{ .name = arg, .kind = FZ_FLAGS, .values = v }

struct fz_call_type {
	const char *name;
	unsigned int weight;	/* how often, among the others */
	/* What the system call returns. A signal of a bad address ends it, and is no error. */
	long (*run)(const uint64_t *arg);
	struct fz_arg args[FZ_ARGS];
};

struct fz_call {
	const struct fz_call_type *type;
	unsigned int thread;
	uint64_t arg[FZ_ARGS];
};

struct fz_prog {
	unsigned int nr;
	struct fz_call call[FZ_CALLS];
};

/* A growing list of programs, in one piece of memory */
struct fz_list {
	struct fz_prog *prog;
	unsigned int nr, room;
};

uint64_t fz_rand(void);
uint64_t fz_below(uint64_t limit);
void fz_seed(uint64_t seed);

void fz_generate(struct fz_prog *p);
void fz_mutate(struct fz_prog *p, const struct fz_list *corpus);
void fz_drop_calls(struct fz_prog *p, unsigned int first, unsigned int n);

void fz_print(FILE *f, const char *indent, const struct fz_prog *p);
bool fz_parse_call(struct fz_prog *p, char *line, char *why, size_t size);
int fz_load(struct fz_list *list, const char *path);
void fz_add(struct fz_list *list, const struct fz_prog *p);

/* ---- running them: exec.c, cover.c ---- */

enum fz_end {
	FZ_DONE,	/* or ended by itself, in the middle */
	FZ_LATE,	/* had to be killed */
	FZ_STUCK,	/* cannot be killed */
};

int fz_exec_init(void);
/* What the target's finish() has said in the program's process; empty: nothing */
extern char *fz_verdict;
#define FZ_VERDICT	256
enum fz_end fz_exec(const struct fz_prog *p);

/* In a thread of a program: the next call may fail at its nth point of failure. */
void fz_fail_nth(unsigned int nth);
/* What must not fail: an armed failure waits. */
unsigned int fz_disarm(void);
void fz_rearm(unsigned int nth);

bool cover_init(void);
void cover_on(unsigned int thread);
void cover_reset(void);
/* Edges that this run has reached and none before had; with @keep, no longer new. */
unsigned int cover_new(bool keep);
/* Does this run reach all edges that were new at the last cover_new(true)? */
bool cover_same(void);
unsigned int cover_blocks(void);
/* The edges of the last run, to be freed; and how many of such are new, as cover_new() */
struct cover_set *cover_set(void);
unsigned int cover_set_new(const struct cover_set *set, bool keep);
/* Edges that have been reached are new again. */
void cover_forget(void);
void cover_report(FILE *f);

/* ---- the arena: calls_mm.c ---- */

/* Four huge pages; most of what happens is in the first 64 pages. */
#define ARENA_PAGES	2048U
#define ARENA_BASE	0x200000000UL

/* An address, and a length that stays inside the arena */
static inline void *fz_at(uint64_t page)
{
	return (void *)(ARENA_BASE + page % ARENA_PAGES * GM_PAGE_SIZE);
}

static inline size_t fz_len(uint64_t page, uint64_t pages)
{
	uint64_t room = ARENA_PAGES - page % ARENA_PAGES;

	return (pages < room ? pages : room) * GM_PAGE_SIZE;
}

extern const struct fz_value fz_places[], fz_lengths[], fz_prots[];

#define ARG_AT		NUMBER_OR("at", 64, fz_places)
#define ARG_PAGES	NUMBER_OR("pages", 41, fz_lengths)

/* Descriptors that programs hand around: memfds, dma-bufs, eventfds */
#define FZ_FDS		4
extern _Atomic int fz_fds[FZ_FDS];
/* Puts one into a slot; what was there is closed. */
long fz_fd_put(_Atomic int *slot, int fd);

/* ---- targets: target.c ---- */

struct fz_target {
	const char *name;
	const struct fz_call_type *const *calls;	/* tables, each ended by one without a name */
	/* Once, before any program. NULL, or why it cannot be fuzzed here. */
	const char *(*prepare)(void);
	/* Before each program; it inherits what is opened here. May be NULL, as those below. */
	void (*before)(void);
	/* In the program's process, when its threads have ended: what is wrong, or NULL. */
	const char *(*finish)(void);
	/* When it has gone; now and then, thoroughly. */
	const char *(*wrong)(bool thorough);
	/* Puts back what the guest has changed. */
	void (*restore)(void);
};

extern const struct fz_call_type calls_mm[], calls_gntdev[], calls_dmabuf[], calls_xgpu[];
extern const struct fz_call_type calls_notifier[], calls_hmm[];
extern const struct fz_target *fz_target;

const struct fz_target *fz_find_target(const char *name);

/* Swap, KSM, folios of all sizes: what else moves the pages of a process */
void mm_prepare(void);
const char *gntdev_prepare(void);
const char *gntdev_wrong(bool thorough);
const char *xgpu_prepare(void);
const char *xgpu_finish(void);
const char *notifier_prepare(void);
void notifier_before(void);
const char *notifier_wrong(bool thorough);

/* ---- granter.c ---- */

#define FZ_RUNS		4
#define FZ_RUN_PAGES	40

/* A run of granted pages, as programs see it: revoked, it keeps its references. */
struct fz_run {
	uint32_t count;
	uint32_t refs[FZ_RUN_PAGES];
};

struct fz_granter {
	uint32_t domid;
	uint32_t port;		/* an event channel of ours, bound to the guest */
	unsigned int in_use;	/* of the guest's grants, when no program runs */
	struct fz_run runs[FZ_RUNS];
};

extern struct fz_granter *fz_granter;

const char *granter_open(void);
/* From a program: one of the commands below; returns at once or, with @wait, when done. */
long granter_ask(unsigned int command, unsigned int run, bool wait);
/* All runs are granted again, those that were not, anew. */
void granter_restore(void);

enum { GRANTER_REVOKE, GRANTER_GRANT, GRANTER_FILL, GRANTER_COMMANDS };

/* ---- judge.c ---- */

int judge_init(void);
/* What this run has done to the kernel or to the target, in words, or NULL. */
const char *judge(enum fz_end end, bool thorough);

/* ---- session.c, minimise.c ---- */

struct fz_options {
	uint64_t seed;
	unsigned int seconds;
	unsigned int repeat;
	const char *corpus;	/* a folder, or NULL */
	const char *input;	/* a file of programs */
};

int fz_session(const struct fz_options *o);
int fz_replay(const struct fz_options *o);
int fz_minimise(const struct fz_options *o);
int fz_format(const struct fz_options *o);
bool fz_candidate(const struct fz_list *in, unsigned int k, struct fz_list *out);

#endif /* FUZZ_H */
