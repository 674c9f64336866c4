// SPDX-License-Identifier: GPL-2.0-only
/*
 * The core's trace events (n6: stock has none): what they are made of, and what they
 * say of a scene that is played here.
 */
#include <sys/mount.h>
#include <sys/stat.h>

#include "notifier.h"

#define TRACEFS		"/sys/kernel/tracing"
#define EVENTS		"/events/mmu_notifier"
/* Of its own: nobody else's tracing is disturbed. */
#define INSTANCE	TRACEFS "/instances/gm-mn"

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
	bool mounted, instance;
	struct held held;
	char *text;
};

/* A whole file of tracefs; empty if there is none. */
#define TEXT_SIZE	(1 << 20)

static const char *slurp(const char *path, char *text)
{
	size_t len = 0;
	ssize_t n;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && len < TEXT_SIZE - 1) {
		n = read(fd, text + len, TEXT_SIZE - 1 - len);
		if (n <= 0)
			break;
		len += n;
	}
	if (fd >= 0)
		close(fd);
	text[len] = '\0';
	return text;
}

FIXTURE_SETUP(trace)
{
	self->fd = bench_open(_metadata);
	self->text = malloc(TEXT_SIZE);
	ASSERT_NE(NULL, self->text);
	held_map(_metadata, &self->held);
	if (access(TRACEFS "/events", F_OK)) {
		ASSERT_EQ(0, mount("none", TRACEFS, "tracefs", 0, NULL))
			TH_LOG("tracefs: %s", strerror(errno));
		self->mounted = true;
	}
	self->instance = !access(TRACEFS EVENTS, F_OK) && !mkdir(INSTANCE, 0700);
}

FIXTURE_TEARDOWN(trace)
{
	held_abandon(&self->held);
	if (self->instance)
		EXPECT_EQ(0, rmdir(INSTANCE));
	if (self->mounted)
		EXPECT_EQ(0, umount(TRACEFS));
	free(self->text);
	bench_close(_metadata, self->fd);
}

TEST_F_TIMEOUT(trace, n6_events_have_their_fields, GM_TEST_S)
{
	char path[128], fields[128], declared[64], *field, *next;

	ASSERT_TRUE(self->instance) TH_LOG(NO_EVENTS);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		snprintf(path, sizeof(path), TRACEFS EVENTS "/%s/format",
			 events[i].name);
		slurp(path, self->text);
		EXPECT_NE('\0', *self->text)
			TH_LOG("there is no event %s", events[i].name);
		strcpy(fields, events[i].fields);
		for (field = strtok_r(fields, " ", &next); field;
		     field = strtok_r(NULL, " ", &next)) {
			snprintf(declared, sizeof(declared), " %s;", field);
			EXPECT_NE(NULL, strstr(self->text, declared))
				TH_LOG("%s has no field %s", events[i].name, field);
		}
	}
}

static int enable(bool on)
{
	int fd = open(INSTANCE EVENTS "/enable", O_WRONLY | O_CLOEXEC);
	int ret = fd < 0 || write(fd, on ? "1" : "0", 1) != 1;

	if (fd >= 0)
		close(fd);
	return ret;
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
	EXPECT_TRUE(has_line(self->text, name ": ", __want))			\
		TH_LOG("no line '%s ... %s'", name, __want);			\
} while (0)

/* A line of @text has @name and, after it, @want. */
static bool has_line(const char *text, const char *name, const char *want)
{
	const char *end;

	for (; (text = strstr(text, name)); text = end) {
		const char *hit = strstr(text, want);

		end = strchrnul(text, '\n');
		if (hit && hit < end)
			return true;
	}
	return false;
}

TEST_F_TIMEOUT(trace, n6_events_tell_what_happens, GM_TEST_S)
{
	ASSERT_TRUE(self->instance) TH_LOG(NO_EVENTS);
	ASSERT_EQ(0, enable(true));
	play(_metadata, self);
	EXPECT_EQ(0, enable(false));
	slurp(INSTANCE "/trace", self->text);

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
	ASSERT_TRUE(self->instance) TH_LOG(NO_EVENTS);
	ASSERT_EQ(0, enable(true));
	call_start(_metadata, &call);
	while (!call.returned) {
		*page = 1;
		EXPECT_EQ(0, madvise(page, GM_PAGE_SIZE, MADV_DONTNEED));
		gm_sleep_ms(5);
	}
	call_end(_metadata, &call);
	EXPECT_EQ(0, enable(false));
	slurp(INSTANCE "/trace", self->text);
	EXPECT_NE(0, bench_stat(self->fd, GM_MN_RETRIES));
	EXPECT_NE(NULL, strstr(self->text, "mmu_interval_retry: "));
}

TEST_HARNESS_MAIN
