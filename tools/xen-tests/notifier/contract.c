// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the core promises (n1 to n7: rows of the list of the stock core's defects).
 *
 * "Somewhere else" is a page with a subscription of its own, whose callback is made to
 * hang: an invalidation is in flight there for as long as a test wants. What must not
 * depend on it is called by a thread of its own and has to return meanwhile; on the
 * stock kernel it does not, and does when the invalidation is let go.
 */
#include <signal.h>
#include <sys/wait.h>

#include "notifier.h"

/* Slots */
#define ELSEWHERE	0
#define HERE		1

#define PAGES		16
#define DEVICES		4

FIXTURE(contract) {
	int fd;
	char *here;
	struct held held;
};

FIXTURE_SETUP(contract)
{
	self->fd = bench_open(_metadata);
	self->here = mmap(NULL, PAGES * GM_PAGE_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	ASSERT_NE(MAP_FAILED, self->here);
	held_map(_metadata, &self->held);
}

FIXTURE_TEARDOWN(contract)
{
	held_abandon(&self->held);
	bench_close(_metadata, self->fd);
}

#define INSERT(slot, addr) \
	ASSERT_EQ(0, bench_insert(self->fd, slot, GM_MN_SHADOW, addr, GM_PAGE_SIZE))

#define HOLD_ELSEWHERE() \
	held_begin(_metadata, &self->held, self->fd, ELSEWHERE)

#define LET_GO() held_end(_metadata, &self->held)

#define INVALIDATE(addr) \
	ASSERT_EQ(0, madvise(addr, GM_PAGE_SIZE, MADV_DONTNEED))

/* @call returns although an invalidation elsewhere is in flight. */
#define EXPECT_RETURNS(call, what)						\
	EXPECT_TRUE(gm_wait((call)->returned, NEVER_MS))			\
		TH_LOG(what " waits for an invalidation of another range")

static struct call read_call(int fd, struct gm_mn_read *read)
{
	return (struct call){
		.fn = call_ioctl,
		.fd = fd,
		.request = GM_MN_READ_BEGIN,
		.arg = read,
	};
}

static struct call remove_call(int fd, unsigned long slot)
{
	return (struct call){
		.fn = call_ioctl,
		.fd = fd,
		.request = GM_MN_REMOVE,
		.arg = (void *)slot,
	};
}

/* ---- N1: readers ---- */

TEST_F_TIMEOUT(contract, n1_reader_waits_only_for_collisions, GM_TEST_S)
{
	struct gm_mn_read read = { .slot = HERE };
	struct call call = read_call(self->fd, &read);

	INSERT(ELSEWHERE, self->held.page);
	INSERT(HERE, self->here);
	HOLD_ELSEWHERE();
	/* It has collided once; that is over. */
	INVALIDATE(self->here);
	call_start(_metadata, &call);
	EXPECT_RETURNS(&call, "a reader");
	LET_GO();
	call_end(_metadata, &call);
	EXPECT_EQ(0, call.ret);
}

TEST_F_TIMEOUT(contract, n1_reader_of_a_newborn_does_not_wait, GM_TEST_S)
{
	struct gm_mn_read read = { .slot = HERE };
	struct call call = read_call(self->fd, &read);

	INSERT(ELSEWHERE, self->held.page);
	HOLD_ELSEWHERE();
	INSERT(HERE, self->here);
	call_start(_metadata, &call);
	EXPECT_RETURNS(&call, "a reader of a newborn");
	LET_GO();
	call_end(_metadata, &call);
	EXPECT_EQ(0, call.ret);
}

/* The shadow really can be filled meanwhile, and what collides still is noticed. */
TEST_F_TIMEOUT(contract, n1_shadow_is_filled_while_others_collide, GM_TEST_S)
{
	struct gm_mn_run run = { .role = GM_MN_READER, .ms = 500 };
	struct call call = {
		.fn = call_ioctl,
		.fd = self->fd,
		.request = GM_MN_RUN,
		.arg = &run,
	};

	/* No shadow: a reader would wait there, and with good reason. */
	ASSERT_EQ(0, bench_insert(self->fd, ELSEWHERE, 0, self->held.page,
				  GM_PAGE_SIZE));
	ASSERT_EQ(0, bench_insert(self->fd, HERE, GM_MN_SHADOW, self->here,
				  4 * GM_PAGE_SIZE));
	HOLD_ELSEWHERE();
	INVALIDATE(self->here);
	call_start(_metadata, &call);
	EXPECT_TRUE(gm_wait(bench_info(self->fd, HERE).valid, NEVER_MS))
		TH_LOG("nothing was stored while another range was invalidated");
	LET_GO();
	call_end(_metadata, &call);
}

TEST_F_TIMEOUT(contract, reader_waits_for_its_own_collision, GM_TEST_S)
{
	struct gm_mn_read read = { .slot = ELSEWHERE };
	struct call call = read_call(self->fd, &read);

	INSERT(ELSEWHERE, self->held.page);
	HOLD_ELSEWHERE();
	call_start(_metadata, &call);
	EXPECT_TRUE(call_waits(&call));
	LET_GO();
	call_end(_metadata, &call);
	EXPECT_EQ(0, call.ret);
	EXPECT_NE(0, read.sleeps);
}

/* Born inside of an invalidation that it overlaps: nothing may be read before its end. */
TEST_F_TIMEOUT(contract, newborn_inside_a_collision_starts_colliding, GM_TEST_S)
{
	struct gm_mn_read read = { .slot = HERE };
	struct call call = read_call(self->fd, &read);

	INSERT(ELSEWHERE, self->held.page);
	HOLD_ELSEWHERE();
	INSERT(HERE, self->held.page);
	call_start(_metadata, &call);
	EXPECT_TRUE(call_waits(&call));
	LET_GO();
	call_end(_metadata, &call);
	EXPECT_EQ(0, call.ret);
}

/* ---- N2: insert and remove ---- */

TEST_F_TIMEOUT(contract, n2_remove_does_not_wait_for_other_ranges, GM_TEST_S)
{
	struct call call = remove_call(self->fd, HERE);

	INSERT(ELSEWHERE, self->held.page);
	INSERT(HERE, self->here);
	HOLD_ELSEWHERE();
	call_start(_metadata, &call);
	EXPECT_RETURNS(&call, "remove");
	LET_GO();
	call_end(_metadata, &call);
	EXPECT_EQ(0, call.ret);
}

TEST_F_TIMEOUT(contract, n2_insert_takes_effect_at_once, GM_TEST_S)
{
	INSERT(ELSEWHERE, self->held.page);
	HOLD_ELSEWHERE();
	INSERT(HERE, self->here);
	INVALIDATE(self->here);
	EXPECT_EQ(1, bench_info(self->fd, HERE).callbacks)
		TH_LOG("a new subscription is not called");
	LET_GO();
	INVALIDATE(self->here);
	EXPECT_LT(0, bench_info(self->fd, HERE).callbacks);
}

/* Again and again, so that none is deferred and none lost. */
TEST_F_TIMEOUT(contract, n2_insert_and_remove_while_others_collide, GM_TEST_S)
{
	struct call call = remove_call(self->fd, HERE);

	INSERT(ELSEWHERE, self->held.page);
	HOLD_ELSEWHERE();
	for (int i = 0; i < 30 && self->held.on; i++) {
		INSERT(HERE, self->here);
		INVALIDATE(self->here);
		EXPECT_EQ(1, bench_info(self->fd, HERE).callbacks);
		call_start(_metadata, &call);
		EXPECT_RETURNS(&call, "remove");
		if (!call.returned)
			LET_GO();
		call_end(_metadata, &call);
	}
	if (self->held.on)
		LET_GO();
}

TEST_F_TIMEOUT(contract, remove_waits_for_its_own_callback, GM_TEST_S)
{
	struct call call = remove_call(self->fd, HERE);

	/* Both are called for the same page; HERE's has returned when ELSEWHERE hangs. */
	INSERT(ELSEWHERE, self->held.page);
	INSERT(HERE, self->held.page);
	HOLD_ELSEWHERE();
	call_start(_metadata, &call);
	EXPECT_TRUE(call_waits(&call));
	LET_GO();
	call_end(_metadata, &call);
	EXPECT_EQ(0, call.ret);
	EXPECT_EQ(0, bench_stat(self->fd, GM_MN_AFTER_FREE));
}

/* ---- N3: wake-ups ---- */

TEST_F_TIMEOUT(contract, n3_only_those_concerned_are_woken, GM_TEST_S)
{
	struct gm_mn_read read = { .slot = ELSEWHERE }, other = { .slot = HERE };
	struct call call = read_call(self->fd, &read);
	struct call other_call = read_call(self->fd, &other);
	struct held held = { };

	held_map(_metadata, &held);
	INSERT(ELSEWHERE, self->held.page);
	INSERT(HERE, held.page);
	HOLD_ELSEWHERE();
	held_begin(_metadata, &held, self->fd, HERE);
	call_start(_metadata, &call);
	call_start(_metadata, &other_call);
	EXPECT_TRUE(call_waits(&call));
	EXPECT_TRUE(call_waits(&other_call));

	LET_GO();
	EXPECT_RETURNS(&call, "a reader whose collision is over");
	EXPECT_TRUE(call_waits(&other_call));
	held_end(_metadata, &held);
	call_end(_metadata, &call);
	call_end(_metadata, &other_call);
	gm_note("went to sleep %u and %u times", read.sleeps, other.sleeps);
	EXPECT_EQ(1, read.sleeps);
	EXPECT_EQ(1, other.sleeps);
}

/* ---- N4: order of callbacks ---- */

static void note_order(const struct gm_mn_order *order)
{
	static const char * const what[] = { "called", "returned", "second" };
	char line[512] = "";
	int len = 0;

	for (unsigned int i = 0; i < order->nr; i++)
		len += snprintf(line + len, sizeof(line) - len, " %u:%s",
				order->step[i].slot, what[order->step[i].what]);
	gm_note("order:%s", line);
}

/* The number of steps of kind @what among the first @nr. */
static unsigned int steps(const struct gm_mn_order *order, unsigned int nr,
			  unsigned int what)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < nr; i++)
		n += order->step[i].what == what;
	return n;
}

