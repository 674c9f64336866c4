// SPDX-License-Identifier: GPL-2.0-only
/* Commands that grant, map and copy. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xengnttab.h>
#include <xen/grant_table.h>
#include <xen/gntdev.h>

#include "gntctl.h"

#define PAGE 4096U
#define MAX_DOMID 0x7fef /* the last before the reserved ones */
#define MAX_PAGES 65536U
#define MAX_SECONDS 1000000UL

struct opts {
	bool readonly, partial, hex, write;
	long hold;
};

/* Where the arguments begin; they must be @least at the least. */
static int options(int argc, char **argv, const char *known, int least, struct opts *o)
{
	int c;

	*o = (struct opts){ .hold = -1 };
	while ((c = getopt(argc, argv, known)) != -1) {
		if (c == 'r')
			o->readonly = true;
		else if (c == 'p')
			o->partial = true;
		else if (c == 'x')
			o->hex = true;
		else if (c == 'w')
			o->write = true;
		else if (c == 't')
			o->hold = gntctl_number(optarg, MAX_SECONDS, "-t");
		else
			break;
	}
	if (c != -1 || argc - optind < least) {
		fprintf(stderr, "gntctl %s: wrong use; see gntctl --help\n", argv[0]);
		exit(EXIT_USE);
	}
	return optind;
}

int cmd_grant(int argc, char **argv)
{
	struct opts o;
	int first = options(argc, argv, "rt:", 2, &o), ret = 0;
	uint32_t domid = gntctl_number(argv[first], MAX_DOMID, "DOMID");
	uint32_t count = gntctl_number(argv[first + 1], MAX_PAGES, "PAGES");
	xengntshr_handle *xgs;
	uint32_t *refs;
	void *addr;

	if (!count) {
		fprintf(stderr, "gntctl grant: no pages\n");
		return EXIT_USE;
	}
	refs = calloc(count, sizeof(*refs));
	xgs = xengntshr_open(NULL, 0);
	if (!refs || !xgs) {
		ret = gntctl_fail_open("/dev/xen/gntalloc", errno);
		goto out;
	}
	addr = xengntshr_share_pages(xgs, domid, count, refs, !o.readonly);
	if (!addr) {
		ret = gntctl_fail("grant", errno);
		goto out;
	}
	for (uint32_t i = 0; i < count; i++)
		printf("%u%c", refs[i], i + 1 < count ? ' ' : '\n');
	fflush(stdout);
	gntctl_hold(o.hold);
	xengntshr_unshare(xgs, addr, count);
out:
	if (xgs)
		xengntshr_close(xgs);
	free(refs);
	return ret;
}

static const char *status_name(int status)
{
	static const char *const names[] = GNTTABOP_error_msgs;

	if (status == 1)
		return "not tried";
	if (status > 0 || -status >= (int)(sizeof(names) / sizeof(names[0])))
		return "unknown status";
	return names[-status];
}

static void print_page(const unsigned char *page)
{
	for (int i = 0; i < 16; i++)
		printf(" %02x", page[i]);
}

/* A line for each grant; holes are not to be read. */
static void print_refs(const struct ioctl_gntdev_grant_ref *refs,
		       const struct gntdev_ref_status *status, uint32_t count, const char *addr)
{
	for (uint32_t i = 0; i < count; i++) {
		printf("%u %s%s", refs[i].ref,
		       status[i].status == GNTST_okay ? "ok" : status_name(status[i].status),
		       status[i].flags & GNTDEV_REF_READONLY ? " readonly" : "");
		if (addr && status[i].status == GNTST_okay)
			print_page((const void *)(addr + (size_t)i * PAGE));
		putchar('\n');
	}
	fflush(stdout);
}

