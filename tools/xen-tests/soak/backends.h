/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The backends of the soak: processes that map, copy, export, let the GPU work, and use up
 * memory, until they are killed. Each turn of one of them takes what a guest grants just now, uses
 * it, and gives it back in one of many ways, or not at all.
 *
 * All live in one cgroup with too little memory, so that they are swapped, and now and then killed
 * by the kernel. Whatever runs out of memory gives its turn up.
 */
#ifndef SOAK_BACKENDS_H
#define SOAK_BACKENDS_H

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <linux/udmabuf.h>
#include <xengnttab.h>

#include "../grants/cgroup.h"
#include "../grants/dmabuf.h"
#include "board.h"
#include "gm_gpu.h"

/* More than the cgroup has, less than with its swap */
#define PRESSURE_LIMIT	"48M"
#define PRESSURE_FULL	(48UL << 20)
#define PRESSURE_SIZE	(72UL << 20)
#define PRESSURE_SWAP	"131072"	/* KiB */

/* A worker that nobody kills ends by itself, so that what it left mapped does not stay. */
#define LIFE_S		8
#define LEFT_MAPPED_MAX	4
#define BUFFER_PAGES	RUN_PAGES

struct worker {
	struct soak_board *b;
	struct soak_chance chance;
	unsigned int index;
	int gntdev;
	unsigned int left;	/* maps left to the end of the process */
	/* of the kinds that need them */
	xengnttab_handle *xgt;
	int importer;
	int gpu;
	char *buffer;
};

static inline unsigned int chance(struct worker *w, unsigned int below)
{
	return soak_chance(&w->chance, below);
}

/* Pages [first, first + count) of what somebody grants */
struct part {
	struct soak_view v;
	struct gm_grant grant;
	unsigned int first;
	int fd;		/* that it was mapped with */
	int64_t index;
	char *addr;
	size_t size;
};

static inline bool part_look(struct worker *w, struct part *p)
{
	if (!seat_look(w->b, &w->chance, &p->v))
		return false;
	p->first = chance(w, RUN_PAGES);
	p->grant = (struct gm_grant) {
		.domid = p->v.domid,
		.refs = p->v.told.refs + p->first,
		.count = 1 + chance(w, RUN_PAGES - p->first),
	};
	p->size = p->grant.count * GM_PAGE_SIZE;
	return true;
}

/* It did not work; is that an error? Not without memory, nor when the guest is going. */
static inline void part_failed(struct worker *w, const struct part *p, const char *what, int err)
{
	if (err != ENOMEM && seat_still(&p->v))
		soak_fail(w->b, "worker %u: %s, pages %u to %u of domain %u: %s", w->index, what,
			  p->first, p->first + p->grant.count - 1, p->v.domid, strerror(err));
}

/* @data is @count pages of the run from page @first of the part: as its guest wrote them? */
static inline bool part_is_right(struct worker *w, const struct part *p, const char *what,
				 const void *data, unsigned int first, unsigned int count)
{
	ssize_t at = gm_check(data, p->v.told.seed, p->first + first, count);

	if (at < 0)
		return true;
	soak_fail(w->b, "worker %u: %s, domain %u: wrong from byte %zd of page %u on", w->index,
		  what, p->v.domid, at % GM_PAGE_SIZE, p->first + first + (int)(at / GM_PAGE_SIZE));
	return false;
}

/* Maps it and looks at it: true if it is there, and will be until it is unmapped. */
static inline bool part_map(struct worker *w, struct part *p, int prot)
{
	p->fd = chance(w, 2) ? w->gntdev : gm_gntdev_open();
	p->addr = p->fd < 0 ? MAP_FAILED : gm_gntdev_map(p->fd, &p->grant, prot, &p->index);
	if (p->addr == MAP_FAILED) {
		part_failed(w, p, "map", errno);
	} else if (gm_check(p->addr, p->v.told.seed, p->first, p->grant.count) < 0 &&
		   seat_still(&p->v)) {
		soak_did(w->b, MAPPED);
		return true;
	} else if (seat_still(&p->v)) {
		part_is_right(w, p, "just mapped", p->addr, 0, p->grant.count);
	}
	if (p->addr != MAP_FAILED) {
		munmap(p->addr, p->size);
		gm_gntdev_unmap_ref(p->fd, p->index, p->grant.count);
	}
	if (p->fd >= 0 && p->fd != w->gntdev)
		close(p->fd);
	return false;
}

