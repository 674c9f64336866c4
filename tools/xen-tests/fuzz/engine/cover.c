// SPDX-License-Identifier: GPL-2.0-only
/*
 * What of the kernel's code a program has reached: KCOV, in a kernel that has it
 * (KERNEL=kcov). Without, everything works, by blind chance.
 *
 * Each thread of a program has an area of its own, which the kernel fills with the addresses
 * of the blocks of code that the thread passes. Two blocks in succession are an edge, and a
 * program with an edge that none before had is worth keeping. What workers of the kernel do is
 * not seen, nor what is done for a process that ends.
 */
#include <fcntl.h>
#include <linux/kcov.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

/* Words of an area: the longest programs pass some thousand blocks. */
#define AREA_WORDS	(32 * 1024)
#define EDGES		(1U << 18)
#define BLOCKS		(1U << 14)
#define MAX_FRESH	4096

static struct {
	int fd;
	uint64_t *area;		/* the first word is the number of the others */
} covers[FZ_THREADS];

static bool seen[EDGES];
static uint64_t blocks[BLOCKS];	/* a hash table; 0 is empty */
static unsigned int nr_blocks;
static uint32_t fresh[MAX_FRESH];
static unsigned int nr_fresh;
static bool enabled;

/* In the parent of all programs, which inherit it. False: the kernel has no KCOV. */
bool cover_init(void)
{
	for (int t = 0; t < FZ_THREADS; t++) {
		covers[t].fd = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);
		if (covers[t].fd < 0)
			return false;
		if (ioctl(covers[t].fd, KCOV_INIT_TRACE, AREA_WORDS))
			return false;
		covers[t].area = mmap(NULL, AREA_WORDS * sizeof(uint64_t), PROT_READ | PROT_WRITE,
				      MAP_SHARED, covers[t].fd, 0);
		if (covers[t].area == MAP_FAILED)
			return false;
	}
	enabled = true;
	return true;
}

/* From here on, for the calling thread, until it ends */
void cover_on(unsigned int thread)
{
	if (enabled)
		ioctl(covers[thread].fd, KCOV_ENABLE, KCOV_TRACE_PC);
}

void cover_reset(void)
{
	if (!enabled)
		return;
	for (int t = 0; t < FZ_THREADS; t++)
		__atomic_store_n(&covers[t].area[0], 0, __ATOMIC_RELAXED);
}

static uint32_t hash(uint64_t x)
{
	return (x * 0x9e3779b97f4a7c15ULL) >> 40;
}

static void note_block(uint64_t pc)
{
	uint32_t i = hash(pc) % BLOCKS;

	while (blocks[i] && blocks[i] != pc)
		i = (i + 1) % BLOCKS;
	if (blocks[i] || nr_blocks == BLOCKS - 1)
		return;
	blocks[i] = pc;
	nr_blocks++;
}

/* Calls @fn for each edge of the last run, until it says to stop. */
static void for_each_edge(bool (*fn)(uint32_t edge, uint64_t pc))
{
	for (int t = 0; enabled && t < FZ_THREADS; t++) {
		uint64_t n = __atomic_load_n(&covers[t].area[0], __ATOMIC_RELAXED), prev = 0;

		if (n > AREA_WORDS - 1)
			n = AREA_WORDS - 1;
		for (uint64_t i = 1; i <= n; i++) {
			uint64_t pc = covers[t].area[i];

			if (!fn((hash(prev) ^ hash(pc * 3)) % EDGES, pc))
				return;
			prev = pc;
		}
	}
}

static unsigned int found;

static bool count_new(uint32_t edge, uint64_t pc)
{
	(void)pc;
	found += !seen[edge];
	return !found;
}

static bool keep_new(uint32_t edge, uint64_t pc)
{
	if (seen[edge])
		return true;
	seen[edge] = true;
	note_block(pc);
	if (nr_fresh < MAX_FRESH)
		fresh[nr_fresh++] = edge;
	found++;
	return true;
}

