// SPDX-License-Identifier: GPL-2.0-only
/*
 * A malicious driver: random and half-right writes to the registers, configuration space,
 * rings, queues, page tables, and video memory of two GPUs, with time going on in between.
 * QEMU must neither end nor hang.
 *
 * usage: fuzz [-s SEED] [-t SECONDS] [-n STEPS-OF-A-SESSION] [-i]
 *
 * A session is a QEMU of its own; its seed, printed when something goes wrong, repeats it
 * exactly: fuzz -s SEED -t 0. -i: with an IOMMU in every other session.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../test/gpu.h"

/* Memory where everything is that the device is to find; pointers lead here, mostly. */
#define ARENA		0x200000ULL
#define ARENA_PAGES	256
/* In it: tables that make sense (TABLES_*), and pages that they lead to */
#define TABLES		(ARENA + 64 * 4096)
#define DATA		(ARENA + 128 * 4096)
#define DATA_PAGES	128
#define CONTEXTS	6	/* that are used more than now and then */
#define RING_LOG2	6
#define MMCFG		0xb0000000ULL

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

struct session {
	struct gpu g[2];
	uint64_t seed, state, steps;
};

/* The one that runs, for whoever reports its end */
static struct session *now;

/* ---- chance ---- */

/* splitmix64, by its definition */
static uint64_t rnd(struct session *s)
{
	uint64_t z = s->state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static uint64_t below(struct session *s, uint64_t n)
{
	return rnd(s) % n;
}

static bool one_in(struct session *s, unsigned int n)
{
	return !below(s, n);
}

/* A number of the kind that programs stumble over */
static uint64_t number(struct session *s)
{
	switch (below(s, 8)) {
	case 0:
		return 0;
	case 1:
		return -1ULL;
	case 2:
		return 1ULL << below(s, 64);
	case 3:
		return (1ULL << below(s, 64)) - 1;
	case 4:
		return -(1ULL << below(s, 64));
	case 5:
		return below(s, 16);
	case 6:
		return below(s, 65536);
	default:
		return rnd(s);
	}
}

static uint64_t arena_page(struct session *s)
{
	return ARENA + below(s, ARENA_PAGES) * 4096;
}

/* A DMA address: memory, mostly; or a register, a hole, the end of everything */
static uint64_t address(struct session *s)
{
	const struct gpu *g = &s->g[below(s, 2)];

	switch (below(s, 16)) {
	case 0:
		return g->regs + below(s, XGPU_REGS_SIZE) / 8 * 8;
	case 1:
		return g->vram + below(s, GPU_VRAM) / 8 * 8;
	case 2:
		return MMCFG + below(s, 8 << 15);
	case 3:
		return GPU_RAM - 4096 + below(s, 8192);
	case 4:
		return number(s);
	default:
		return arena_page(s) + (one_in(s, 4) ? below(s, 4096) : 0);
	}
}

/* A VA: one of few, so that entries and shootdowns meet */
static uint64_t va(struct session *s)
{
	if (one_in(s, 16))
		return number(s);
	return below(s, 3) << 39 | below(s, 2) << 30 | below(s, 3) << 21 | below(s, 40) << 12 |
	       (one_in(s, 3) ? below(s, 4096) : 0);
}

static uint64_t entry(struct session *s)
{
	uint64_t flags = below(s, 32);

	switch (below(s, 6)) {
	case 0:
		return number(s);
	case 1:
		return (below(s, GPU_VRAM) & XGPU_PTE_ADDR) | XGPU_PTE_VRAM | XGPU_PTE_VALID |
		       XGPU_PTE_WRITE;
	case 2:
		return (address(s) & XGPU_PTE_ADDR) | flags;
	default:
		/* A table or a page of the arena: the same ones serve as both. */
		return arena_page(s) | XGPU_PTE_VALID | XGPU_PTE_WRITE;
	}
}

static uint64_t data_entry(struct session *s)
{
	uint64_t flags = XGPU_PTE_VALID | (one_in(s, 4) ? 0 : XGPU_PTE_WRITE);

	if (one_in(s, 4))
		return below(s, GPU_VRAM / 4096) << 12 | XGPU_PTE_VRAM | flags;
	return (DATA + below(s, DATA_PAGES) * 4096) | (one_in(s, 16) ? 0 : flags);
}

/*
 * Page tables that translate most of what va() gives, by pages of all sizes: the root, one
 * table of levels 2 and 1, two of level 0.
 */
static void make_tables(struct session *s)
{
	uint64_t t[512] = {}, valid = XGPU_PTE_VALID;
	unsigned int i;

	for (i = 0; i < 3; i++)
		t[i] = (TABLES + 0x1000) | valid;
	qtest_write(s->g->q, TABLES, t, sizeof(t));
	t[0] = (TABLES + 0x2000) | valid;
	t[1] = t[0];
	qtest_write(s->g->q, TABLES + 0x1000, t, sizeof(t));
	t[0] = (TABLES + 0x3000) | valid;
	t[1] = (TABLES + 0x4000) | valid;
	t[2] = below(s, 2) << 21 | XGPU_PTE_VRAM | XGPU_PTE_LEAF | XGPU_PTE_WRITE | valid;
	qtest_write(s->g->q, TABLES + 0x2000, t, sizeof(t));
	for (i = 0; i < 64; i++)
		t[i] = data_entry(s);
	qtest_write(s->g->q, TABLES + 0x3000, t, sizeof(t));
	for (i = 0; i < 64; i++)
		t[i] = (DATA + (i % DATA_PAGES) * 4096) | XGPU_PTE_64K | XGPU_PTE_WRITE | valid;
	qtest_write(s->g->q, TABLES + 0x4000, t, sizeof(t));
}

/* Change an entry of those: another page, none, or nonsense. */
static void change_table(struct session *s)
{
	uint64_t at = TABLES + 0x3000 + below(s, 2) * 4096 + below(s, 64) * 8;

	if (one_in(s, 32))
		make_tables(s);
	else if (one_in(s, 16))
		qtest_writeq(s->g->q, TABLES + below(s, 5) * 4096 + below(s, 3) * 8, entry(s));
	else
		qtest_writeq(s->g->q, at, one_in(s, 8) ? entry(s) : data_entry(s));
}

static uint64_t length(struct session *s)
{
	return one_in(s, 16) ? number(s) : below(s, one_in(s, 4) ? 200000 : 9000);
}

/* ---- what a driver writes ---- */

static uint64_t command(struct session *s, struct xgpu_cmd *c)
{
	*c = (struct xgpu_cmd){
		.op = one_in(s, 16) ? number(s) : below(s, XGPU_OPS),
		.flags = one_in(s, 8) ? number(s) : 0,
		.cookie = rnd(s),
		.dst = va(s),
		.src = va(s),
		.len = length(s),
		.value = rnd(s),
	};
	/* Not many that never end */
	if (c->op == XGPU_OP_HANG && !one_in(s, 8))
		c->op = XGPU_OP_COPY;
	if (c->op == XGPU_OP_FENCE)
		c->dst = address(s) & ~31ULL;
	if (c->op == XGPU_OP_PHYS_COPY || c->op == XGPU_OP_PHYS_FILL) {
		c->flags |= below(s, 4) << 4;
		c->dst = one_in(s, 2) ? address(s) : below(s, GPU_VRAM + 100);
		c->src = one_in(s, 2) ? address(s) : below(s, GPU_VRAM + 100);
	}
	if (one_in(s, 2))
		c->flags |= XGPU_CMD_INTERRUPT;
	if (one_in(s, 64))
		c->reserved[below(s, 3)] = number(s);
	return ARENA + below(s, CONTEXTS) * 4096;
}

static struct gpu *gpu(struct session *s)
{
	return &s->g[!below(s, 4)];
}

static unsigned int context(struct session *s)
{
	return one_in(s, 16) ? below(s, XGPU_CONTEXTS) : below(s, CONTEXTS);
}

/* A context as it should be, with all of its memory in the arena */
static void set_up_context(struct session *s)
{
	struct gpu *g = gpu(s);
	unsigned int c = context(s);

	gpu_write(g, XGPU_CTX(c, XGPU_CTX_CONTROL), 0);
	gpu_write64(g, XGPU_CTX(c, XGPU_CTX_PT_ROOT),
		    one_in(s, 4) ? entry(s) : TABLES | XGPU_PTE_VALID);
	gpu_write64(g, XGPU_CTX(c, XGPU_CTX_RING_BASE), ARENA + below(s, CONTEXTS) * 4096);
	gpu_write(g, XGPU_CTX(c, XGPU_CTX_RING_LOG2), RING_LOG2);
	gpu_write64(g, XGPU_CTX(c, XGPU_CTX_RECORD_BASE),
		    one_in(s, 4) ? address(s) : ARENA + (8 + c % 16) * 4096);
	gpu_write(g, XGPU_CTX(c, XGPU_CTX_CONTROL), XGPU_CTX_ENABLE | below(s, 8));
}

static void set_up_device(struct session *s)
{
	struct gpu *g = gpu(s);

	gpu_write(g, XGPU_FAULT_LOG2, 0);
	gpu_write64(g, XGPU_FAULT_BASE, one_in(s, 4) ? address(s) : ARENA + 32 * 4096);
	gpu_write(g, XGPU_FAULT_LOG2, below(s, 8));
	gpu_write(g, XGPU_SHOOT_LOG2, 0);
	gpu_write64(g, XGPU_SHOOT_BASE, ARENA + CONTEXTS * 4096);
	gpu_write(g, XGPU_SHOOT_LOG2, below(s, 8));
	gpu_write64(g, XGPU_SHOOT_DONE_ADDR,
		    one_in(s, 4) ? address(s) & ~7ULL : ARENA + 33 * 4096);
	gpu_write(g, XGPU_SHOOT_CONTROL, 1);
	gpu_write(g, XGPU_INT_ENABLE, 0xf);
	gpu_write(g, XGPU_LAT_COMMAND, below(s, 2000));
	gpu_write(g, XGPU_LAT_KIB, below(s, 500));
	gpu_write(g, XGPU_LAT_SHOOTDOWN, below(s, 20000));
	gpu_write(g, XGPU_LAT_FAULT, below(s, 20000));
	gpu_write(g, XGPU_FAIL_PHYS, one_in(s, 4) ? below(s, 8) : 0);
	gpu_write(g, XGPU_CONTROL, XGPU_CONTROL_ENABLE);
}

static void write_commands(struct session *s)
{
	struct xgpu_cmd c;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		uint64_t ring = command(s, &c);

		qtest_write(s->g->q, ring + below(s, 1 << RING_LOG2) * sizeof(c), &c, sizeof(c));
	}
}

