// SPDX-License-Identifier: GPL-2.0-only
/*
 * gm-store-back: a backend in user space. It keeps pages of a guest in a file of dom0.
 * Documentation/tutorial-backend.md is about it; the marks [like this] are what it shows.
 *
 * The ring's page is mapped once, with libxengnttab, as any backend does. The data of a
 * request are mapped for that request alone, with the ioctls of uapi/xen/gntdev.h: these
 * say which grant was wrong, and when the guest can really have its pages back.
 *
 * It serves one guest, for as long as gm-store-front runs there.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>
/* Types of the next one */
#include <xen/grant_table.h>
#include <xen/gntdev.h>

#include "store.h"

struct backend {
	uint32_t domid;
	int file;
	struct xs_handle *xs;
	xenevtchn_handle *xce;
	evtchn_port_t port;
	xengnttab_handle *xgt;
	struct store_shared *shared;
	store_back_ring_t ring;
	int gntdev;
	int released; /* eventfd */
};

static void die(const char *what)
{
	fprintf(stderr, "gm-store-back: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- a number from xenstore, or -1 ---- */

static long read_node(struct backend *b, const char *name)
{
	unsigned int len;
	char path[80], *text;
	long value = -1;

	snprintf(path, sizeof(path), "/local/domain/%u/" STORE_NODE "/%s", b->domid, name);
	text = xs_read(b->xs, XBT_NULL, path, &len);
	if (text)
		value = strtol(text, NULL, 10);
	free(text);
	return value;
}

/* [connect] */
/* Waits for the guest to publish its ring; the port comes last. */
static long wait_for_port(struct backend *b)
{
	char path[80];
	long port;

	snprintf(path, sizeof(path), "/local/domain/%u/" STORE_NODE, b->domid);
	/* A watch fires once when it is set, and then for each change. */
	if (!xs_watch(b->xs, path, "store") || !xs_watch(b->xs, "@releaseDomain", "gone"))
		die("xs_watch");
	while ((port = read_node(b, "port")) < 0) {
		unsigned int n;

		free(xs_read_watch(b->xs, &n));
	}
	return port;
}

static void connect_to_guest(struct backend *b)
{
	long port = wait_for_port(b);
	xenevtchn_port_or_error_t local;

	local = xenevtchn_bind_interdomain(b->xce, b->domid, port);
	if (local < 0)
		die("xenevtchn_bind_interdomain (is the port still the guest's?)");
	b->port = local;

	/*
	 * When this mapping goes, in whatever way, the kernel clears back_alive, has Xen unmap
	 * the page, and sends the event. So the guest learns of our end, a SIGKILL included.
	 */
	b->shared = xengnttab_map_grant_ref_notify(b->xgt, b->domid, read_node(b, "ring-ref"),
						   PROT_READ | PROT_WRITE,
						   offsetof(struct store_shared, back_alive),
						   b->port);
	if (!b->shared)
		die("xengnttab_map_grant_ref_notify");
	/* If another backend was here before: go on after its last answer. */
	BACK_RING_ATTACH(&b->ring, &b->shared->ring, b->shared->ring.rsp_prod, STORE_RING_BYTES);
	b->shared->back_alive = 1;
	xenevtchn_notify(b->xce, b->port);
}

/* [connect end] */

/* [map] */
/* Maps the guest's pages for @req; 0 or a negative errno. */
static int map_pages(struct backend *b, const struct store_request *req, void **addr,
		     uint64_t *index)
{
	int prot = req->op == STORE_PUT ? PROT_READ : PROT_READ | PROT_WRITE;
	struct ioctl_gntdev_grant_ref refs[STORE_MAX_PAGES];
	struct gntdev_ref_status status[STORE_MAX_PAGES];
	struct gntdev_map_refs op = {
		.size = sizeof(op),
		.count = req->count,
		.refs = (uintptr_t)refs,
		.status = (uintptr_t)status,
	};
	int err = 0;

	for (unsigned int i = 0; i < req->count; i++) {
		refs[i].domid = b->domid;
		refs[i].ref = req->refs[i];
		status[i].status = GNTST_okay;
	}
	if (ioctl(b->gntdev, IOCTL_GNTDEV_MAP_REFS, &op)) {
		err = -errno;
		/* Xen's own word for each. */
		for (unsigned int i = 0; i < req->count; i++)
			if (status[i].status < 0)
				fprintf(stderr, "gm-store-back: request %u: grant %u: status %d\n",
					req->id, req->refs[i], status[i].status);
		return err;
	}
	/* Of a grant that is read-only, a mapping to be written is EINVAL. */
	*addr = mmap(NULL, req->count * STORE_PAGE_SIZE, prot, MAP_SHARED, b->gntdev, op.index);
	*index = op.index;
	if (*addr == MAP_FAILED) {
		struct ioctl_gntdev_unmap_grant_ref undo = {
			.index = op.index,
			.count = req->count,
		};

		err = -errno;
		ioctl(b->gntdev, IOCTL_GNTDEV_UNMAP_GRANT_REF, &undo);
	}
	return err;
}

/* [map end] */

/* [release] */
/*
 * When this returns, the guest can do with its pages what it likes: they are not mapped, not
 * here, not for I/O that is still under way, and Xen has let go of each.
 */
static void release_pages(struct backend *b, const struct store_request *req, void *addr,
			  uint64_t index)
{
	struct gntdev_ack ack = {
		.size = sizeof(ack),
		.index = index,
		.eventfd = b->released,
	};
	struct ioctl_gntdev_unmap_grant_ref unmap = { .index = index, .count = req->count };
	uint64_t n;

	/* Ask first: the run has no name any more once it is unmapped. */
	if (ioctl(b->gntdev, IOCTL_GNTDEV_ACK, &ack))
		die("IOCTL_GNTDEV_ACK");
	/* Both return at once, whoever still uses a page. */
	munmap(addr, req->count * STORE_PAGE_SIZE);
	if (ioctl(b->gntdev, IOCTL_GNTDEV_UNMAP_GRANT_REF, &unmap))
		die("IOCTL_GNTDEV_UNMAP_GRANT_REF");
	/* A backend with much to do has the eventfd in its poll set, and goes on meanwhile. */
	if (read(b->released, &n, sizeof(n)) != sizeof(n))
		die("eventfd");
}

/* [release end] */

/* All of it or an error; a short transfer is one of the file's end. */
static int transfer(struct backend *b, const struct store_request *req, char *addr)
{
	size_t left = req->count * STORE_PAGE_SIZE;
	off_t at = (off_t)req->first * STORE_PAGE_SIZE;

	while (left) {
		ssize_t n = req->op == STORE_PUT ? pwrite(b->file, addr, left, at) :
						   pread(b->file, addr, left, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENXIO;
		addr += n;
		at += n;
		left -= n;
	}
	return 0;
}

/* [request] */
/* @req is a copy: the guest cannot change it any more. But it may hold anything. */
static int handle(struct backend *b, const struct store_request *req)
{
	uint64_t index = 0;
	void *addr = NULL;
	int err;

	if ((req->op != STORE_PUT && req->op != STORE_GET) || !req->count ||
	    req->count > STORE_MAX_PAGES || req->first > STORE_SIZE - req->count)
		return -EINVAL;
	err = map_pages(b, req, &addr, &index);
	if (err)
		return err;
	err = transfer(b, req, addr);
	release_pages(b, req, addr, index);
	return err;
}

static void answer(struct backend *b, uint32_t id, int err)
{
	struct store_answer *ans = RING_GET_RESPONSE(&b->ring, b->ring.rsp_prod_pvt);
	int notify;

	ans->id = id;
	ans->error = -err;
	b->ring.rsp_prod_pvt++;
	RING_PUSH_RESPONSES_AND_CHECK_NOTIFY(&b->ring, notify);
	if (notify)
		xenevtchn_notify(b->xce, b->port);
}

/* All that is in the ring; false: there is nonsense in it. */
static bool serve(struct backend *b)
{
	struct store_request req;
	RING_IDX produced;
	int more;

	do {
		produced = b->ring.sring->req_prod;
		xen_rmb(); /* the requests are read after their number */
		if (RING_REQUEST_PROD_OVERFLOW(&b->ring, produced))
			return false;
		while (b->ring.req_cons != produced) {
			RING_COPY_REQUEST(&b->ring, b->ring.req_cons, &req);
			b->ring.req_cons++;
			answer(b, req.id, handle(b, &req));
		}
		RING_FINAL_CHECK_FOR_REQUESTS(&b->ring, more);
	} while (more);
	return true;
}

/* [request end] */

/* [loop] */
/* Returns why it is over. */
static const char *serve_until_the_end(struct backend *b)
{
	struct pollfd fds[] = {
		{ .fd = xenevtchn_fd(b->xce), .events = POLLIN },
		{ .fd = xs_fileno(b->xs), .events = POLLIN },
	};
	xenevtchn_port_or_error_t port;
	unsigned int n;

	for (;;) {
		if (!serve(b))
			return "the guest's ring is broken";
		if (!__atomic_load_n(&b->shared->front_alive, __ATOMIC_ACQUIRE))
			return "the guest's program has ended";
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			die("poll");
		if (fds[0].revents) {
			port = xenevtchn_pending(b->xce);
			if (port >= 0)
				xenevtchn_unmask(b->xce, port);
		}
		if (fds[1].revents) {
			free(xs_read_watch(b->xs, &n));
			/* Its home in xenstore goes with a domain. */
			if (read_node(b, "port") < 0)
				return "the guest has gone";
		}
	}
}

/* [loop end] */

static void usage(FILE *f)
{
	fputs("usage: gm-store-back DOMID FILE\n"
	      "\n"
	      "Keeps pages of the guest DOMID, in which gm-store-front runs or will run, in FILE.\n"
	      "\n"
	      "  gm-store-back 1 /tmp/store &              here, in dom0\n"
	      "  gm-store-front put 0 64 7                 in guest 1: 64 pages from page 0 on\n",
	      f);
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "help", no_argument, NULL, 'h' }, {} };
	struct backend b = {};
	const char *why;
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		usage(c == 'h' ? stdout : stderr);
		return c == 'h' ? 0 : 2;
	}
	if (argc - optind != 2) {
		usage(stderr);
		return 2;
	}
	b.domid = strtoul(argv[optind], &end, 10);
	if (end == argv[optind] || *end) {
		fprintf(stderr, "gm-store-back: '%s' is no domain id (xl list shows them)\n",
			argv[optind]);
		return 2;
	}

	b.file = open(argv[optind + 1], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (b.file < 0)
		die(argv[optind + 1]);
	b.gntdev = open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC);
	if (b.gntdev < 0)
		die("/dev/xen/gntdev (modprobe xen-gntdev; only root may)");
	b.released = eventfd(0, EFD_CLOEXEC);
	if (b.released < 0)
		die("eventfd");
	b.xs = xs_open(0);
	if (!b.xs)
		die("xenstore");
	b.xce = xenevtchn_open(NULL, 0);
	if (!b.xce)
		die("/dev/xen/evtchn");
	b.xgt = xengnttab_open(NULL, 0);
	if (!b.xgt)
		die("xengnttab_open");

	connect_to_guest(&b);
	why = serve_until_the_end(&b);
	printf("gm-store-back: %s\n", why);

	/* Unmapping tells the guest. What is left the kernel would do as well. */
	xengnttab_unmap(b.xgt, b.shared, 1);
	xengnttab_close(b.xgt);
	xenevtchn_close(b.xce);
	xs_close(b.xs);
	close(b.gntdev);
	close(b.released);
	if (close(b.file))
		die(argv[optind + 1]);
	return 0;
}
