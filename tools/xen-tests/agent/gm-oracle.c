// SPDX-License-Identifier: GPL-2.0-only
/*
 * gm-oracle DOMID: runs in dom0 and answers a driver domain's questions about
 * what only dom0 may see, for as long as the domain lives. gm-oracle --in-use
 * DOMID prints how many grants of the domain are in use.
 *
 *   gnttab DOMID     the domain's grant table     -> VERSION FRAMES GRANTED IN-USE
 *   maptrack DOMID   pages of its maptrack        -> FRAMES
 *   active DOMID     active entries of its table  -> ENTRIES
 *   gone DOMID       has the domain gone?         -> 0 | 1
 *   xl ARGUMENTS     run xl                       -> EXIT-CODE OUTPUT (cut)
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#include "gm.h"

static int answer(char *rsp, int value)
{
	if (value < 0) {
		snprintf(rsp, GM_RSP_MAX, "%s", strerror(-value));
		return -1;
	}
	snprintf(rsp, GM_RSP_MAX, "%d", value);
	return 0;
}

static int answer_gnttab(char *rsp, uint32_t domid)
{
	struct gm_gnttab gt;
	int ret = gm_gnttab_read(domid, &gt);

	if (ret)
		return answer(rsp, ret);
	snprintf(rsp, GM_RSP_MAX, "%u %u %u %u", gt.version, gt.frames, gt.granted,
		 gt.in_use);
	return 0;
}

static int answer_xl(char *rsp, const char *args)
{
	char out[GM_RSP_MAX - 16];
	int code = gm_xl(out, sizeof(out), "%s", args);

	if (code < 0)
		return answer(rsp, code);
	snprintf(rsp, GM_RSP_MAX, "%d %s", code, out);
	return 0;
}

static int dispatch(void *priv, char *cmd, char *rsp)
{
	char *args = cmd + strcspn(cmd, " ");
	uint32_t domid;

	(void)priv;
	if (*args)
		*args++ = '\0';
	if (!strcmp(cmd, "xl"))
		return answer_xl(rsp, args);
	domid = strtoul(args, NULL, 10);
	if (!strcmp(cmd, "gnttab"))
		return answer_gnttab(rsp, domid);
	if (!strcmp(cmd, "maptrack"))
		return answer(rsp, gm_maptrack_frames(domid));
	if (!strcmp(cmd, "active"))
		return answer(rsp, gm_active_entries(domid));
	if (!strcmp(cmd, "gone"))
		return answer(rsp, gm_domain_gone(domid));
	return answer(rsp, -EINVAL);
}

int main(int argc, char **argv)
{
	struct xs_handle *xs = xs_open(0);
	char dir[64];
	int ret;

	if (argc == 3 && !strcmp(argv[1], "--in-use")) {
		printf("%d\n", gm_grants_in_use(strtoul(argv[2], NULL, 10)));
		return 0;
	}
	if (argc != 2 || !xs) {
		fprintf(stderr, "usage: %s [--in-use] DOMID (in dom0)\n", argv[0]);
		return 2;
	}
	gm_oracle_dir(strtoul(argv[1], NULL, 10), dir, sizeof(dir));
	ret = gm_rpc_publish(xs, dir, "1");
	if (!ret)
		ret = gm_rpc_serve(xs, dir, dispatch, NULL);
	/* The directory goes with the domain. */
	return ret == -ENOENT ? 0 : 1;
}