static void ring_doorbell(struct session *s)
{
	struct gpu *g = gpu(s);
	unsigned int c = context(s), head = XGPU_CTX(c, XGPU_CTX_RING_HEAD);
	uint32_t tail = gpu_read(g, head) + below(s, (1 << RING_LOG2) + 1);

	gpu_write(g, XGPU_CTX(c, XGPU_CTX_RING_TAIL), one_in(s, 32) ? number(s) : tail);
}

static void write_entries(struct session *s)
{
	uint64_t page = arena_page(s), words[40];
	unsigned int i;

	for (i = 0; i < 40; i++)
		words[i] = entry(s);
	/* Rings and tables may be the same memory. */
	qtest_write(s->g->q, page + (one_in(s, 4) ? below(s, 470) * 8 : 0), words, sizeof(words));
}

static void shoot(struct session *s)
{
	struct gpu *g = gpu(s);
	uint64_t first = va(s);
	struct xgpu_shootdown d = {
		.first = first,
		.last = one_in(s, 8) ? number(s) : first + below(s, 1 << 22),
		.seq = rnd(s),
		.context = one_in(s, 16) ? number(s) : context(s),
		.flags = one_in(s, 16) ? number(s) : below(s, 4),
		.reserved = one_in(s, 64),
	};
	uint64_t queue = ARENA + CONTEXTS * 4096;
	unsigned int i, n = 1 + below(s, 3);

	for (i = 0; i < n; i++)
		qtest_write(g->q, queue + below(s, 128) * sizeof(d), &d, sizeof(d));
	gpu_write(g, XGPU_SHOOT_TAIL,
		  one_in(s, 32) ? number(s) : gpu_read(g, XGPU_SHOOT_TAIL) + below(s, 70));
}

