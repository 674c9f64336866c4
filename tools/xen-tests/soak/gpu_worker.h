/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The worker that has the GPU work on what guests grant: on pointers, as the CPU does.
 */
#ifndef SOAK_GPU_WORKER_H
#define SOAK_GPU_WORKER_H

#include "backends.h"

/* A status that work must have: else it is an error, but for lack of memory. */
static inline bool gpu_ended(struct worker *w, const char *what, int status, int want)
{
	if (status == want)
		return true;
	if (status != -ENOMEM)
		soak_fail(w->b, "worker %u: GPU, %s: %s %d, not %d", w->index, what,
			  status < 0 ? "error" : "fence's status", status, want);
	return false;
}

/* From the guest's pages to memory that may be swapped, and a checksum of them in place */
static inline void gpu_reads(struct worker *w, struct part *p)
{
	uint64_t sum;

	if (gpu_ended(w, "copy", gpu_copy(w->gpu, w->buffer, p->addr, p->size), XGPU_FENCE_OK) &&
	    part_is_right(w, p, "copied by the GPU", w->buffer, 0, p->grant.count) &&
	    gpu_ended(w, "checksum", gpu_sum(w->gpu, p->addr, p->size, &sum), XGPU_FENCE_OK)) {
		if (sum != cpu_sum(p->addr, p->size))
			soak_fail(w->b, "worker %u: GPU, domain %u: wrong checksum", w->index,
				  p->v.domid);
		soak_did(w->b, GPU_COPIED);
	}
}

static inline bool all_words_are(const void *mem, size_t size, uint64_t value)
{
	const uint64_t *word = mem;

	for (size_t i = 0; i < size / 8; i++)
		if (word[i] != value)
			return false;
	return true;
}

static inline void gpu_writes(struct worker *w)
{
	struct part p;
	uint64_t value = soak_next(&w->chance);

	if (!part_map_own(w, &p, "map for the GPU"))
		return;
	if (gpu_ended(w, "fill", gpu_fill(w->gpu, p.addr, GM_PAGE_SIZE, value), XGPU_FENCE_OK)) {
		if (!all_words_are(p.addr, GM_PAGE_SIZE, value))
			soak_fail(w->b, "worker %u: what the GPU wrote to domain %u is not there",
				  w->index, p.v.domid);
		soak_did(w->b, GPU_WRITTEN);
	}
	munmap(p.addr, GM_PAGE_SIZE);
	gm_gntdev_unmap_ref(w->gntdev, p.index, 1);
}

/* Its own memory, in the GPU's for a while */
static inline void gpu_moves(struct worker *w)
{
	size_t size = BUFFER_PAGES * GM_PAGE_SIZE;
	uint64_t value = soak_next(&w->chance);
	int ret = gpu_range(w->gpu, XGPU_IOCTL_PREFETCH, w->buffer, size, XGPU_PREFETCH_VRAM, NULL);

	if (!gpu_ended(w, "prefetch", ret, 0) ||
	    !gpu_ended(w, "fill", gpu_fill(w->gpu, w->buffer, size, value), XGPU_FENCE_OK))
		return;
	if (!all_words_are(w->buffer, size, value))
		soak_fail(w->b, "worker %u: what the GPU wrote to its own memory is not there",
			  w->index);
	soak_did(w->b, GPU_MOVED);
}

/* Unmapped while the GPU reads it: it has read all, or found nothing there. */
static inline void gpu_cut_off(struct worker *w, struct part *p)
{
	int64_t fence = gpu_submit(w->gpu, XGPU_WORK_COPY, w->buffer, p->addr, p->size, 0);
	struct xgpu_wait wait;
	int ret;

	part_unmap(w, p);
	ret = gpu_wait(w->gpu, fence, &wait);
	if (!gpu_ended(w, "work on what was unmapped", ret, 0))
		return;
	if (wait.status == XGPU_FENCE_OK)
		part_is_right(w, p, "copied in the last moment", w->buffer, 0, p->grant.count);
	else
		gpu_ended(w, "work on what was unmapped", wait.status, XGPU_FENCE_FAULT);
	soak_did(w->b, GPU_CUT_OFF);
}

static inline void gpu_worker(struct worker *w)
{
	struct xgpu_query query = { .size = sizeof(query) };
	struct part p;

	if (!chance(w, 3))
		gpu_moves(w);
	if (chance(w, 2))
		gpu_writes(w);
	if (part_look(w, &p) && part_map(w, &p, PROT_READ)) {
		gpu_reads(w, &p);
		if (chance(w, 2))
			gpu_cut_off(w, &p);
		else
			part_unmap(w, &p);
	}
	if (!gpu_ioctl(w->gpu, XGPU_IOCTL_QUERY, &query) &&
	    (query.stale || query.stale_cached || query.dma_errors))
		soak_fail(w->b, "GPU: %llu translations used too long, %u kept, %llu DMA errors",
			  query.stale, query.stale_cached, query.dma_errors);
}

#endif /* SOAK_GPU_WORKER_H */
