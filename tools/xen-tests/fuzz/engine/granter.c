// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest that grants, while programs run. A program must not talk to it itself: it may be
 * killed in the middle of a request. So a server, which outlives all programs, does what they
 * ask for through a pipe, and writes the references into memory that all share.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>
#include <xenevtchn.h>

#include "fuzz.h"

#define TICKETS		64
#define WAIT_MS		2000
#define RESTORE		GRANTER_COMMANDS

/* Small, larger than a page of operations, read-only, and a single page */
static const struct {
	unsigned int count;
	bool writable;
} shapes[FZ_RUNS] = { { 8, true }, { 40, true }, { 8, false }, { 1, true } };

struct request {
	unsigned int command, run, ticket;
};

static struct shared {
	struct fz_granter granter;
	atomic_uint next;		/* ticket */
	atomic_uint served[TICKETS];	/* ticket N is, in slot N % TICKETS */
	atomic_bool changed;		/* since the last restore */
} *shared;

struct fz_granter *fz_granter;
static int requests[2];

/* In the server alone */
static struct gm_guest *guest;
static struct gm_grant grants[FZ_RUNS];

/* Under way: programs may use the old references for a moment. */
static int grant_run(unsigned int i)
{
	int ret;

	if (grants[i].count)
		return 0;
	ret = gm_guest_grant(guest, &grants[i], shapes[i].count, shapes[i].writable, i);
	if (ret)
		return ret;
	for (unsigned int n = 0; n < FZ_RUN_PAGES; n++)
		shared->granter.runs[i].refs[n] = grants[i].refs[n % grants[i].count];
	shared->granter.runs[i].count = grants[i].count;
	return 0;
}

static int serve_one(const struct request *rq)
{
	int ret = 0;

	switch (rq->command) {
	case GRANTER_REVOKE:
		return gm_guest_revoke(guest, &grants[rq->run]);
	case GRANTER_GRANT:
		return grant_run(rq->run);
	case GRANTER_FILL:
		return grants[rq->run].count ?
			       gm_guest_fill(guest, &grants[rq->run], rq->ticket) : 0;
	default:
		for (unsigned int i = 0; i < FZ_RUNS && !ret; i++)
			ret = grant_run(i);
		return ret;
	}
}

static void serve(void)
{
	struct request rq;
	int ret;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Only here: libxenstore has a thread, which does not survive a fork. */
	guest = gm_guest_open(fz_granter->domid);
	if (!guest)
		_exit(1);
	while (read(requests[0], &rq, sizeof(rq)) == sizeof(rq)) {
		ret = serve_one(&rq);
		if (ret)
			fprintf(stderr, "gm-fuzz: the guest: command %u, run %u: %s\n",
				rq.command, rq.run, strerror(-ret));
		atomic_store(&shared->served[rq.ticket % TICKETS], rq.ticket);
	}
	_exit(0);
}

static long ask(unsigned int command, unsigned int run, int wait_ms)
{
	struct request rq = {
		.command = command,
		.run = run,
		.ticket = 1 + atomic_fetch_add(&shared->next, 1),
	};
	double end = gm_now() + wait_ms / 1000.0 * gm_scale();

	if (write(requests[1], &rq, sizeof(rq)) != sizeof(rq))
		return -errno;
	while (wait_ms && atomic_load(&shared->served[rq.ticket % TICKETS]) != rq.ticket) {
		if (gm_now() > end)
			return -ETIMEDOUT;
		gm_sleep_ms(1);
	}
	return 0;
}

long granter_ask(unsigned int command, unsigned int run, bool wait)
{
	atomic_store(&shared->changed, true);
	return ask(command, run, wait ? WAIT_MS : 0);
}

void granter_restore(void)
{
	if (!atomic_exchange(&shared->changed, false))
		return;
	if (ask(RESTORE, 0, GM_TIMEOUT_MS)) {
		fprintf(stderr, "gm-fuzz: the guest does not grant any more\n");
		exit(1);
	}
}

/* NULL, or why there is none */
const char *granter_open(void)
{
	const char *domid = getenv("GM_DOMID");
	xenevtchn_port_or_error_t port;
	xenevtchn_handle *xce;

	if (!domid)
		return "GM_DOMID does not name a granting guest";
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED || pipe(requests))
		return "no memory for the granter's server";
	fz_granter = &shared->granter;
	fz_granter->domid = atoi(domid);
	/* It is open for as long as this process lives. */
	xce = xenevtchn_open(NULL, 0);
	port = xce ? xenevtchn_bind_unbound_port(xce, fz_granter->domid) : -1;
	if (port < 0)
		return "no event channel to the guest";
	fz_granter->port = port;
	if (gm_self_domid() < 0)
		return "xenstore does not answer";
	fz_granter->in_use = gm_grants_in_use(fz_granter->domid);
	switch (fork()) {
	case -1:
		return "no server for the granter";
	case 0:
		serve();
	}
	return ask(RESTORE, 0, GM_TIMEOUT_MS) || !fz_granter->runs[FZ_RUNS - 1].count ?
		       "the guest's agent does not grant" : NULL;
}