static void answer(struct session *s)
{
	struct gpu *g = gpu(s);
	unsigned int c = context(s);
	uint64_t id = gpu_read(g, XGPU_CTX(c, XGPU_CTX_STALL_ID)), a = one_in(s, 3) ? 1 : 2;

	if (one_in(s, 4))
		gpu_write64(g, XGPU_FAULT_ANSWER, number(s));
	else if (one_in(s, 2))
		gpu_write64(g, XGPU_FAULT_ANSWER, id << XGPU_ANSWER_STALL_SHIFT | a);
	else
		gpu_write64(g, XGPU_FAULT_ANSWER,
			    (uint64_t)c << XGPU_ANSWER_CONTEXT_SHIFT | XGPU_ANSWER_CONTEXT | a);
	gpu_write(g, XGPU_FAULT_HEAD,
		  one_in(s, 8) ? number(s) : gpu_read(g, XGPU_FAULT_TAIL));
	gpu_write(g, XGPU_ERROR_HEAD, gpu_read(g, XGPU_ERROR_TAIL));
	gpu_write(g, XGPU_INT_ACK, number(s));
}

static void any_register(struct session *s)
{
	struct gpu *g = gpu(s);
	uint64_t reg = one_in(s, 3) ? XGPU_CTX(context(s), below(s, XGPU_CTX_STRIDE)) :
				      below(s, one_in(s, 4) ? XGPU_REGS_SIZE : 0x500);

	/* A device that is reset all the time is not much of one. */
	if ((reg & ~3ULL) == XGPU_RESET && !one_in(s, 8))
		return;
	switch (below(s, 4)) {
	case 0:
		qtest_writeq(g->q, g->regs + (reg & ~7ULL), one_in(s, 2) ? address(s) : number(s));
		break;
	case 1:
		qtest_writel(g->q, g->regs + (reg & ~3ULL), number(s));
		break;
	case 2:
		/* Any size and alignment */
		qtest_write(g->q, g->regs + reg, &s->state, 1 + below(s, 8));
		break;
	default:
		qtest_readq(g->q, g->regs + (reg & ~7ULL));
	}
}

