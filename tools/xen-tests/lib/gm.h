/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The test library: what every suite, the demo, the agent and the oracle share.
 *
 * Three machines take part in a test. The *granter* is a guest that runs
 * gm-agent and grants pages. The *mapper* is the domain that runs the test:
 * dom0, or a driver domain. *dom0* alone can look into other domains' grant
 * tables; a mapper that is not dom0 asks gm-oracle there, through the same
 * request/response channel in xenstore that the agent serves (rpc.c).
 *
 * Functions that return int return 0 (or a count) on success and a negative
 * errno on failure, unless they say otherwise. Times are in milliseconds and are
 * scaled by GM_SCALE: none of them is a limit on correct code, only on a hang.
 */
#ifndef GM_H
#define GM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/types.h>
/* grant_ref_t, domid_t; then our user ABI, of which libxengnttab's is a part */
#include <xen/grant_table.h>
#include <xen/gntdev.h>
/* libxengnttab's name for it */
#define ioctl_gntdev_grant_copy_segment gntdev_grant_copy_segment

#define GM_PAGE_SIZE 4096UL
#define GM_PAGE_WORDS (GM_PAGE_SIZE / sizeof(uint64_t))

/* Grant references that fit one xenstore node, whose quota is 2048 bytes. */
#define GM_REFS_PER_NODE 200

/* Longest answer of an agent, the final 0 included: below xenstore's quota. */
#define GM_RSP_MAX 1900

/* Long enough for anything a loaded machine without KVM does. */
#define GM_TIMEOUT_MS 60000

/* ---- rpc.c: one request at a time, through two xenstore nodes ---- */

struct gm_rpc;

/*
 * Answers @cmd in @rsp (GM_RSP_MAX bytes, empty on entry); 0 makes it an OK,
 * anything else an ERR.
 */
typedef int (*gm_rpc_handler)(void *priv, char *cmd, char *rsp);

struct gm_rpc *gm_rpc_open(const char *dir);
void gm_rpc_close(struct gm_rpc *rpc);
void gm_rpc_forget(const char *dir);
char *gm_rpc_read(struct gm_rpc *rpc, const char *node);

int gm_rpc_send(struct gm_rpc *rpc, const char *cmd);
int gm_rpc_recv(struct gm_rpc *rpc, char *rsp, size_t size, int timeout_ms);

struct xs_handle;
int gm_rpc_publish(struct xs_handle *xs, const char *dir, const char *ready);
int gm_rpc_serve(struct xs_handle *xs, const char *dir,
		 gm_rpc_handler handler, void *priv);

/* ---- guest.c: the granting guest, through its agent ---- */

struct gm_guest;

/* A run of pages that the guest granted to this domain. */
struct gm_grant {
	int id; /* the agent's name for it */
	uint32_t domid; /* the granter */
	unsigned int count; /* in pages */
	uint32_t *refs; /* @count grant references */
};

struct gm_guest *gm_guest_open(uint32_t domid);
void gm_guest_close(struct gm_guest *g);
void gm_guest_forget(uint32_t domid);
uint32_t gm_guest_domid(const struct gm_guest *g);
const char *gm_guest_ready(const struct gm_guest *g);

int gm_guest_cmd(struct gm_guest *g, char *rsp, size_t size, int timeout_ms,
		 const char *fmt, ...) __attribute__((format(printf, 5, 6)));