/* The driver is told to forget it, whether or not it is still mapped. */
static inline void part_forget(struct worker *w, struct part *p)
{
	if (p->fd != w->gntdev)
		close(p->fd);
	else if (gm_gntdev_unmap_ref(p->fd, p->index, p->grant.count))
		soak_fail(w->b, "worker %u: unmap: %s", w->index, strerror(errno));
}

static inline void part_unmap(struct worker *w, struct part *p)
{
	if (munmap(p->addr, p->size))
		soak_fail(w->b, "worker %u: munmap: %s", w->index, strerror(errno));
	part_forget(w, p);
}

/* ---- mapper ---- */

/* One page goes from the middle; those around it stay. */
static inline void unmap_in_parts(struct worker *w, struct part *p)
{
	unsigned int hole = chance(w, p->grant.count);

	munmap(p->addr + hole * GM_PAGE_SIZE, GM_PAGE_SIZE);
	part_is_right(w, p, "before a hole", p->addr, 0, hole);
	part_is_right(w, p, "after a hole", p->addr + (hole + 1) * GM_PAGE_SIZE, hole + 1,
		      p->grant.count - hole - 1);
	part_unmap(w, p);
	soak_did(w->b, UNMAPPED_PART);
}

/* What is in the pipe stays as it is, after everything else has gone. */
static inline void unmap_with_page_in_pipe(struct worker *w, struct part *p)
{
	unsigned int busy = chance(w, p->grant.count);
	struct iovec iov = { p->addr + busy * GM_PAGE_SIZE, GM_PAGE_SIZE };
	char page[GM_PAGE_SIZE];
	int fds[2];

	if (pipe2(fds, O_CLOEXEC)) {
		part_unmap(w, p);
		return;
	}
	if (vmsplice(fds[1], &iov, 1, 0) == (ssize_t)GM_PAGE_SIZE) {
		part_unmap(w, p);
		gm_sleep_ms(chance(w, 200));
		if (read(fds[0], page, sizeof(page)) == sizeof(page))
			part_is_right(w, p, "in a pipe", page, busy, 1);
		soak_did(w->b, IN_PIPE);
	} else {
		part_failed(w, p, "vmsplice", errno);
		part_unmap(w, p);
	}
	close(fds[0]);
	close(fds[1]);
}

static inline void forget_first(struct worker *w, struct part *p)
{
	part_forget(w, p);
	part_is_right(w, p, "forgotten", p->addr, 0, p->grant.count);
	munmap(p->addr, p->size);
	soak_did(w->b, CLOSED_FIRST);
}

static inline void fork_with_it(struct worker *w, struct part *p)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	part_is_right(w, p, "after fork", p->addr, 0, p->grant.count);
	part_unmap(w, p);
}

/* The page of a guest that is this worker's alone to write to; false: not now. */
static inline bool part_map_own(struct worker *w, struct part *p, const char *what)
{
	*p = (struct part){ .grant.count = 1, .first = w->index };
	if (!seat_look(w->b, &w->chance, &p->v))
		return false;
	p->grant.domid = p->v.domid;
	p->grant.refs = &p->v.scratch.refs[w->index];
	p->addr = gm_gntdev_map(w->gntdev, &p->grant, PROT_READ | PROT_WRITE, &p->index);
	if (p->addr == MAP_FAILED)
		part_failed(w, p, what, errno);
	return p->addr != MAP_FAILED;
}

