// SPDX-License-Identifier: GPL-2.0-only
/*
 * Target gntdev: the calls of /dev/xen/gntdev but those about dma-bufs, and what the guest
 * does meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "calls_gntdev.h"

#define STATS		"/sys/kernel/debug/xen/gntdev/stats"

#define MAPS		6
#define MAX_SEGMENTS	40

_Atomic int gntdev_files[GNTDEV_FILES] = { -1, -1, -1 };
/* What the driver has said each map begins at */
static _Atomic uint64_t indexes[MAPS];

static const struct fz_value map_flags[] = {
	{ "shared", MAP_SHARED }, { "private", MAP_PRIVATE }, { },
};

static const struct fz_value partial[] = { { "partial", GNTDEV_MAP_PARTIAL }, { } };

static const struct fz_value actions[] = {
	{ "byte", UNMAP_NOTIFY_CLEAR_BYTE }, { "event", UNMAP_NOTIFY_SEND_EVENT }, { },
};

static const struct fz_value ports[] = { { "none", 0 }, { "bound", 1 }, { } };

static const struct fz_value directions[] = {
	{ "from", GNTCOPY_source_gref }, { "to", GNTCOPY_dest_gref },
	{ "between", GNTCOPY_source_gref | GNTCOPY_dest_gref }, { },
};

/* One reference of a run is none, or of a domain that there is not. */
static const struct fz_value flaws[] = {
	{ "none", FLAW_NONE }, { "ref", FLAW_REF }, { "domid", FLAW_DOMID }, { },
};

static const struct fz_value lens[] = {
	{ "none", 0 }, { "one", 1 }, { "page", 4096 }, { "more", 4097 }, { },
};

int gntdev_fd(uint64_t slot)
{
	return gntdev_files[slot % GNTDEV_FILES];
}

/* Grant @i of a run, or what looks like one */
void gntdev_ref(uint64_t run, uint64_t flaw, unsigned int i, uint32_t *domid, uint32_t *ref)
{
	const struct fz_run *r = &fz_granter->runs[run % FZ_RUNS];

	*domid = fz_granter->domid;
	*ref = r->refs[i % FZ_RUN_PAGES];
	if (flaw == FLAW_REF && i == r->count / 2)
		*ref ^= 0xfffff;
	if (flaw == FLAW_DOMID && i == r->count / 2)
		*domid = 0x7000;
}

static long call_open(const uint64_t *a)
{
	return fz_fd_put(&gntdev_files[a[0] % GNTDEV_FILES], gm_gntdev_open());
}

static long call_close(const uint64_t *a)
{
	return fz_fd_put(&gntdev_files[a[0] % GNTDEV_FILES], -1);
}

static long call_map_grant_ref(const uint64_t *a)
{
	uint64_t buf[(sizeof(struct ioctl_gntdev_map_grant_ref) +
		      FZ_RUN_PAGES * sizeof(struct ioctl_gntdev_grant_ref)) / 8] = { };
	struct ioctl_gntdev_map_grant_ref *op = (void *)buf;
	long ret;

	op->count = a[3];
	for (unsigned int i = 0; i < FZ_RUN_PAGES; i++)
		gntdev_ref(a[2], a[4], i, &op->refs[i].domid, &op->refs[i].ref);
	ret = ioctl(gntdev_fd(a[0]), IOCTL_GNTDEV_MAP_GRANT_REF, op);
	if (!ret)
		indexes[a[1] % MAPS] = op->index;
	return ret;
}

static long call_map_refs(const uint64_t *a)
{
	struct ioctl_gntdev_grant_ref refs[FZ_RUN_PAGES];
	struct gntdev_ref_status status[FZ_RUN_PAGES];
	struct gntdev_map_refs op = {
		.size = sizeof(op),
		.flags = a[5],
		.count = a[3],
		.refs = (uintptr_t)refs,
		.status = a[6] & 1 ? (uintptr_t)status : a[6],
	};
	long ret;

	/* More than there are: whatever lies behind them are references, too. */
	for (unsigned int i = 0; i < FZ_RUN_PAGES; i++)
		gntdev_ref(a[2], a[4], i, &refs[i].domid, &refs[i].ref);
	if (op.count > FZ_RUN_PAGES)
		op.status = 0;
	ret = ioctl(gntdev_fd(a[0]), IOCTL_GNTDEV_MAP_REFS, &op);
	if (!ret)
		indexes[a[1] % MAPS] = op.index;
	return ret;
}

static long call_unmap_grant_ref(const uint64_t *a)
{
	return gm_gntdev_unmap_ref(gntdev_fd(a[0]), indexes[a[1] % MAPS], a[2]);
}

