// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests and responses between domains, through two xenstore nodes.
 *
 * The server owns a directory with the nodes "req" and "rsp", which everybody
 * may read and write. A client writes "<seq> <command>" to req and waits until
 * rsp starts with the same seq: "<seq> OK <values>" or "<seq> ERR <text>". There
 * is one request at a time; clients in one domain keep out of each other's way
 * with a lock file, clients in two domains must not talk to one server.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>
#include <xenstore.h>

#include "gm.h"

struct gm_rpc {
	struct xs_handle *xs;
	char dir[96];
	int lock; /* file, locked from send to recv */
	uint64_t seq; /* of the request under way; 0: none */
};

static char *read_node(struct xs_handle *xs, const char *dir, const char *node)
{
	char path[256];
	unsigned int len;

	snprintf(path, sizeof(path), "%s/%s", dir, node);
	return xs_read(xs, XBT_NULL, path, &len);
}

static bool write_node(struct xs_handle *xs, const char *dir, const char *node,
		       const char *value)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, node);
	return xs_write(xs, XBT_NULL, path, value, strlen(value));
}

static bool watch_node(struct xs_handle *xs, const char *dir, const char *node)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, node);
	return xs_watch(xs, path, node);
}

/* Waits until a watch fires, or @timeout_ms have passed. */
static bool wait_watch(struct xs_handle *xs, int timeout_ms)
{
	struct pollfd pfd = { .fd = xs_fileno(xs), .events = POLLIN };
	char **event;
	bool fired = false;

	if (poll(&pfd, 1, timeout_ms) <= 0)
		return false;
	while ((event = xs_check_watch(xs))) {
		free(event);
		fired = true;
	}
	return fired;
}

static const char *lock_path(const char *dir, char *path, size_t size)
{
	size_t len = snprintf(path, size, "/tmp/gm-rpc");

	for (; *dir && len < size - 1; dir++)
		path[len++] = *dir == '/' ? '-' : *dir;
	path[len] = '\0';
	return path;
}