/* The worker's own page: what it writes it finds. */
static inline void write_own_page(struct worker *w)
{
	struct part p;
	uint64_t seed = soak_next(&w->chance);

	if (!part_map_own(w, &p, "map own page"))
		return;
	gm_fill(p.addr, seed, 0, 1);
	gm_sleep_ms(chance(w, 20));
	if (gm_check(p.addr, seed, 0, 1) >= 0)
		soak_fail(w->b, "worker %u: somebody has written to its page of domain %u",
			  w->index, p.v.domid);
	munmap(p.addr, GM_PAGE_SIZE);
	gm_gntdev_unmap_ref(w->gntdev, p.index, 1);
	soak_did(w->b, WRITTEN);
}

static inline void mapper(struct worker *w)
{
	static void (*const ways[])(struct worker *w, struct part *p) = {
		part_unmap, unmap_in_parts, unmap_with_page_in_pipe, forget_first, fork_with_it,
	};
	struct part p;
	unsigned int way = chance(w, ARRAY_SIZE(ways) + 1);

	if (!chance(w, 4))
		write_own_page(w);
	if (!part_look(w, &p) || !part_map(w, &p, PROT_READ | (chance(w, 2) ? PROT_WRITE : 0)))
		return;
	gm_sleep_ms(chance(w, 50));
	part_is_right(w, &p, "mapped", p.addr, 0, p.grant.count);
	if (way < ARRAY_SIZE(ways)) {
		ways[way](w, &p);
	} else if (w->left < LEFT_MAPPED_MAX) {
		w->left++;
		soak_did(w->b, LEFT_MAPPED);
	} else {
		part_unmap(w, &p);
	}
}

/* ---- copier ---- */

/* Whether all of it was copied; if not, that must have a reason. */
static inline bool copied(struct worker *w, struct part *p, const char *what,
			  xengnttab_grant_copy_segment_t *seg, unsigned int count)
{
	if (xengnttab_grant_copy(w->xgt, count, seg)) {
		part_failed(w, p, what, errno);
		return false;
	}
	for (unsigned int i = 0; i < count; i++)
		if (seg[i].status != GNTST_okay) {
			part_failed(w, p, what, EIO);
			return false;
		}
	return true;
}

static inline void copier(struct worker *w)
{
	xengnttab_grant_copy_segment_t seg[RUN_PAGES] = { };
	uint64_t seed = soak_next(&w->chance);
	struct part p;

	if (!part_look(w, &p))
		return;
	for (unsigned int i = 0; i < p.grant.count; i++) {
		seg[i].flags = GNTCOPY_source_gref;
		seg[i].len = GM_PAGE_SIZE;
		seg[i].source.foreign.ref = p.grant.refs[i];
		seg[i].source.foreign.domid = p.grant.domid;
		seg[i].dest.virt = w->buffer + i * GM_PAGE_SIZE;
	}
	/* It is the guest's only as long as the guest is: this may have been another's page. */
	if (copied(w, &p, "copy", seg, p.grant.count) && seat_still(&p.v) &&
	    part_is_right(w, &p, "copied", w->buffer, 0, p.grant.count))
		soak_did(w->b, COPIED);

	gm_fill(w->buffer, seed, 0, 1);
	seg[0] = (xengnttab_grant_copy_segment_t) {
		.flags = GNTCOPY_dest_gref, .len = GM_PAGE_SIZE, .source.virt = w->buffer,
		.dest.foreign = { .ref = p.v.scratch.refs[w->index], .domid = p.v.domid },
	};
	seg[1] = (xengnttab_grant_copy_segment_t) {
		.flags = GNTCOPY_source_gref, .len = GM_PAGE_SIZE,
		.dest.virt = w->buffer + GM_PAGE_SIZE,
		.source.foreign = { .ref = p.v.scratch.refs[w->index], .domid = p.v.domid },
	};
	if (copied(w, &p, "copy there and back", seg, 2) && seat_still(&p.v) &&
	    gm_check(w->buffer + GM_PAGE_SIZE, seed, 0, 1) >= 0)
		soak_fail(w->b, "worker %u: copied to domain %u and back: something else",
			  w->index, p.v.domid);
}

/* ---- exporter ---- */