unsigned int cover_new(bool keep)
{
	found = 0;
	if (keep)
		nr_fresh = 0;
	for_each_edge(keep ? keep_new : count_new);
	return found;
}

static bool hit[EDGES];

static bool note_hit(uint32_t edge, uint64_t pc)
{
	(void)pc;
	hit[edge] = true;
	return true;
}

static bool forget_hit(uint32_t edge, uint64_t pc)
{
	(void)pc;
	hit[edge] = false;
	return true;
}

/* All edges that were new then are reached by this run, too. */
bool cover_same(void)
{
	bool same = true;

	for_each_edge(note_hit);
	for (unsigned int i = 0; i < nr_fresh; i++)
		same = same && hit[fresh[i]];
	for_each_edge(forget_hit);
	return same;
}

struct cover_set {
	unsigned int nr;
	uint32_t edges[];
};

static struct cover_set *gathered;

static bool gather(uint32_t edge, uint64_t pc)
{
	(void)pc;
	if (!hit[edge])
		gathered->edges[gathered->nr++] = edge;
	hit[edge] = true;
	return true;
}

/* The edges of the last run, each once; NULL: no memory. */
struct cover_set *cover_set(void)
{
	struct cover_set *small;

	gathered = malloc(sizeof(*gathered) + FZ_THREADS * AREA_WORDS * sizeof(uint32_t));
	if (!gathered)
		return NULL;
	gathered->nr = 0;
	for_each_edge(gather);
	for (unsigned int i = 0; i < gathered->nr; i++)
		hit[gathered->edges[i]] = false;
	small = realloc(gathered, sizeof(*gathered) + gathered->nr * sizeof(uint32_t));
	return small ?: gathered;
}

/* As cover_new(), of the run that @set is of */
unsigned int cover_set_new(const struct cover_set *set, bool keep)
{
	unsigned int n = 0;

	for (unsigned int i = 0; set && i < set->nr; i++) {
		n += !seen[set->edges[i]];
		seen[set->edges[i]] |= keep;
	}
	return n;
}

void cover_forget(void)
{
	memset(seen, 0, sizeof(seen));
}

unsigned int cover_blocks(void)
{
	return nr_blocks;
}

/* ---- by function ---- */

struct symbol {
	uint64_t address;
	char name[64];
	unsigned int blocks;
};

static int by_address(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return x->address < y->address ? -1 : x->address > y->address;
}

static struct symbol *load_symbols(size_t *nr)
{
	FILE *f = fopen("/proc/kallsyms", "re");
	struct symbol *symbols = NULL, s = { };
	size_t n = 0, room = 0;
	char type;

	while (f && fscanf(f, "%lx %c %63s%*[^\n]", &s.address, &type, s.name) == 3) {
		if ((type != 't' && type != 'T') || !s.address)
			continue;
		if (n == room) {
			room = room ? 2 * room : 65536;
			symbols = reallocarray(symbols, room, sizeof(s));
			if (!symbols)
				break;
		}
		symbols[n++] = s;
	}
	if (f)
		fclose(f);
	*nr = symbols ? n : 0;
	if (symbols)
		qsort(symbols, n, sizeof(s), by_address);
	return symbols;
}

/* "#   cover FUNCTION BLOCKS" for each function that has been in */
void cover_report(FILE *f)
{
	struct symbol *symbols;
	size_t nr;

	if (!enabled)
		return;
	symbols = load_symbols(&nr);
	for (unsigned int i = 0; i < BLOCKS && nr; i++) {
		size_t low = 0, high = nr;

		if (!blocks[i])
			continue;
		while (high - low > 1) {
			size_t mid = (low + high) / 2;

			if (symbols[mid].address <= blocks[i])
				low = mid;
			else
				high = mid;
		}
		symbols[low].blocks++;
	}
	for (size_t i = 0; i < nr; i++)
		if (symbols[i].blocks)
			fprintf(f, "#   cover %s %u\n", symbols[i].name, symbols[i].blocks);
	free(symbols);
}