static long call_mmap_dev(const uint64_t *a)
{
	uint64_t offset = indexes[a[1] % MAPS] + a[6] * GM_PAGE_SIZE;
	void *p = mmap(fz_at(a[2]), fz_len(a[2], a[3]), a[4] & 7, MAP_FIXED | (a[5] & 3),
		       gntdev_fd(a[0]), offset);

	return p == MAP_FAILED ? -errno : 0;
}

static long call_get_offset(const uint64_t *a)
{
	struct ioctl_gntdev_get_offset_for_vaddr op = { .vaddr = (uintptr_t)fz_at(a[1]) };

	return ioctl(gntdev_fd(a[0]), IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, &op);
}

static long call_notify(const uint64_t *a)
{
	uint32_t port = a[4] == 1 ? fz_granter->port : a[4];

	return gm_gntdev_notify(gntdev_fd(a[0]), indexes[a[1] % MAPS] + a[2], a[3], port);
}

/* Segments one after the other in the grants of a run, and in the arena */
static long call_copy(const uint64_t *a)
{
	struct ioctl_gntdev_grant_copy_segment segs[MAX_SEGMENTS];
	struct ioctl_gntdev_grant_copy op = { .count = a[1], .segments = segs };
	uint64_t len = a[5];

	for (unsigned int i = 0; i < MAX_SEGMENTS; i++) {
		struct ioctl_gntdev_grant_copy_segment *seg = &segs[i];
		uint32_t domid, ref;

		gntdev_ref(a[2], a[7], i, &domid, &ref);
		*seg = (struct ioctl_gntdev_grant_copy_segment){
			.len = len,
			.flags = a[3],
		};
		if (a[3] & GNTCOPY_source_gref) {
			seg->source.foreign.ref = ref;
			seg->source.foreign.domid = domid;
			seg->source.foreign.offset = a[6];
		} else {
			seg->source.virt = (char *)fz_at(a[4]) + i * len;
		}
		if (a[3] & GNTCOPY_dest_gref) {
			gntdev_ref(a[2] + 1, 0, i, &domid, &ref);
			seg->dest.foreign.ref = ref;
			seg->dest.foreign.domid = domid;
			seg->dest.foreign.offset = a[6];
		} else {
			seg->dest.virt = (char *)fz_at(a[4]) + i * len;
		}
	}
	/* Segments from the arena itself, where nothing makes sense */
	if (op.count > MAX_SEGMENTS)
		op.segments = fz_at(a[4]);
	return ioctl(gntdev_fd(a[0]), IOCTL_GNTDEV_GRANT_COPY, &op);
}

static long call_ack(const uint64_t *a)
{
	struct gntdev_ack op = {
		.size = sizeof(op),
		.index = indexes[a[1] % MAPS],
		.eventfd = a[2] % (FZ_FDS + 1) ? fz_fds[a[2] % (FZ_FDS + 1) - 1] : -1,
		.flags = a[3],
	};

	return ioctl(gntdev_fd(a[0]), IOCTL_GNTDEV_ACK, &op);
}