static int open_lock(const char *dir)
{
	char path[160];

	return open(lock_path(dir, path, sizeof(path)), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

/* NULL with errno set when xenstore does not answer. */
struct gm_rpc *gm_rpc_open(const char *dir)
{
	struct gm_rpc *rpc = calloc(1, sizeof(*rpc));

	if (!rpc)
		return NULL;
	snprintf(rpc->dir, sizeof(rpc->dir), "%s", dir);
	rpc->lock = open_lock(dir);
	rpc->xs = xs_open(0);
	if (rpc->lock >= 0 && rpc->xs && watch_node(rpc->xs, dir, "rsp"))
		return rpc;
	gm_rpc_close(rpc);
	return NULL;
}

void gm_rpc_close(struct gm_rpc *rpc)
{
	int saved = errno;

	if (!rpc)
		return;
	if (rpc->xs)
		xs_close(rpc->xs);
	if (rpc->lock >= 0)
		close(rpc->lock);
	free(rpc);
	errno = saved;
}

/* The server is gone for good: so is the file that those who asked it have locked. */
void gm_rpc_forget(const char *dir)
{
	char path[160];

	unlink(lock_path(dir, path, sizeof(path)));
}

/* A node of the server's directory; to be freed by the caller. */
char *gm_rpc_read(struct gm_rpc *rpc, const char *node)
{
	return read_node(rpc->xs, rpc->dir, node);
}

static uint64_t new_seq(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (ts.tv_sec * 1000000000ULL + ts.tv_nsec) ^
	       ((uint64_t)getpid() << 48);
}

int gm_rpc_send(struct gm_rpc *rpc, const char *cmd)
{
	char req[GM_RSP_MAX];

	if (rpc->seq)
		return -EBUSY;
	rpc->seq = new_seq();
	if (snprintf(req, sizeof(req), "%llu %s", (unsigned long long)rpc->seq,
		     cmd) >= (int)sizeof(req)) {
		rpc->seq = 0;
		return -E2BIG;
	}
	flock(rpc->lock, LOCK_EX);
	if (write_node(rpc->xs, rpc->dir, "req", req))
		return 0;
	flock(rpc->lock, LOCK_UN);
	rpc->seq = 0;
	return -errno;
}

/* Is @line the answer to the request under way? Then its result and text. */
static bool parse_rsp(struct gm_rpc *rpc, const char *line, int *ret, char *rsp,
		      size_t size)
{
	unsigned long long seq;
	char verdict[8];
	int used = 0;

	if (sscanf(line, "%llu %7s%n", &seq, verdict, &used) < 2 ||
	    seq != rpc->seq)
		return false;
	line += used;
	if (*line == ' ')
		line++;
	if (rsp)
		snprintf(rsp, size, "%s", line);
	*ret = strcmp(verdict, "OK") ? -EREMOTEIO : 0;
	return true;
}

/*
 * The answer to the request sent last: 0, -EREMOTEIO when the server said ERR
 * (@rsp says why), -ETIMEDOUT, or -ESHUTDOWN when there is no such server.
 */
int gm_rpc_recv(struct gm_rpc *rpc, char *rsp, size_t size, int timeout_ms)
{
	double end = gm_now() + timeout_ms * gm_scale() / 1000;
	bool done = false;
	int ret = -ETIMEDOUT;

	while (!done && gm_now() < end) {
		char *line = gm_rpc_read(rpc, "rsp");

		if (!line) {
			ret = -ESHUTDOWN;
			break;
		}
		done = parse_rsp(rpc, line, &ret, rsp, size);
		free(line);
		if (!done)
			wait_watch(rpc->xs, 500);
	}
	rpc->seq = 0;
	flock(rpc->lock, LOCK_UN);
	return ret;
}

/*
 * Makes @dir with its nodes, open to every domain. The node "ready", which says
 * who serves, is written last.
 */
int gm_rpc_publish(struct xs_handle *xs, const char *dir, const char *ready)
{
	struct xs_permissions perms = {
		.id = gm_self_domid(),
		.perms = XS_PERM_READ | XS_PERM_WRITE,
	};
	static const char *const nodes[] = { "req", "rsp" };

	xs_rm(xs, XBT_NULL, dir);
	if (!xs_mkdir(xs, XBT_NULL, dir) ||
	    !xs_set_permissions(xs, XBT_NULL, dir, &perms, 1))
		return -errno;
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		char path[256];

		snprintf(path, sizeof(path), "%s/%s", dir, nodes[i]);
		if (!write_node(xs, dir, nodes[i], "0 OK") ||
		    !xs_set_permissions(xs, XBT_NULL, path, &perms, 1))
			return -errno;
	}
	return write_node(xs, dir, "ready", ready) ? 0 : -errno;
}

static void serve_one(struct xs_handle *xs, const char *dir, const char *seq,
		      char *cmd, gm_rpc_handler handler, void *priv)
{
	char rsp[GM_RSP_MAX] = "", line[GM_RSP_MAX + 64];
	const char *verdict;

	verdict = handler(priv, cmd, rsp) ? "ERR" : "OK";
	snprintf(line, sizeof(line), "%s %s %s", seq, verdict, rsp);
	if (!write_node(xs, dir, "rsp", line))
		fprintf(stderr, "gm: cannot answer '%s': %s\n", cmd,
			strerror(errno));
}

/*
 * Serves requests until xenstore fails or @dir is gone (-ENOENT). A guest that was
 * restored or migrated has a new and empty home in xenstore, where nothing may
 * ever fire a watch: so the server looks once a second in any case.
 */
int gm_rpc_serve(struct xs_handle *xs, const char *dir,
		 gm_rpc_handler handler, void *priv)
{
	char last[32] = "0";

	if (!watch_node(xs, dir, "req"))
		return -errno;
	for (;;) {
		char seq[32];
		int used = 0;
		char *req;

		wait_watch(xs, 1000);
		req = read_node(xs, dir, "req");
		if (!req)
			return -errno;
		if (sscanf(req, "%31s %n", seq, &used) == 1 && used &&
		    strcmp(seq, last)) {
			strcpy(last, seq);
			serve_one(xs, dir, seq, req + used, handler, priv);
		}
		free(req);
	}
}