static void scan(struct session *s)
{
	struct gpu *g = gpu(s);

	gpu_write64(g, XGPU_SCAN_FIRST, va(s));
	gpu_write64(g, XGPU_SCAN_LAST, one_in(s, 2) ? -1ULL : va(s));
	gpu_write(g, XGPU_SCAN_CONTEXT, one_in(s, 16) ? number(s) : context(s));
}

/* Messages to memory, to registers of either, to configuration space; resets, moved BARs */
static void configuration(struct session *s)
{
	struct gpu *g = gpu(s);
	unsigned int msi = gpu_capability(g, 0x05), express = gpu_capability(g, 0x10);
	uint64_t own = MMCFG + (g->slot << 15) + below(s, 256);

	switch (below(s, 8)) {
	case 0:
		gpu_config_write(g, below(s, 64) * 4, number(s));
		gpu_pci_init(g);
		break;
	case 1:
		if (express)
			gpu_config_write(g, express + 8, 1 << 15);
		gpu_pci_init(g);
		set_up_device(s);
		break;
	case 2:
		gpu_config_write(g, 4, below(s, 8));
		qtest_step(g->q, 1000);
		gpu_pci_init(g);
		break;
	default:
		if (!msi)
			break;
		gpu_msi_enable(g, below(s, 3));
		if (one_in(s, 2))
			break;
		gpu_config_write(g, msi + 4, (one_in(s, 3) ? own : address(s)) & ~3ULL);
		gpu_config_write(g, msi + 0xc, number(s));
	}
}

static void video_memory(struct session *s)
{
	struct gpu *g = gpu(s);

	qtest_writeq(g->q, g->vram + below(s, GPU_VRAM / 8) * 8, one_in(s, 2) ? entry(s) : rnd(s));
}

