// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unmap notification: how the guest learns that the mapper is gone. The byte is
 * cleared, then the hypervisor lets go of the page, and only then comes the event:
 * a guest that gets the event can revoke at once, and sees the byte.
 */
#include <sys/wait.h>
#include <xenevtchn.h>
#include <xengnttab.h>

#include "grants.h"

#define SEED		0x33ULL
#define PAGES		4U

/* The byte: in page 2, not at its start. */
#define BYTE_PAGE	2U
#define BYTE		(BYTE_PAGE * GM_PAGE_SIZE + 1234)
#define ALIVE		0xa5

#define CLEAR		UNMAP_NOTIFY_CLEAR_BYTE
#define EVENT		UNMAP_NOTIFY_SEND_EVENT

/* The guest looks for events for this long; only a failing test takes so long. */
#define EVENT_MS	20000

FIXTURE(notify) {
	struct granter gr;
	struct gm_grant *grant;
	int fd;
	int64_t index;
	void *addr;
	xenevtchn_handle *xce;
	int guest_port;
	int port;
};

FIXTURE_SETUP(notify)
{
	char rsp[GM_RSP_MAX];

	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, PAGES, true, SEED);
	ASSERT_EQ(0, gm_guest_cmd(self->gr.g, rsp, sizeof(rsp), GM_TIMEOUT_MS,
				  "evtchn-alloc %d", gm_self_domid()));
	self->guest_port = atoi(rsp);
	self->xce = xenevtchn_open(NULL, 0);
	ASSERT_NE(NULL, self->xce);
	self->port = xenevtchn_bind_interdomain(self->xce, self->gr.domid,
						self->guest_port);
	ASSERT_LE(0, self->port) TH_LOG("bind: %s", strerror(errno));
	self->fd = gm_gntdev_open();
	ASSERT_LE(0, self->fd);
	self->addr = gm_gntdev_map(self->fd, self->grant,
				   PROT_READ | PROT_WRITE, &self->index);
	ASSERT_NE(MAP_FAILED, self->addr) TH_LOG("map: %s", strerror(errno));
	((volatile uint8_t *)self->addr)[BYTE] = ALIVE;
}

FIXTURE_TEARDOWN(notify)
{
	if (self->addr)
		EXPECT_EQ(0, munmap(self->addr, PAGES * GM_PAGE_SIZE));
	if (self->fd >= 0)
		close(self->fd);
	EXPECT_EQ(0, gm_guest_cmd(self->gr.g, NULL, 0, GM_TIMEOUT_MS,
				  "evtchn-close %d", self->guest_port));
	xenevtchn_close(self->xce);
	granter_teardown(_metadata, &self->gr);
}

#define EXPECT_BYTE(value) \
	EXPECT_EQ(value, gm_guest_peek(self->gr.g, self->grant, BYTE))

/* Whether an event came to the guest, that waits for it for @ms. */
#define EXPECT_EVENT(what, ms) do {					\
	char __rsp[GM_RSP_MAX];						\
									\
	EXPECT_EQ(0, gm_guest_cmd(self->gr.g, __rsp, sizeof(__rsp),	\
				  GM_TIMEOUT_MS, "evtchn-wait %d %d",	\
				  self->guest_port, ms));		\
	EXPECT_STREQ(what, __rsp);					\
} while (0)

#define FORGET_ALL() do {							\
	EXPECT_EQ(0, munmap(self->addr, PAGES * GM_PAGE_SIZE));		\
	EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, self->index, PAGES)); \
	self->addr = NULL;						\
} while (0)

TEST_F_TIMEOUT(notify, byte_is_cleared, GM_TEST_S)
{
	ASSERT_EQ(0, gm_gntdev_notify(self->fd, self->index + BYTE, CLEAR, 0));
	EXPECT_BYTE(ALIVE);
	FORGET_ALL();
	EXPECT_BYTE(0);
	/* This byte and no other. */
	EXPECT_EQ(0, gm_guest_poke(self->gr.g, self->grant, BYTE,
				   gm_pattern(SEED, BYTE_PAGE,
					      BYTE % GM_PAGE_SIZE / 8) >>
				   BYTE % 8 * 8));
	EXPECT_EQ(0, gm_guest_check(self->gr.g, self->grant, SEED, 0, PAGES));
}