static struct gm_mn_order invalidate_devices(META, int fd, void *addr,
					     unsigned int flags)
{
	struct gm_mn_order order = { };

	for (unsigned int i = 0; i < DEVICES; i++)
		ASSERT_EQ(0, bench_insert(fd, i, flags, addr, GM_PAGE_SIZE));
	EXPECT_EQ(0, bench_tune(fd, 0, 0, 0));
	INVALIDATE(addr);
	EXPECT_EQ(0, bench_ioctl(fd, GM_MN_GET_ORDER, &order));
	note_order(&order);
	return order;
}

TEST_F_TIMEOUT(contract, n4_two_pass_devices_work_at_the_same_time, GM_TEST_S)
{
	struct gm_mn_order order;

	if (!bench_has_two_pass(self->fd)) {
		invalidate_devices(_metadata, self->fd, self->here, 0);
		SKIP(return, "one device after the other: no invalidate_finish here");
	}
	order = invalidate_devices(_metadata, self->fd, self->here, GM_MN_TWO_PASS);
	EXPECT_EQ(3 * DEVICES, order.nr);
	EXPECT_EQ(DEVICES, steps(&order, DEVICES, GM_MN_CALLED))
		TH_LOG("a second pass came before the last first one");
	EXPECT_EQ(DEVICES, steps(&order, order.nr, GM_MN_SECOND));
	EXPECT_EQ(DEVICES, steps(&order, order.nr, GM_MN_RETURNED));
	expect_sound(_metadata, self->fd);
}

