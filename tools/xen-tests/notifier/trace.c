// SPDX-License-Identifier: GPL-2.0-only
/*
 * The core's trace events (n6: stock has none): what they are made of, and what they
 * say of a scene that is played here.
 */
#include "notifier.h"

#define NO_EVENTS	"the notifier core has no trace events"

/* Slots */
#define OLD		0
#define NEWBORN		1

static const struct {
	const char *name;
	const char *fields;
} events[] = {
	{ "mmu_interval_insert", "sub mm start last count" },
	{ "mmu_interval_remove", "sub mm start last count" },
	{ "mmu_interval_wait", "sub mm start last count" },
	{ "mmu_interval_retry", "sub mm start last count" },
	{ "mmu_notifier_invalidate_start",
	  "range mm start end event blockable overlaps ret" },
	{ "mmu_notifier_invalidate_end", "range mm start end event woken" },
};

FIXTURE(trace) {
	int fd;
	struct gm_trace trace;
	bool traced;		/* there are such events */
	struct held held;
};

FIXTURE_SETUP(trace)
{
	self->fd = bench_open(_metadata);
	held_map(_metadata, &self->held);
	self->traced = !gm_trace_open(&self->trace, "mmu_notifier");
}

FIXTURE_TEARDOWN(trace)
{
	held_abandon(&self->held);
	EXPECT_EQ(0, gm_trace_close(&self->trace));
	bench_close(_metadata, self->fd);
}

TEST_F_TIMEOUT(trace, n6_events_have_their_fields, GM_TEST_S)
{
	char fields[128], *field, *next;

	ASSERT_TRUE(self->traced) TH_LOG(NO_EVENTS);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		strcpy(fields, events[i].fields);
		for (field = strtok_r(fields, " ", &next); field;
		     field = strtok_r(NULL, " ", &next)) {
			EXPECT_TRUE(gm_trace_has_field(&self->trace,
						       events[i].name, field))
				TH_LOG("%s has no field %s", events[i].name, field);
		}
	}
}

/*
 * An invalidation hangs; a subscription is born inside of it, and is read; the reader
 * waits. Then all ends.
 */
static void play(META, FIXTURE_DATA(trace) *self)
{
	struct gm_mn_read read = { .slot = NEWBORN };
	struct call call = {
		.fn = call_ioctl,
		.fd = self->fd,
		.request = GM_MN_READ_BEGIN,
		.arg = &read,
	};

	ASSERT_EQ(0, bench_insert(self->fd, OLD, 0, self->held.page, GM_PAGE_SIZE));
	held_begin(_metadata, &self->held, self->fd, OLD);
	ASSERT_EQ(0, bench_insert(self->fd, NEWBORN, 0, self->held.page,
				  2 * GM_PAGE_SIZE));
	call_start(_metadata, &call);
	EXPECT_TRUE(call_waits(&call));
	held_end(_metadata, &self->held);
	call_end(_metadata, &call);
	EXPECT_EQ(0, bench_remove(self->fd, NEWBORN));
	EXPECT_EQ(0, bench_remove(self->fd, OLD));
}

/* @end is what follows the addresses of [start, start + pages) in the event's line. */
#define EXPECT_EVENT(name, last_name, pages, back, end) do {			\
	char __want[160];							\
										\
	snprintf(__want, sizeof(__want), "start=0x%lx " last_name "=0x%lx " end,	\
		 (unsigned long)self->held.page, (unsigned long)		\
		 self->held.page + (pages) * GM_PAGE_SIZE - (back));		\
	EXPECT_TRUE(gm_trace_has(text, name ": ", __want))			\
		TH_LOG("no line '%s ... %s'", name, __want);			\
} while (0)

TEST_F_TIMEOUT(trace, n6_events_tell_what_happens, GM_TEST_S)
{
	const char *text;

	ASSERT_TRUE(self->traced) TH_LOG(NO_EVENTS);
	ASSERT_EQ(0, gm_trace_enable(&self->trace, true));
	play(_metadata, self);
	EXPECT_EQ(0, gm_trace_enable(&self->trace, false));
	text = gm_trace_text(&self->trace);

	EXPECT_EVENT("mmu_interval_insert", "last", 1, 1, "count=0");
	EXPECT_EVENT("mmu_interval_insert", "last", 2, 1, "count=1");
	EXPECT_EVENT("mmu_interval_wait", "last", 2, 1, "count=1");
	EXPECT_EVENT("mmu_notifier_invalidate_start", "end", 1, 0,
		     "event=clear blockable=1 overlaps=1 ret=0");
	EXPECT_EVENT("mmu_notifier_invalidate_end", "end", 1, 0,
		     "event=clear woken=1");
	EXPECT_EVENT("mmu_interval_remove", "last", 2, 1, "count=0");
	EXPECT_EVENT("mmu_interval_remove", "last", 1, 1, "count=0");
}

/* A reader that is overtaken: the window is made wide, and hit again and again. */
TEST_F_TIMEOUT(trace, n6_retry_is_traced, GM_TEST_S)
{
	struct gm_mn_run run = { .role = GM_MN_READER, .ms = 2000 };
	struct call call = {
		.fn = call_ioctl,
		.fd = self->fd,
		.request = GM_MN_RUN,
		.arg = &run,
	};
	char *page = mmap(NULL, GM_PAGE_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, page);
	for (unsigned int slot = 0; slot < GM_MN_SLOTS; slot++)
		ASSERT_EQ(0, bench_insert(self->fd, slot, GM_MN_SHADOW, page,
					  GM_PAGE_SIZE));
	ASSERT_EQ(0, bench_tune(self->fd, 0, 0, 20000));
	ASSERT_TRUE(self->traced) TH_LOG(NO_EVENTS);
	ASSERT_EQ(0, gm_trace_enable(&self->trace, true));
	call_start(_metadata, &call);
	while (!call.returned) {
		*page = 1;
		EXPECT_EQ(0, madvise(page, GM_PAGE_SIZE, MADV_DONTNEED));
		gm_sleep_ms(5);
	}
	call_end(_metadata, &call);
	EXPECT_EQ(0, gm_trace_enable(&self->trace, false));
	EXPECT_NE(0, bench_stat(self->fd, GM_MN_RETRIES));
	EXPECT_NE(NULL, strstr(gm_trace_text(&self->trace),
			       "mmu_interval_retry: "));
}

TEST_HARNESS_MAIN