static long call_eventfd(const uint64_t *a)
{
	return fz_fd_put(&fz_fds[a[0] % FZ_FDS], eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

static long call_query(const uint64_t *a)
{
	struct gntdev_query op = { .size = a[1] ?: sizeof(op) };

	return ioctl(gntdev_fd(a[0]), IOCTL_GNTDEV_QUERY, &op);
}

/* Any number, with whatever the arena holds: what was never meant as a structure */
static long call_raw(const uint64_t *a)
{
	unsigned long nr = a[1] % 40;

	return ioctl(gntdev_fd(a[0]), nr < 32 ? _IOC(_IOC_NONE, 'G', nr, a[3] % 64) :
						_IO('G', nr), (char *)fz_at(a[2]) + a[4] % 4096);
}

/* Those that have their sizes in their numbers */
static long call_raw_known(const uint64_t *a)
{
	static const unsigned long known[] = {
		IOCTL_GNTDEV_MAP_GRANT_REF, IOCTL_GNTDEV_UNMAP_GRANT_REF,
		IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, IOCTL_GNTDEV_SET_MAX_GRANTS,
		IOCTL_GNTDEV_SET_UNMAP_NOTIFY, IOCTL_GNTDEV_GRANT_COPY,
		IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS, IOCTL_GNTDEV_DMABUF_EXP_WAIT_RELEASED,
		IOCTL_GNTDEV_DMABUF_IMP_TO_REFS, IOCTL_GNTDEV_DMABUF_IMP_RELEASE,
		IOCTL_GNTDEV_MAP_REFS, IOCTL_GNTDEV_ACK, IOCTL_GNTDEV_QUERY,
	};

	return ioctl(gntdev_fd(a[0]), known[a[1] % (sizeof(known) / sizeof(known[0]))],
		     (char *)fz_at(a[2]) + a[3] % 4096);
}

static long call_guest(const uint64_t *a)
{
	return granter_ask(a[0] % GRANTER_COMMANDS, a[1] % FZ_RUNS, a[2] & 1);
}

static const struct fz_value guest_does[] = {
	{ "revoke", GRANTER_REVOKE }, { "grant", GRANTER_GRANT }, { "fill", GRANTER_FILL }, { },
};

#define ARG_FILE	SLOT("file", GNTDEV_FILES)
#define ARG_MAP		SLOT("map", MAPS)
#define ARG_COUNT	NUMBER_OR("count", FZ_RUN_PAGES + 1, fz_lengths)
#define ARG_FLAW	CHOICE("flaw", flaws)

const struct fz_call_type calls_gntdev[] = {
	{ "open", 10, call_open, { ARG_FILE } },
	{ "close", 4, call_close, { ARG_FILE } },
	{ "map_grant_ref", 24, call_map_grant_ref,
	  { ARG_FILE, ARG_MAP, ARG_RUN, ARG_COUNT, ARG_FLAW } },
	{ "map_refs", 12, call_map_refs,
	  { ARG_FILE, ARG_MAP, ARG_RUN, ARG_COUNT, ARG_FLAW, FLAGS("flags", partial),
	    NUMBER("status", 2) } },
	{ "unmap_grant_ref", 10, call_unmap_grant_ref, { ARG_FILE, ARG_MAP, ARG_COUNT } },
	{ "mmap_dev", 30, call_mmap_dev,
	  { ARG_FILE, ARG_MAP, ARG_AT, ARG_PAGES, CHOICE("prot", fz_prots),
	    CHOICE("flags", map_flags), NUMBER("first", 4) } },
	{ "get_offset", 4, call_get_offset, { ARG_FILE, ARG_AT } },
	{ "notify", 8, call_notify,
	  { ARG_FILE, ARG_MAP, NUMBER("offset", 3 * 4096),
	    FLAGS("action", actions), CHOICE("port", ports) } },
	{ "copy", 14, call_copy,
	  { ARG_FILE, NUMBER_OR("segments", MAX_SEGMENTS + 1, fz_lengths), ARG_RUN,
	    CHOICE("direction", directions), ARG_AT,
	    NUMBER_OR("len", 4097, lens), NUMBER("offset", 4096), ARG_FLAW } },
	{ "eventfd", 4, call_eventfd, { SLOT("fd", FZ_FDS) } },
	{ "ack", 6, call_ack,
	  { ARG_FILE, ARG_MAP, SLOT("eventfd", FZ_FDS + 1), NUMBER("flags", 2) } },
	{ "query", 3, call_query, { ARG_FILE, NUMBER("size", 256) } },
	{ "raw", 3, call_raw,
	  { ARG_FILE, NUMBER("nr", 40), ARG_AT, NUMBER("size", 64),
	    NUMBER("offset", 4096) } },
	{ "raw_known", 4, call_raw_known,
	  { ARG_FILE, SLOT("which", 13), ARG_AT, NUMBER("offset", 4096) } },
	{ "guest", 5, call_guest,
	  { CHOICE("does", guest_does), ARG_RUN, NUMBER("wait", 2) } },
	{ },
};

/* ---- before and after ---- */

/* What the driver holds at a moment; xenstored and xenconsoled map a page of each guest. */
static const char *const held_names[] = {
	"maps", "kernel_side", "user_side", "deferred", "leaked",
};

#define HELD	(sizeof(held_names) / sizeof(held_names[0]))

static long held_before[HELD];

const char *gntdev_prepare(void)
{
	const char *why = granter_open();

	if (access(STATS, R_OK) && !why)
		why = "the driver has nothing in debugfs";
	for (size_t i = 0; i < HELD; i++)
		held_before[i] = gm_read_value(STATS, held_names[i]);
	return why;
}

/* The first figure that is not as it was when no program had run; HELD: all are */
static size_t held_more(void)
{
	size_t i = 0;

	while (i < HELD && gm_read_value(STATS, held_names[i]) == held_before[i])
		i++;
	return i;
}

const char *gntdev_wrong(bool thorough)
{
	static char why[160];
	size_t i;

	if (!gm_wait((i = held_more()) == HELD, 10000)) {
		snprintf(why, sizeof(why), "the driver's %s is %ld, before: %ld", held_names[i],
			 gm_read_value(STATS, held_names[i]), held_before[i]);
		return why;
	}
	if (thorough &&
	    !gm_wait(gm_grants_in_use(fz_granter->domid) == (int)fz_granter->in_use, 10000)) {
		snprintf(why, sizeof(why), "grants of the guest in use: %d, not %u",
			 gm_grants_in_use(fz_granter->domid), fz_granter->in_use);
		return why;
	}
	return NULL;
}