TEST_F_TIMEOUT(contract, one_pass_devices_come_one_after_the_other, GM_TEST_S)
{
	struct gm_mn_order order;

	order = invalidate_devices(_metadata, self->fd, self->here, 0);
	ASSERT_EQ(2 * DEVICES, order.nr);
	for (unsigned int i = 0; i < order.nr; i++)
		EXPECT_EQ(i % 2 ? GM_MN_RETURNED : GM_MN_CALLED, order.step[i].what);
}

/* ---- N5: the first insert ---- */

static volatile sig_atomic_t signals;

static void count_signal(int sig)
{
	(void)sig;
	signals++;
}

/* In the fixture's process nothing has been inserted before. */
TEST_F_TIMEOUT(contract, n5_first_insert_with_a_signal_pending, GM_TEST_S)
{
	struct sigaction sa = { .sa_handler = count_signal };

	ASSERT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
	EXPECT_EQ(0, bench_insert(self->fd, HERE, GM_MN_SIGNAL, self->here,
				  GM_PAGE_SIZE));
	EXPECT_EQ(1, signals);
}

/* ---- N7: an invalidation that must not sleep, refused ---- */

TEST_F_TIMEOUT(contract, n7_refused_start_leaves_nothing_in_flight, GM_TEST_S)
{
	struct gm_mn_refused arg = { .slot = HERE, .ms = NEVER_MS };

	INSERT(HERE, self->here);
	ASSERT_EQ(0, bench_ioctl(self->fd, GM_MN_REFUSED_START, &arg));
	EXPECT_EQ(-EAGAIN, arg.error);
	EXPECT_EQ(1, bench_stat(self->fd, GM_MN_NONBLOCK));
	EXPECT_EQ(0, arg.stuck)
		TH_LOG("a reader waits for an invalidation that was refused");
}

TEST_HARNESS_MAIN
