// SPDX-License-Identifier: GPL-2.0-only
/*
 * gm-store-front: the guest's side of gm-store-back, see there and in
 * Documentation/tutorial-backend.md.
 *
 * It grants the ring's page for as long as it runs, and the pages of a request until that
 * is answered. Answered means: the backend has nothing of them mapped any more.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>

#include "store.h"

/* In no grant table */
#define NO_REF 0x7fffffffU

struct front {
	struct xs_handle *xs;
	xenevtchn_handle *xce;
	evtchn_port_t port;
	xengntshr_handle *xgs;
	struct store_shared *shared;
	store_front_ring_t ring;
	bool connected; /* the backend was there once */
};

static void die(const char *what)
{
	fprintf(stderr, "gm-store-front: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void publish(struct front *f, const char *name, uint32_t value)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%u", value);

	/* Relative: in our own home, wherever that is. */
	if (!xs_write(f->xs, XBT_NULL, name, text, n))
		die(name);
}

/* [share] */
static void share_ring(struct front *f)
{
	xenevtchn_port_or_error_t port = xenevtchn_bind_unbound_port(f->xce, 0);
	uint32_t ref;

	if (port < 0)
		die("xenevtchn_bind_unbound_port");
	f->port = port;
	/* gntalloc's notification: the counterpart of the backend's. */
	f->shared = xengntshr_share_page_notify(f->xgs, 0, &ref, 1,
						offsetof(struct store_shared, front_alive), port);
	if (!f->shared)
		die("xengntshr_share_page_notify (modprobe xen-gntalloc)");
	memset(f->shared, 0, sizeof(*f->shared));
	SHARED_RING_INIT(&f->shared->ring);
	FRONT_RING_INIT(&f->ring, &f->shared->ring, STORE_RING_BYTES);
	f->shared->front_alive = 1;

	publish(f, STORE_NODE "/ring-ref", ref);
	publish(f, STORE_NODE "/port", port); /* last: now it is all there */
}

/* [share end] */

/* Waits for an event; false: the backend has gone. */
static bool wait_event(struct front *f)
{
	struct pollfd fd = { .fd = xenevtchn_fd(f->xce), .events = POLLIN };
	xenevtchn_port_or_error_t port;

	if (__atomic_load_n(&f->shared->back_alive, __ATOMIC_ACQUIRE))
		f->connected = true;
	else if (f->connected)
		return false;
	if (poll(&fd, 1, -1) < 0 && errno != EINTR)
		die("poll");
	port = xenevtchn_pending(f->xce);
	if (port >= 0)
		xenevtchn_unmask(f->xce, port);
	return true;
}

/* Sends a request and waits for its answer: 0, a positive errno, or -1: no backend. */
static int request(struct front *f, const struct store_request *req)
{
	struct store_answer ans;
	int notify, more = 0;

	*RING_GET_REQUEST(&f->ring, f->ring.req_prod_pvt) = *req;
	f->ring.req_prod_pvt++;
	RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&f->ring, notify);
	if (notify)
		xenevtchn_notify(f->xce, f->port);
	while (!more) {
		RING_FINAL_CHECK_FOR_RESPONSES(&f->ring, more);
		if (!more && !wait_event(f))
			return -1;
	}
	xen_rmb(); /* the answer is read after its number */
	RING_COPY_RESPONSE(&f->ring, f->ring.rsp_cons, &ans);
	f->ring.rsp_cons++;
	return ans.id == req->id ? ans.error : EPROTO;
}

static void fill(uint64_t *data, uint64_t seed, uint32_t page, unsigned int count)
{
	for (unsigned int i = 0; i < count * STORE_WORDS; i++)
		data[i] = store_word(seed, page, i);
}

static bool is_filled(const uint64_t *data, uint64_t seed, uint32_t page, unsigned int count)
{
	for (unsigned int i = 0; i < count * STORE_WORDS; i++)
		if (data[i] != store_word(seed, page, i))
			return false;
	return true;
}