int gm_guest_start(struct gm_guest *g, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
int gm_guest_finish(struct gm_guest *g, char *rsp, size_t size, int timeout_ms);

int gm_guest_grant(struct gm_guest *g, struct gm_grant *gr, unsigned int count,
		   bool writable, uint64_t seed);
int gm_guest_grant_to(struct gm_guest *g, struct gm_grant *gr, uint32_t domid,
		      unsigned int count, bool writable, uint64_t seed);
int gm_guest_fill(struct gm_guest *g, const struct gm_grant *gr, uint64_t seed);
int gm_guest_check(struct gm_guest *g, const struct gm_grant *gr, uint64_t seed,
		   unsigned int first, unsigned int count);
int gm_guest_peek(struct gm_guest *g, const struct gm_grant *gr, size_t offset);
int gm_guest_poke(struct gm_guest *g, const struct gm_grant *gr, size_t offset,
		  uint8_t value);
int gm_guest_revoke(struct gm_guest *g, struct gm_grant *gr);

/* ---- pattern.c: what pages hold ---- */

uint64_t gm_pattern(uint64_t seed, uint64_t page, uint64_t word);
void gm_fill(void *addr, uint64_t seed, unsigned int first, unsigned int count);
ssize_t gm_check(const void *addr, uint64_t seed, unsigned int first,
		 unsigned int count);

/* ---- xen.c: what the hypervisor knows ---- */

struct gm_gnttab {
	unsigned int version; /* layout of its entries: 1 or 2 */
	unsigned int frames; /* size of the table, in pages */
	unsigned int granted; /* entries that permit access */
	unsigned int in_use; /* of these, mapped by somebody */
};

int gm_self_domid(void);
bool gm_self_is_pv(void);
int gm_gnttab_read(uint32_t domid, struct gm_gnttab *gt);
int gm_grants_in_use(uint32_t domid);
int gm_grants_granted(uint32_t domid);
int gm_grants_given(void);
int gm_gnttab_frames(uint32_t domid);
int gm_maptrack_frames(uint32_t domid);
int gm_active_entries(uint32_t domid);
int gm_grant_mappings(uint32_t domid, uint32_t ref);
bool gm_domain_gone(uint32_t domid);
int gm_parse_usage(const char *log, uint32_t domid, unsigned int *maptrack,
		   unsigned int *active);
int gm_xl(char *out, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
const char *gm_oracle_dir(uint32_t domid, char *buf, size_t size);

/* ---- gntdev.c: the device without libxengnttab in between ---- */

int gm_gntdev_open(void);
int64_t gm_gntdev_map_ref(int fd, uint32_t domid, const uint32_t *refs,
			  unsigned int count);
int gm_gntdev_unmap_ref(int fd, uint64_t index, unsigned int count);
int gm_gntdev_notify(int fd, uint64_t index, uint32_t action, uint32_t port);
void *gm_gntdev_mmap(int fd, int64_t index, unsigned int count, int prot);
void *gm_gntdev_map(int fd, const struct gm_grant *gr, int prot, int64_t *index);

/* Signal raised by reading (or writing back) the byte at @addr; 0: none. */
int gm_touch(volatile void *addr, bool write);

/* ---- trace.c: trace events, in an instance of tracefs of one's own ---- */

struct gm_trace {
	const char *system;
	bool mounted;
	char instance[64]; /* its directory; empty: there is none */
	char *text;
};

int gm_trace_open(struct gm_trace *t, const char *system);
int gm_trace_close(struct gm_trace *t);
int gm_trace_enable(struct gm_trace *t, bool on);
const char *gm_trace_text(struct gm_trace *t);
bool gm_trace_has_field(struct gm_trace *t, const char *event, const char *field);
bool gm_trace_has(const char *text, const char *event, const char *want);

/* ---- kernel.c: what the kernel complains of ---- */

int gm_kmsg_open(void);
const char *gm_kmsg_complaint(int fd, char *line, size_t size);
int gm_kmemleak(void);

/* ---- util.c ---- */

double gm_now(void);
bool gm_kernel_is(const char *name);
double gm_scale(void);
void gm_sleep_ms(int ms);
int gm_write_file(const char *path, const char *text);
ssize_t gm_read_file(const char *path, char *text, size_t size);
long gm_read_value(const char *path, const char *name);
long gm_meminfo(const char *name);
int gm_run(char *out, size_t size, int timeout_ms, const char *cmd);

/*
 * Waits until @cond holds, for at most @timeout_ms (scaled); its value at the
 * end.
 */
#define gm_wait(cond, timeout_ms) \
	({ \
		double __end = gm_now() + gm_scale() * (timeout_ms) / 1000; \
		bool __ok; \
\
		while (!(__ok = (cond)) && gm_now() < __end) \
			gm_sleep_ms(20); \
		__ok; \
	})

#endif /* GM_H */