TEST_F_TIMEOUT(notify, byte_stays_until_its_page_goes, GM_TEST_S)
{
	ASSERT_EQ(0, gm_gntdev_notify(self->fd, self->index + BYTE, CLEAR, 0));
	EXPECT_EQ(0, munmap(self->addr, BYTE_PAGE * GM_PAGE_SIZE));
	EXPECT_BYTE(ALIVE);
	EXPECT_EQ(0, munmap(page_at(self->addr, BYTE_PAGE), GM_PAGE_SIZE));
	EXPECT_BYTE(0);
	EXPECT_EQ(0, munmap(page_at(self->addr, BYTE_PAGE + 1),
			    (PAGES - BYTE_PAGE - 1) * GM_PAGE_SIZE));
	self->addr = NULL;
}

TEST_F_TIMEOUT(notify, event_is_sent, GM_TEST_S)
{
	ASSERT_EQ(0, gm_gntdev_notify(self->fd, self->index, EVENT, self->port));
	EXPECT_EVENT("timeout", 300);
	FORGET_ALL();
	EXPECT_EVENT("fired", EVENT_MS);
	EXPECT_BYTE(ALIVE);
}

/*
 * The guest waits for the event while the mapper unmaps; on it, it reads the byte
 * and revokes. When a page is still mapped then, its grant stays for a second.
 */
TEST_F_TIMEOUT(notify, g20_byte_then_hypervisor_then_event, GM_TEST_S)
{
	char rsp[GM_RSP_MAX];

	ASSERT_EQ(0, gm_gntdev_notify(self->fd, self->index + BYTE,
				      CLEAR | EVENT, self->port));
	ASSERT_EQ(0, gm_guest_start(self->gr.g, "evtchn-watch %d %d %d %lu",
				    self->guest_port, EVENT_MS,
				    self->grant->id, BYTE));
	gm_sleep_ms(300);
	FORGET_ALL();
	EXPECT_EQ(0, gm_guest_finish(self->gr.g, rsp, sizeof(rsp),
				     GM_TIMEOUT_MS));
	EXPECT_EQ((int)self->gr.base.granted,
		  gm_grants_granted(self->gr.domid));
	EXPECT_STREQ("fired 0", rsp);
	self->grant->count = 0;
}

TEST_F_TIMEOUT(notify, nothing_after_it_was_taken_back, GM_TEST_S)
{
	ASSERT_EQ(0, gm_gntdev_notify(self->fd, self->index + BYTE,
				      CLEAR | EVENT, self->port));
	ASSERT_EQ(0, gm_gntdev_notify(self->fd, self->index + BYTE, 0, 0));
	FORGET_ALL();
	EXPECT_EVENT("timeout", 300);
	EXPECT_BYTE(ALIVE);
}

TEST_F_TIMEOUT(notify, second_replaces_first, GM_TEST_S)
{
	ASSERT_EQ(0, gm_gntdev_notify(self->fd, self->index + BYTE, CLEAR, 0));
	ASSERT_EQ(0, gm_gntdev_notify(self->fd, self->index + BYTE + 1, CLEAR,
				      0));
	((volatile uint8_t *)self->addr)[BYTE + 1] = ALIVE;
	FORGET_ALL();
	EXPECT_BYTE(ALIVE);
	EXPECT_EQ(0, gm_guest_peek(self->gr.g, self->grant, BYTE + 1));
}

TEST_F_TIMEOUT(notify, through_libxengnttab, GM_TEST_S)
{
	xengnttab_handle *xgt = xengnttab_open(NULL, 0);
	volatile uint8_t *addr;

	ASSERT_NE(NULL, xgt);
	addr = xengnttab_map_grant_ref_notify(xgt, self->grant->domid,
					      self->grant->refs[0],
					      PROT_READ | PROT_WRITE, 17,
					      self->port);
	ASSERT_NE(NULL, addr) TH_LOG("map: %s", strerror(errno));
	addr[17] = ALIVE;
	EXPECT_EQ(0, xengnttab_unmap(xgt, (void *)addr, 1));
	EXPECT_EVENT("fired", EVENT_MS);
	EXPECT_EQ(0, gm_guest_peek(self->gr.g, self->grant, 17));
	xengnttab_close(xgt);
}