static void step(struct session *s)
{
	switch (below(s, 16)) {
	case 0:
		set_up_context(s);
		break;
	case 1:
		write_commands(s);
		break;
	case 2:
		if (one_in(s, 8))
			write_entries(s);
		else
			change_table(s);
		break;
	case 3:
		change_table(s);
		break;
	case 4:
		shoot(s);
		break;
	case 5:
		answer(s);
		break;
	case 6:
		any_register(s);
		break;
	case 7:
		video_memory(s);
		break;
	case 8:
		if (one_in(s, 4))
			scan(s);
		break;
	case 9:
		if (one_in(s, 16))
			configuration(s);
		break;
	case 10:
		if (one_in(s, 32))
			set_up_device(s);
		break;
	case 11:
	case 12:
		ring_doorbell(s);
		break;
	default:
		qtest_step(s->g->q, below(s, one_in(s, 16) ? 1000000 : 10000));
	}
}

/* ---- sessions ---- */

static void tell(void)
{
	if (now)
		fprintf(stderr, "fuzz: it was seed %" PRIu64 ", step %" PRIu64 "\n", now->seed,
			now->steps);
}

static void on_abort(int sig)
{
	tell();
	_exit(128 + sig);
}

static const char *const names[] = {
	"commands", "read", "written", "hits", "misses", "walks", "faults", "replays", "fails",
	"shootdowns", "stale", "pending", "refused", "bad-commands", "bad-ptes", "errors-lost",
	"interrupts", "bad-answers",
};

/* What the device did in it: a fuzzer that never gets beyond a check finds nothing. */
static void add_counters(struct session *s, uint64_t *sums)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		sums[i] += gpu_read64(s->g, XGPU_CNT_COMMANDS + i * 8);
}

static void session(uint64_t seed, uint64_t steps, bool iommu, uint64_t *sums)
{
	struct gpu_machine m = { .two = true, .iommu = iommu };
	struct timeval limit = { .tv_sec = 60 };
	struct session s = { .seed = seed, .state = seed };
	unsigned int i;
	int status;

	now = &s;
	if (gpu_start(s.g, &m))
		abort();
	/* A QEMU that does not answer for so long hangs. */
	setsockopt(s.g->q->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	gpu_pci_init(s.g);
	s.g[1] = s.g[0];
	s.g[1].slot++;
	gpu_pci_init(&s.g[1]);
	/* The host bridge's window of configuration space */
	qtest_outl(s.g->q, 0xcf8, 0x80000060);
	qtest_outl(s.g->q, 0xcfc, MMCFG | 1);
	if (iommu) {
		gpu_iommu_on(s.g);
		gpu_iommu_map(s.g, ARENA, ARENA_PAGES * 4096 / 2, true);
	}
	for (i = 0; i < 16; i++)
		set_up_device(&s);
	for (i = 0; i < ARENA_PAGES; i++)
		write_entries(&s);
	make_tables(&s);
	for (s.steps = 0; s.steps < steps; s.steps++) {
		step(&s);
		/* Counters go with each reset. */
		if (s.steps % 1000 == 999)
			add_counters(&s, sums);
	}
	status = gpu_stop(s.g);
	if (status) {
		fprintf(stderr, "fuzz: QEMU ended with %d\n", status);
		tell();
		exit(1);
	}
	now = NULL;
}

int main(int argc, char **argv)
{
	uint64_t seed = 1, steps = 20000, sums[ARRAY_SIZE(names)] = {}, n = 0;
	time_t end, seconds = 60;
	bool iommu = false;
	unsigned int i;
	int c;

	while ((c = getopt(argc, argv, "s:t:n:i")) != -1) {
		switch (c) {
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 't':
			seconds = strtoll(optarg, NULL, 0);
			break;
		case 'n':
			steps = strtoull(optarg, NULL, 0);
			break;
		case 'i':
			iommu = true;
			break;
		default:
			return 2;
		}
	}
	signal(SIGABRT, on_abort);
	end = time(NULL) + seconds;
	do {
		session(seed, steps, iommu && seed % 2, sums);
		seed++;
		n++;
	} while (time(NULL) < end);
	printf("fuzz: %" PRIu64 " sessions, %" PRIu64 " steps, no crash, no hang; next seed %" PRIu64,
	       n, n * steps, seed);
	printf("\nfuzz: seen at samples:");
	for (i = 0; i < ARRAY_SIZE(names); i++)
		printf(" %s %" PRIu64, names[i], sums[i]);
	printf("\n");
	return 0;
}