/* One request for @count pages; @bad: one of the references is none. As request(). */
static int transfer(struct front *f, int op, uint32_t page, unsigned int count, uint64_t seed,
		    bool bad)
{
	struct store_request req = { .id = page, .op = op, .count = count, .first = page };
	uint64_t *data;
	int err;

	data = xengntshr_share_pages(f->xgs, 0, count, req.refs, op == STORE_GET);
	if (!data)
		die("xengntshr_share_pages");
	memset(data, 0, count * STORE_PAGE_SIZE);
	if (op == STORE_PUT)
		fill(data, seed, page, count);
	if (bad)
		req.refs[count / 2] = NO_REF;
	err = request(f, &req);
	if (!err && op == STORE_GET && !is_filled(data, seed, page, count))
		err = EBADMSG;
	xengntshr_unshare(f->xgs, data, count);
	return err;
}

static int transfer_all(struct front *f, int op, uint32_t page, unsigned int count, uint64_t seed)
{
	unsigned int n;
	int err = 0;

	for (; count && !err; page += n, count -= n) {
		n = count < STORE_MAX_PAGES ? count : STORE_MAX_PAGES;
		err = transfer(f, op, page, n, seed, false);
	}
	return err;
}

static int run(struct front *f, const char *what, uint32_t page, unsigned int count, uint64_t seed)
{
	if (!strcmp(what, "get"))
		return transfer_all(f, STORE_GET, page, count, seed);
	if (!strcmp(what, "bad")) {
		int refused = transfer(f, STORE_PUT, page, STORE_MAX_PAGES, seed, true);

		/* The next one is none the worse for it. */
		return transfer_all(f, STORE_PUT, page, count, seed) ?: refused;
	}
	return transfer_all(f, STORE_PUT, page, count, seed);
}

static const char *outcome(int err)
{
	if (err < 0)
		return "the backend has gone";
	return err ? strerror(err) : "ok";
}

static bool is_command(const char *what)
{
	return !strcmp(what, "put") || !strcmp(what, "get") || !strcmp(what, "bad") ||
	       !strcmp(what, "stay");
}

static void usage(FILE *f)
{
	fputs("usage: gm-store-front put|get|bad|stay PAGE COUNT SEED\n"
	      "\n"
	      "In a guest for which gm-store-back runs in dom0:\n"
	      "  put    store COUNT pages from PAGE on; what is in them comes from SEED\n"
	      "  get    read them back, and compare\n"
	      "  bad    as put, after a request with a reference that is none: that error is right\n"
	      "  stay   as put, then stay until the backend has gone\n",
	      f);
}

int main(int argc, char **argv)
{
	struct front f = {};
	int err;

	if (argc == 2 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"))) {
		usage(stdout);
		return 0;
	}
	if (argc != 5 || !is_command(argv[1])) {
		usage(stderr);
		return 2;
	}
	f.xs = xs_open(0);
	if (!f.xs)
		die("xenstore");
	f.xce = xenevtchn_open(NULL, 0);
	if (!f.xce)
		die("/dev/xen/evtchn");
	f.xgs = xengntshr_open(NULL, 0);
	if (!f.xgs)
		die("xengntshr_open");
	share_ring(&f);

	err = run(&f, argv[1], strtoul(argv[2], NULL, 0), strtoul(argv[3], NULL, 0),
		  strtoull(argv[4], NULL, 0));
	printf("%s: %s\n", argv[1], outcome(err));
	if (!strcmp(argv[1], "stay")) {
		fflush(stdout);
		while (wait_event(&f))
			;
		printf("the backend has gone\n");
	}

	/* This is what the backend is told of. */
	xengntshr_unshare(f.xgs, f.shared, 1);
	xs_rm(f.xs, XBT_NULL, STORE_NODE);
	xengntshr_close(f.xgs);
	xenevtchn_close(f.xce);
	xs_close(f.xs);
	return err != 0;
}