/* A mapper that has a byte and an event to be sent, and then just waits. */
static pid_t start_mapper(const struct gm_grant *grant, uint32_t domid,
			  int guest_port)
{
	int fds[2];
	pid_t pid;

	if (pipe(fds))
		return -1;
	pid = fork();
	if (!pid) {
		xenevtchn_handle *xce = xenevtchn_open(NULL, 0);
		int fd = gm_gntdev_open();
		volatile uint8_t *addr;
		int64_t index;
		int port;

		port = xenevtchn_bind_interdomain(xce, domid, guest_port);
		addr = gm_gntdev_map(fd, grant, PROT_READ | PROT_WRITE, &index);
		if (port < 0 || addr == MAP_FAILED ||
		    gm_gntdev_notify(fd, index + BYTE, CLEAR | EVENT, port))
			_exit(1);
		addr[BYTE] = ALIVE;
		if (write(fds[1], "m", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	return child_ready(pid, fds);
}

TEST_F_TIMEOUT(notify, sent_when_the_process_is_killed, GM_TEST_S)
{
	char rsp[GM_RSP_MAX];
	int port;
	pid_t pid;

	FORGET_ALL();
	ASSERT_EQ(0, gm_guest_cmd(self->gr.g, rsp, sizeof(rsp), GM_TIMEOUT_MS,
				  "evtchn-alloc %d", gm_self_domid()));
	port = atoi(rsp);
	pid = start_mapper(self->grant, self->gr.domid, port);
	ASSERT_LT(0, pid);
	EXPECT_BYTE(ALIVE);
	EXPECT_IN_USE(&self->gr, PAGES);
	kill(pid, SIGKILL);
	EXPECT_EQ(pid, waitpid(pid, NULL, 0));
	EXPECT_EQ(0, gm_guest_cmd(self->gr.g, rsp, sizeof(rsp), GM_TIMEOUT_MS,
				  "evtchn-wait %d %d", port, EVENT_MS));
	EXPECT_STREQ("fired", rsp);
	EXPECT_BYTE(0);
	EXPECT_IN_USE(&self->gr, 0);
	EXPECT_EQ(0, gm_guest_cmd(self->gr.g, NULL, 0, GM_TIMEOUT_MS,
				  "evtchn-close %d", port));
}

TEST_F_TIMEOUT(notify, sent_when_the_file_is_closed, GM_TEST_S)
{
	ASSERT_EQ(0, gm_gntdev_notify(self->fd, self->index + BYTE,
				      CLEAR | EVENT, self->port));
	EXPECT_EQ(0, munmap(self->addr, PAGES * GM_PAGE_SIZE));
	self->addr = NULL;
	close(self->fd);
	self->fd = -1;
	EXPECT_EVENT("fired", EVENT_MS);
	EXPECT_BYTE(0);
}

TEST_F_TIMEOUT(notify, bad_requests, GM_TEST_S)
{
	struct gm_grant ro = *self->grant;
	int64_t index;
	void *addr;

	EXPECT_EQ(-ENOENT, gm_gntdev_notify(self->fd, self->index +
					    64 * GM_PAGE_SIZE, CLEAR, 0));
	EXPECT_EQ(-EINVAL, gm_gntdev_notify(self->fd, self->index, 4, 0));
	EXPECT_EQ(-EINVAL, gm_gntdev_notify(self->fd, self->index, ~0U, 0));
	/* No such event channel. */
	EXPECT_EQ(-EINVAL, gm_gntdev_notify(self->fd, self->index, EVENT, 4000));
	addr = gm_gntdev_map(self->fd, &ro, PROT_READ, &index);
	ASSERT_NE(MAP_FAILED, addr);
	EXPECT_EQ(-EINVAL, gm_gntdev_notify(self->fd, index + BYTE, CLEAR, 0));
	EXPECT_EQ(0, munmap(addr, PAGES * GM_PAGE_SIZE));
}

TEST_HARNESS_MAIN
