// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs: as text, by chance, changed by chance.
 *
 * The text has a line a call: its thread, its name, its arguments by name. What is left out is
 * 0, a number may be written as the name of a value; '#' begins a comment; "program", alone on
 * a line, begins the next program of a file that has several.
 *
 *	0 open file=0
 *	0 map_grant_ref file=0 map=0 run=1 count=8
 *	0 mmap_dev file=0 map=0 at=16 pages=8 prot=read|write flags=shared
 *	1 madvise at=18 pages=2 advice=dontneed
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

/* ---- chance ---- */

static uint64_t rand_state;

void fz_seed(uint64_t seed)
{
	rand_state = seed;
}

/* splitmix64: any seed is good, and so is the next one. */
uint64_t fz_rand(void)
{
	uint64_t z = rand_state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

uint64_t fz_below(uint64_t limit)
{
	return fz_rand() % limit;
}

/* ---- lists ---- */

void fz_add(struct fz_list *list, const struct fz_prog *p)
{
	if (list->nr == list->room) {
		list->room = list->room ? 2 * list->room : 64;
		list->prog = reallocarray(list->prog, list->room, sizeof(*p));
		if (!list->prog) {
			perror("gm-fuzz");
			exit(1);
		}
	}
	list->prog[list->nr++] = *p;
}

void fz_drop_calls(struct fz_prog *p, unsigned int first, unsigned int n)
{
	p->nr -= n;
	memmove(&p->call[first], &p->call[first + n], (p->nr - first) * sizeof(p->call[0]));
}

/* ---- text ---- */

static const struct fz_value *named(const struct fz_arg *arg, uint64_t value)
{
	const struct fz_value *v = arg->values;

	while (v && v->name && v->value != value)
		v++;
	return v && v->name ? v : NULL;
}

static void print_flags(FILE *f, const struct fz_arg *arg, uint64_t value)
{
	const char *sep = "";

	for (const struct fz_value *v = arg->values; v && v->name; v++) {
		if (!v->value || (value & v->value) != v->value)
			continue;
		fprintf(f, "%s%s", sep, v->name);
		value &= ~v->value;
		sep = "|";
	}
	if (value)
		fprintf(f, "%s%#" PRIx64, sep, value);
}

static void print_arg(FILE *f, const struct fz_arg *arg, uint64_t value)
{
	const struct fz_value *v = named(arg, value);

	fprintf(f, " %s=", arg->name);
	if (v)
		fputs(v->name, f);
	else if (arg->kind == FZ_FLAGS && value)
		print_flags(f, arg, value);
	else
		fprintf(f, value > 65536 ? "%#" PRIx64 : "%" PRIu64, value);
}

void fz_print(FILE *f, const char *indent, const struct fz_prog *p)
{
	for (unsigned int i = 0; i < p->nr; i++) {
		const struct fz_call *c = &p->call[i];

		fprintf(f, "%s%u %s", indent, c->thread, c->type->name);
		for (int a = 0; a < FZ_ARGS && c->type->args[a].kind; a++)
			if (c->arg[a])
				print_arg(f, &c->type->args[a], c->arg[a]);
		fputc('\n', f);
	}
}

static const struct fz_call_type *find_type(const char *name)
{
	for (const struct fz_call_type *const *t = fz_target->calls; *t; t++)
		for (const struct fz_call_type *type = *t; type->name; type++)
			if (!strcmp(type->name, name))
				return type;
	return NULL;
}

static bool parse_value(const struct fz_arg *arg, char *text, uint64_t *value)
{
	char *part, *end, *save;

	*value = 0;
	for (part = strtok_r(text, "|", &save); part; part = strtok_r(NULL, "|", &save)) {
		const struct fz_value *v = arg->values;

		while (v && v->name && strcmp(v->name, part))
			v++;
		if (v && v->name) {
			*value |= v->value;
			continue;
		}
		*value |= strtoull(part, &end, 0);
		if (*end || end == part)
			return false;
	}
	return true;
}

static bool parse_arg(struct fz_call *c, char *word)
{
	char *value = strchr(word, '=');

	if (!value)
		return false;
	*value++ = '\0';
	for (int a = 0; a < FZ_ARGS && c->type->args[a].kind; a++)
		if (!strcmp(c->type->args[a].name, word))
			return parse_value(&c->type->args[a], value, &c->arg[a]);
	return false;
}

/* One line of a program. A line without a call is none, and fine. */
bool fz_parse_call(struct fz_prog *p, char *line, char *why, size_t size)
{
	struct fz_call c = { };
	char *word, *save, *end;

	line[strcspn(line, "#\n")] = '\0';
	word = strtok_r(line, " \t", &save);
	if (!word)
		return true;
	c.thread = strtoul(word, &end, 10);
	if (*end || c.thread >= FZ_THREADS) {
		snprintf(why, size, "'%s' is no thread (0 to %d)", word, FZ_THREADS - 1);
		return false;
	}
	word = strtok_r(NULL, " \t", &save);
	c.type = word ? find_type(word) : NULL;
	if (!c.type) {
		snprintf(why, size, "target %s has no call '%s'", fz_target->name, word ?: "");
		return false;
	}
	while ((word = strtok_r(NULL, " \t", &save))) {
		if (!parse_arg(&c, word)) {
			snprintf(why, size, "%s: argument '%s' is not understood", c.type->name,
				 word);
			return false;
		}
	}
	if (p->nr == FZ_CALLS) {
		snprintf(why, size, "more than %d calls", FZ_CALLS);
		return false;
	}
	p->call[p->nr++] = c;
	return true;
}

/* All programs of a file; 0, or -1, with a message about what is wrong with it */
int fz_load(struct fz_list *list, const char *path)
{
	FILE *f = fopen(path, "re");
	struct fz_prog p = { };
	char line[512], why[128];
	int nr = 0, ret = 0;

	if (!f) {
		fprintf(stderr, "gm-fuzz: %s: %s\n", path, strerror(errno));
		return -1;
	}
	while (!ret && fgets(line, sizeof(line), f)) {
		nr++;
		if (!strcmp(line, "program\n")) {
			if (p.nr)
				fz_add(list, &p);
			p.nr = 0;
		} else if (!fz_parse_call(&p, line, why, sizeof(why))) {
			fprintf(stderr, "gm-fuzz: %s: line %d: %s\n", path, nr, why);
			ret = -1;
		}
	}
	if (!ret && p.nr)
		fz_add(list, &p);
	fclose(f);
	return ret;
}

/* ---- chance again: calls ---- */

static const struct fz_call_type *any_type(void)
{
	const struct fz_call_type *const *t, *type;
	unsigned int sum = 0, n;

	for (t = fz_target->calls; *t; t++)
		for (type = *t; type->name; type++)
			sum += type->weight;
	n = fz_below(sum);
	for (t = fz_target->calls; *t; t++) {
		for (type = *t; type->name; type++) {
			if (n < type->weight)
				return type;
			n -= type->weight;
		}
	}
	return NULL;
}

/* The value of an argument of that name elsewhere in the program: calls that belong together */
static bool borrow(const struct fz_prog *p, const char *name, uint64_t *value)
{
	unsigned int start = p->nr ? fz_below(p->nr) : 0;

	for (unsigned int i = 0; i < p->nr; i++) {
		const struct fz_call *c = &p->call[(start + i) % p->nr];

		for (int a = 0; a < FZ_ARGS && c->type->args[a].kind; a++) {
			if (!strcmp(c->type->args[a].name, name)) {
				*value = c->arg[a];
				return true;
			}
		}
	}
	return false;
}

static uint64_t any_of(const struct fz_value *values)
{
	unsigned int n = 0;

	while (values[n].name)
		n++;
	return values[fz_below(n)].value;
}

static uint64_t any_number(const struct fz_arg *arg)
{
	switch (fz_below(32)) {
	case 0:
		return fz_rand();
	case 1:
		return 1ULL << fz_below(64);
	case 2:
		return -fz_below(3) - 1;
	case 3 ... 15:
		if (arg->values)
			return any_of(arg->values);
		return fz_below(arg->max);
	default:
		return fz_below(arg->max);
	}
}

static uint64_t any_flags(const struct fz_arg *arg)
{
	uint64_t value = 0;

	for (int n = fz_below(4); n > 0; n--)
		value |= any_of(arg->values);
	if (!fz_below(32))
		value |= 1ULL << fz_below(32);
	return value;
}

static uint64_t any_value(const struct fz_prog *p, const struct fz_arg *arg)
{
	uint64_t value;

	if (fz_below(3) && borrow(p, arg->name, &value))
		return value;
	switch (arg->kind) {
	case FZ_SLOT:
		/* The first ones more often, or nothing would meet there. */
		return fz_below(1 + fz_below(arg->max));
	case FZ_CHOICE:
		return fz_below(64) ? any_of(arg->values) : fz_rand();
	case FZ_FLAGS:
		return any_flags(arg);
	default:
		return any_number(arg);
	}
}

static void any_call(struct fz_prog *p, struct fz_call *c)
{
	*c = (struct fz_call){ .type = any_type() };
	/* Half of all calls in one thread: a program gets somewhere. */
	c->thread = fz_below(2) ? 0 : fz_below(FZ_THREADS);
	for (int a = 0; a < FZ_ARGS && c->type->args[a].kind; a++)
		c->arg[a] = any_value(p, &c->type->args[a]);
}

static void insert_call(struct fz_prog *p)
{
	unsigned int at = fz_below(p->nr + 1);
	struct fz_call c;

	if (p->nr == FZ_CALLS)
		return;
	any_call(p, &c);
	memmove(&p->call[at + 1], &p->call[at], (p->nr - at) * sizeof(c));
	p->call[at] = c;
	p->nr++;
}

void fz_generate(struct fz_prog *p)
{
	unsigned int n = 2 + fz_below(FZ_CALLS - 2);

	p->nr = 0;
	while (p->nr < n) {
		any_call(p, &p->call[p->nr]);
		p->nr++;
	}
}

/* The first calls of one, the last ones of another */
static void splice(struct fz_prog *p, const struct fz_list *corpus)
{
	const struct fz_prog *q = &corpus->prog[fz_below(corpus->nr)];
	unsigned int keep = fz_below(p->nr + 1), from = fz_below(q->nr);

	for (p->nr = keep; from < q->nr && p->nr < FZ_CALLS; from++)
		p->call[p->nr++] = q->call[from];
}

static void change_arg(struct fz_prog *p)
{
	struct fz_call *c = &p->call[fz_below(p->nr)];
	int n = 0, a;

	while (n < FZ_ARGS && c->type->args[n].kind)
		n++;
	if (!n)
		return;
	a = fz_below(n);
	if (c->type->args[a].kind == FZ_NUMBER && fz_below(2))
		c->arg[a] += fz_below(2) ? 1 : -1;
	else
		c->arg[a] = any_value(p, &c->type->args[a]);
}

void fz_mutate(struct fz_prog *p, const struct fz_list *corpus)
{
	unsigned int at;

	do {
		switch (p->nr ? fz_below(16) : 0) {
		case 0 ... 4:
			insert_call(p);
			break;
		case 5 ... 9:
			change_arg(p);
			break;
		case 10 ... 11:
			fz_drop_calls(p, fz_below(p->nr), 1);
			break;
		case 12:
			p->call[fz_below(p->nr)].thread = fz_below(FZ_THREADS);
			break;
		case 13:
			/* The same again, as another thread may do it, too */
			at = fz_below(p->nr);
			if (p->nr < FZ_CALLS) {
				p->call[p->nr] = p->call[at];
				p->call[p->nr++].thread = fz_below(FZ_THREADS);
			}
			break;
		default:
			if (corpus->nr)
				splice(p, corpus);
		}
	} while (!p->nr || fz_below(3));
}