static int map_and_hold(int fd, struct gntdev_map_refs *map, const struct opts *o)
{
	const struct ioctl_gntdev_grant_ref *refs = (void *)(uintptr_t)map->refs;
	const struct gntdev_ref_status *status = (void *)(uintptr_t)map->status;
	bool readonly = o->readonly;
	size_t size = (size_t)map->count * PAGE;
	void *addr;

	if (ioctl(fd, IOCTL_GNTDEV_MAP_REFS, map)) {
		int err = errno;

		/* It has not asked Xen about any. */
		if (err != ENOTTY && err != EDQUOT && err != ENOMEM)
			print_refs(refs, status, map->count, NULL);
		return gntctl_fail("map", err);
	}
	for (uint32_t i = 0; i < map->count; i++)
		readonly |= status[i].flags & GNTDEV_REF_READONLY;
	addr = mmap(NULL, size, PROT_READ | (readonly ? 0 : PROT_WRITE), MAP_SHARED, fd, map->index);
	if (addr == MAP_FAILED)
		return gntctl_fail("mmap", errno);
	print_refs(refs, status, map->count, o->hex ? addr : NULL);
	gntctl_hold(o->hold);
	munmap(addr, size);
	return map->mapped == map->count ? 0 : 1;
}

int cmd_map(int argc, char **argv)
{
	struct opts o;
	int first = options(argc, argv, "rpxt:", 2, &o), fd, ret;
	uint32_t domid = gntctl_number(argv[first], MAX_DOMID, "DOMID");
	uint32_t count = argc - first - 1;
	struct ioctl_gntdev_grant_ref *refs = calloc(count, sizeof(*refs));
	struct gntdev_ref_status *status = calloc(count, sizeof(*status));
	struct gntdev_map_refs map = {
		.size = sizeof(map),
		.flags = o.partial ? GNTDEV_MAP_PARTIAL : 0,
		.count = count,
		.refs = (uintptr_t)refs,
		.status = (uintptr_t)status,
	};

	if (!refs || !status) {
		ret = gntctl_fail("map", ENOMEM);
		goto out;
	}
	for (uint32_t i = 0; i < count; i++) {
		refs[i].domid = domid;
		refs[i].ref = gntctl_number(argv[first + 1 + i], UINT32_MAX, "REF");
		status[i].status = 1;
	}
	fd = open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		ret = gntctl_fail_open("/dev/xen/gntdev", errno);
		goto out;
	}
	ret = map_and_hold(fd, &map, &o);
	close(fd);
out:
	free(status);
	free(refs);
	return ret;
}

static bool read_all(char *buf, size_t len)
{
	size_t done = 0;
	ssize_t n;

	while (done < len && (n = read(STDIN_FILENO, buf + done, len - done)) > 0)
		done += n;
	return done == len;
}

int cmd_copy(int argc, char **argv)
{
	struct opts o;
	int first = options(argc, argv, "w", 2, &o), ret = 0;
	uint32_t offset = argc > first + 2 ? gntctl_number(argv[first + 2], PAGE - 1, "OFFSET") : 0;
	uint32_t len = PAGE - offset;
	xengnttab_grant_copy_segment_t seg = { 0 };
	char page[PAGE];
	xengnttab_handle *xgt;

	if (argc > first + 3)
		len = gntctl_number(argv[first + 3], len, "LENGTH");
	if (o.write && !read_all(page, len)) {
		fprintf(stderr, "gntctl copy: standard input has fewer than %u bytes\n", len);
		return 1;
	}
	seg.len = len;
	seg.flags = o.write ? GNTCOPY_dest_gref : GNTCOPY_source_gref;
	(o.write ? &seg.source : &seg.dest)->virt = page;
	(o.write ? &seg.dest : &seg.source)->foreign.ref =
		gntctl_number(argv[first + 1], UINT32_MAX, "REF");
	(o.write ? &seg.dest : &seg.source)->foreign.domid =
		gntctl_number(argv[first], MAX_DOMID, "DOMID");
	(o.write ? &seg.dest : &seg.source)->foreign.offset = offset;
	xgt = xengnttab_open(NULL, 0);
	if (!xgt)
		return gntctl_fail_open("/dev/xen/gntdev", errno);
	if (xengnttab_grant_copy(xgt, 1, &seg)) {
		ret = gntctl_fail("copy", errno);
	} else if (seg.status != GNTST_okay) {
		fprintf(stderr, "gntctl: copy: Xen says: %s\n", status_name(seg.status));
		ret = 1;
	} else if (!o.write && (fwrite(page, 1, len, stdout) != len || fflush(stdout))) {
		ret = gntctl_fail("standard output", errno);
	}
	xengnttab_close(xgt);
	return ret;
}
