/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A disk that takes its time to write, and writes to it: whoever writes sleeps meanwhile, and
 * cannot be killed.
 */
#ifndef SLOW_DISK_H
#define SLOW_DISK_H

#include <linux/dm-ioctl.h>
#include <pthread.h>
#include <sys/sysmacros.h>

#include "gm_test.h"

#define SLOW_DISK	"/dev/ram0"	/* what is behind it */
#define SLOW_DISK_NAME	"gm-slow"
#define SLOW_DISK_MS	10000
#define SLOW_DISK_SECTORS 1024ULL	/* the part of it that is used */

struct slow_disk {
	int control;		/* of device mapper; -1: there is no slow disk */
	int fd;			/* open for direct I/O; -1: it is not */
};

#define NO_SLOW_DISK ((struct slow_disk){ .control = -1, .fd = -1 })

struct dm_request {
	struct dm_ioctl io;
	struct dm_target_spec target;
	char params[128];
};

static inline int dm_call(int control, unsigned long cmd, struct dm_request *req)
{
	req->io.version[0] = DM_VERSION_MAJOR;
	req->io.data_size = sizeof(*req);
	req->io.data_start = offsetof(struct dm_request, target);
	snprintf(req->io.name, sizeof(req->io.name), SLOW_DISK_NAME);
	return ioctl(control, cmd, req);
}

static inline int slow_disk_remove(struct slow_disk *disk)
{
	struct dm_request req = {};
	int ret = 0;

	if (disk->fd >= 0)
		close(disk->fd);
	if (disk->control >= 0) {
		ret = dm_call(disk->control, DM_DEV_REMOVE, &req) ? -errno : 0;
		close(disk->control);
	}
	*disk = NO_SLOW_DISK;
	return ret;
}

/*
 * A device on which a write, unlike a read, takes SLOW_DISK_MS. -ENODEV: there are no modules
 * for that here.
 */
static inline int slow_disk_make(struct slow_disk *disk)
{
	struct dm_request create = {}, load = {}, resume = {};
	char node[64];
	int err;

	*disk = NO_SLOW_DISK;
	if (gm_run(NULL, 0, GM_TIMEOUT_MS, "modprobe -a brd dm-mod dm-delay"))
		return -ENODEV;
	/* devtmpfs has made it. */
	disk->control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	if (disk->control < 0)
		return -errno;
	load.io.target_count = 1;
	load.target.length = SLOW_DISK_SECTORS;
	snprintf(load.target.target_type, sizeof(load.target.target_type), "delay");
	snprintf(load.params, sizeof(load.params), SLOW_DISK " 0 0 " SLOW_DISK " 0 %d",
		 SLOW_DISK_MS);
	if (dm_call(disk->control, DM_DEV_CREATE, &create)) {
		err = errno;
		close(disk->control);
		*disk = NO_SLOW_DISK;
		return -err;
	}
	if (dm_call(disk->control, DM_TABLE_LOAD, &load) ||
	    dm_call(disk->control, DM_DEV_SUSPEND, &resume))
		goto remove;
	snprintf(node, sizeof(node), "/dev/dm-%u", minor(resume.io.dev));
	disk->fd = open(node, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (disk->fd < 0)
		goto remove;
	return 0;

remove:
	err = errno;
	slow_disk_remove(disk);
	return -err;
}

/* Page @at of the disk is page @page of what has the pattern of @seed. */
static inline bool slow_disk_holds(unsigned int at, uint64_t seed, unsigned int page)
{
	char *back = aligned_alloc(GM_PAGE_SIZE, GM_PAGE_SIZE);
	int fd = open(SLOW_DISK, O_RDONLY | O_DIRECT | O_CLOEXEC);
	bool holds;

	holds = back && fd >= 0 &&
		pread(fd, back, GM_PAGE_SIZE, at * GM_PAGE_SIZE) == (ssize_t)GM_PAGE_SIZE &&
		gm_check(back, seed, page, 1) == -1;
	if (fd >= 0)
		close(fd);
	free(back);
	return holds;
}

/* ---- a write to it, in a thread of its own ---- */

struct slow_write {
	const struct slow_disk *disk;
	void *page;
	unsigned int at;	/* page of the disk */
	pthread_t thread;
	pid_t tid;
	ssize_t ret;
	bool done;
};

static inline void *slow_write_main(void *arg)
{
	struct slow_write *w = arg;

	__atomic_store_n(&w->tid, gettid(), __ATOMIC_RELEASE);
	w->ret = pwrite(w->disk->fd, w->page, GM_PAGE_SIZE, w->at * GM_PAGE_SIZE);
	if (w->ret < 0)
		w->ret = -errno;
	__atomic_store_n(&w->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static inline bool slow_write_done(struct slow_write *w)
{
	return __atomic_load_n(&w->done, __ATOMIC_ACQUIRE);
}

/* The writer, a thread of this process, sleeps and cannot be killed: it waits for the disk. */
static inline bool slow_write_in_flight(struct slow_write *w)
{
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat",
		 __atomic_load_n(&w->tid, __ATOMIC_ACQUIRE));
	f = fopen(path, "re");
	if (!f)
		return false;
	if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	fclose(f);
	return state == 'D';
}

/* Begins to write @page; false if that is not under way. */
static inline bool slow_write_start(struct slow_write *w, const struct slow_disk *disk,
				    void *page, unsigned int at)
{
	*w = (struct slow_write){ .disk = disk, .page = page, .at = at };
	return !pthread_create(&w->thread, NULL, slow_write_main, w) &&
	       gm_wait(slow_write_in_flight(w), SLOW_DISK_MS);
}

static inline ssize_t slow_write_end(struct slow_write *w)
{
	return pthread_join(w->thread, NULL) ? -1 : w->ret;
}

#endif /* SLOW_DISK_H */