static inline void attach(struct worker *w, struct part *p, int dmabuf)
{
	unsigned int page = chance(w, p->grant.count);
	int ret = importer_call(w->importer, GM_IMPORTER_ATTACH, dmabuf);

	if (!ret)
		ret = importer_call(w->importer, GM_IMPORTER_MAP, 0);
	if (!ret)
		ret = importer_page(w->importer, GM_IMPORTER_SG, page, w->buffer, false);
	if (ret && ret != -EBUSY)
		part_failed(w, p, "attach", -ret);
	else if (!ret && part_is_right(w, p, "attached", w->buffer, page, 1))
		soak_did(w->b, ATTACHED);
}

static inline void export_to_device(struct worker *w)
{
	static const uint32_t flags[] = { 0, 0, GNTDEV_DMA_FLAG_COHERENT, GNTDEV_DMA_FLAG_WC };
	struct part p;
	void *addr;
	int fd;

	if (!part_look(w, &p))
		return;
	fd = dmabuf_export(w->gntdev, &p.grant, p.grant.count, flags[chance(w, 4)]);
	if (fd < 0) {
		part_failed(w, &p, "export", -fd);
		return;
	}
	addr = mmap(NULL, p.size, PROT_READ, MAP_SHARED, fd, 0);
	if (addr != MAP_FAILED && seat_still(&p.v) &&
	    part_is_right(w, &p, "exported", addr, 0, p.grant.count)) {
		soak_did(w->b, EXPORTED);
		attach(w, &p, fd);
	}
	/* What is attached, or mapped, may well outlive the rest. */
	if (chance(w, 4))
		importer_call(w->importer, GM_IMPORTER_DETACH, 0);
	if (chance(w, 2)) {
		close(fd);
		fd = -1;
	}
	if (addr != MAP_FAILED)
		munmap(addr, p.size);
	if (fd >= 0)
		close(fd);
}

/* The other way round: memory of this process, granted to the guest, which does not map it */
static inline void grant_to_guest(struct worker *w)
{
	struct udmabuf_create op = { .size = BUFFER_PAGES * GM_PAGE_SIZE };
	uint32_t refs[BUFFER_PAGES];
	struct soak_view v;
	int memfd, udmabuf, fd = -1, ret = -ENOMEM;

	if (!seat_look(w->b, &w->chance, &v))
		return;
	memfd = memfd_create("soak", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	udmabuf = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	op.memfd = memfd;
	if (memfd >= 0 && udmabuf >= 0 && !ftruncate(memfd, op.size) &&
	    !fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK))
		fd = ioctl(udmabuf, UDMABUF_CREATE, &op);
	if (fd >= 0)
		ret = dmabuf_import(w->gntdev, fd, BUFFER_PAGES, v.domid, refs);
	if (!ret) {
		soak_did(w->b, GRANTED);
		/* Sometimes that is left to the end of the process. */
		if (chance(w, 4))
			ret = dmabuf_import_release(w->gntdev, fd);
	}
	if (ret && ret != -ENOMEM && seat_still(&v))
		soak_fail(w->b, "worker %u: a dma-buf granted to domain %u: %s", w->index, v.domid,
			  strerror(-ret));
	if (fd >= 0)
		close(fd);
	if (udmabuf >= 0)
		close(udmabuf);
	if (memfd >= 0)
		close(memfd);
}

static inline void exporter(struct worker *w)
{
	if (chance(w, 3))
		export_to_device(w);
	else
		grant_to_guest(w);
}

/* ---- memory ---- */

/* A bit at a time, so that others are pressed for long, not just at its peak. */
static inline void hog(struct worker *w)
{
	char *mem = mmap(NULL, PRESSURE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		return;
	for (size_t at = 0; at < PRESSURE_SIZE && !w->b->stop; at += GM_PAGE_SIZE) {
		mem[at] = at;
		if (!(at % (2UL << 20)))
			gm_sleep_ms(10);
		if (at == PRESSURE_FULL)
			soak_did(w->b, PRESSED);
	}
	munmap(mem, PRESSURE_SIZE);
}

#endif /* SOAK_BACKENDS_H */
