/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guests as the tests of lifecycle/ and clients/ see them: driven through xl, looked at
 * through libxenctrl and xenstore, talked to through their agent.
 *
 * A guest is known by its *name*. The harness runs every test in a process of its own while
 * the guest lives on between them, and save, restore, migration and reboot give it another
 * domid: so nothing is remembered, and what the guest is now is always asked anew.
 * A struct dom_id is taken down only to look, afterwards, for what that domain left behind.
 *
 * Functions that return int give 0 (or what they say), or -1 with a text in dom_error().
 * Times are in milliseconds and scaled by GM_SCALE: limits on a hang, not on correct code.
 */
#ifndef GM_DOM_H
#define GM_DOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Long enough for what they name under TCG on a loaded machine. */
#define DOM_XL_MS	120000	/* any one xl command */
#define DOM_BOOT_MS	120000	/* from create to an agent that answers */
#define DOM_GONE_MS	60000	/* from the last reference to nothing left */
#define DOM_AGENT_MS	30000	/* one command of the agent */

struct dom {
	const char *name;
	const char *config;	/* a file of configs/xl, as it is called in the lab */
	const char *extra;	/* more lines of configuration, one shell word each, or NULL */
};

struct dom_id {
	uint32_t domid;
	char uuid[37];
};

/* What Xen says of a domain. */
struct dom_state {
	bool hvm;		/* in an HVM container: PVH as well as HVM */
	bool paused;		/* by the toolstack */
	bool shutdown;		/* for any reason, a crash among them */
	bool crashed;
	bool dying;		/* destroyed, but something still refers to it */
	uint64_t cpu_time;	/* ns */
	unsigned long nr_pages;
};

const char *dom_error(void);

/* xl: its exit code, and what it wrote the last time, both streams */
int dom_xl(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
const char *dom_xl_output(void);

/* What there is. dom_find() gives the domid; dom_state() false when Xen knows no such domain. */
int dom_find(const char *name);
int dom_identify(const char *name, struct dom_id *id);
bool dom_state(uint32_t domid, struct dom_state *state);

bool dom_xs_exists(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* To be freed, as is the census: all domains, and all that xenstore says of them. */
char *dom_xs_read(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *dom_census(void);

/* The host's free memory, and the mappings of /dev/xen/gntdev in a process of dom0. */
unsigned long long dom_free_pages(void);
unsigned long long dom_host_pages(void);
int dom_grant_mappings(pid_t pid);

/* Starting and ending. To be up is to have an agent that answers; some of these wait for it. */
int dom_create(const struct dom *d);		/* waits */
int dom_create_paused(const struct dom *d);
int dom_ensure(const struct dom *d);		/* takes the one that runs, or creates it; waits */
int dom_wait_up(const char *name);
int dom_destroy(const char *name);		/* and all its traces; no such guest is fine */

/* Waits until neither Xen nor xenstore has anything left of the domain. */
int dom_wait_gone(const struct dom_id *id);

/*
 * The log that xenconsoled keeps of a guest's console, and its removal: for a guest that
 * crashes as it should, whose log would look like a finding.
 */
const char *dom_console_log(const char *name, char *path, size_t size);
void dom_forget_console(const char *name);

/* A command for the guest's shell, through its agent: its exit code. */
int dom_sh(const char *name, char *out, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
