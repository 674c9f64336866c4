// SPDX-License-Identifier: GPL-2.0-only
/*
 * gm-gpu: what a guest that owns a GPU does with it, when a test in dom0 asks for it
 * through the guest's agent.
 *
 *   gm-gpu work [DOMID REF...]   has the GPU work until that fails: on memory of its own, or on
 *                                pages that DOMID has granted, all to be written. "working" when
 *                                it does; at the end "ended after ROUNDS: WHY, memory intact".
 *                                Memory that it has had moved to video memory before comes
 *                                back, byte for byte, when the driver lets go of the GPU; or it
 *                                is lost with the GPU: "bus error".
 *   gm-gpu mark VALUE            writes VALUE to every word of video memory, past any driver
 *   gm-gpu look VALUE            -> zero ZERO of WORDS, value VALUES
 *
 * Each says what went wrong on its standard output, and ends with 1.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../../../drivers/xen/xgpu/xgpu_hw.h"
#include "gm_gpu.h"

#define DEVICES		"/sys/bus/pci/devices"
#define OWN_SIZE	(2 * MIB)
#define KEPT_SIZE	(4 * MIB)
#define KEPT_SEED	0x6bULL
#define MAX_REFS	256

static int __attribute__((format(printf, 1, 2))) fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	return 1;
}

/* ---- work ---- */

static void *memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void *granted(int nr, char **args)
{
	uint32_t refs[MAX_REFS];
	struct gm_grant grant = {
		.domid = strtoul(args[0], NULL, 10),
		.count = nr - 1,
		.refs = refs,
	};
	int fd = gm_gntdev_open();
	void *p;

	if (nr < 2 || nr - 1 > MAX_REFS || fd < 0)
		return NULL;
	for (int i = 1; i < nr; i++)
		refs[i - 1] = strtoul(args[i], NULL, 10);
	p = gm_gntdev_map(fd, &grant, PROT_READ | PROT_WRITE, NULL);
	return p == MAP_FAILED ? NULL : p;
}

/* One round: fill, sum; what the GPU says must be what the CPU says. NULL: fine */
static const char *one_round(int fd, void *mem, size_t size, uint64_t value)
{
	static char why[64];
	uint64_t sum = 0;
	int ret = gpu_fill(fd, mem, size, value);

	ret = ret ?: gpu_sum(fd, mem, size, &sum);
	if (ret) {
		snprintf(why, sizeof(why), ret < 0 ? "error %d" : "fence %d", ret);
		return why;
	}
	return sum == cpu_sum(mem, size) ? NULL : "wrong sum";
}

static void bus_error(int sig)
{
	static const char text[] = "bus error\n";

	(void)sig;
	if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0)
		_exit(2);
	_exit(1);
}

/*
 * Ordinary ends are those of a device that has gone: whatever else ends the work was an
 * error of somebody.
 */
static int work(int nr, char **args)
{
	size_t size = nr ? (nr - 1) * GM_PAGE_SIZE : OWN_SIZE;
	char *kept = memory(KEPT_SIZE), *mem = nr ? granted(nr, args) : memory(size);
	unsigned int pages = KEPT_SIZE / GM_PAGE_SIZE;
	const char *why = NULL;
	unsigned long rounds;
	int fd;

	signal(SIGBUS, bus_error);
	if (!gpu_load(GPU_0))
		return fail("there is no " GPU_0);
	fd = open(GPU_0, O_RDWR | O_CLOEXEC);
	if (fd < 0 || !kept || !mem)
		return fail("open, or memory: %s", strerror(errno));
	gm_fill(kept, KEPT_SEED, 0, pages);
	if (gpu_range(fd, XGPU_IOCTL_PREFETCH, kept, KEPT_SIZE,
		      XGPU_PREFETCH_VRAM | XGPU_PREFETCH_WRITE, NULL))
		return fail("prefetch: %s", strerror(errno));
	for (rounds = 0; !why; rounds++) {
		why = one_round(fd, mem, size, rounds);
		if (!rounds && !why) {
			printf("working\n");
			fflush(stdout);
		}
	}
	printf("ended after %lu: %s, memory %s\n", rounds, why,
	       gm_check(kept, KEPT_SEED, 0, pages) < 0 ? "intact" : "lost");
	return strcmp(why, "error -19") && strcmp(why, "fence 5");
}

/* ---- video memory ---- */

static bool device_is(const char *dev, const char *file, const char *id)
{
	char path[600], text[16] = "";

	snprintf(path, sizeof(path), "%s/%s", dev, file);
	return gm_read_file(path, text, sizeof(text)) > 0 && !strncmp(text, id, strlen(id));
}

/* The first GPU's folder in sysfs */
static bool find_device(char *path, size_t size)
{
	DIR *dir = opendir(DEVICES);
	char vendor[8], device[8];
	struct dirent *d;
	bool found = false;

	snprintf(vendor, sizeof(vendor), "0x%04x", XGPU_PCI_VENDOR);
	snprintf(device, sizeof(device), "0x%04x", XGPU_PCI_DEVICE);
	while (dir && !found && (d = readdir(dir))) {
		snprintf(path, size, DEVICES "/%s", d->d_name);
		found = device_is(path, "vendor", vendor) && device_is(path, "device", device);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* Mapped as the owner's kernel would see it, with no driver that could clear it */
static volatile uint64_t *map_vram(uint64_t *words)
{
	char dev[300], path[400];
	void *p;
	int fd;

	if (!find_device(dev, sizeof(dev)))
		return NULL;
	snprintf(path, sizeof(path), "%s/enable", dev);
	if (gm_write_file(path, "1"))
		return NULL;
	snprintf(path, sizeof(path), "%s/resource%d", dev, XGPU_BAR_VRAM);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	*words = lseek(fd, 0, SEEK_END) / 8;
	p = mmap(NULL, *words * 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return p == MAP_FAILED ? NULL : p;
}

static int mark(uint64_t value)
{
	uint64_t words, i;
	volatile uint64_t *vram = map_vram(&words);

	if (!vram)
		return fail("video memory cannot be mapped: %s", strerror(errno));
	for (i = 0; i < words; i++)
		vram[i] = value;
	return 0;
}

static int look(uint64_t value)
{
	uint64_t words, i, zero = 0, same = 0;
	volatile uint64_t *vram = map_vram(&words);

	if (!vram)
		return fail("video memory cannot be mapped: %s", strerror(errno));
	for (i = 0; i < words; i++) {
		uint64_t word = vram[i];

		zero += !word;
		same += word == value;
	}
	printf("zero %lu of %lu, value %lu\n", zero, words, same);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "work"))
		return work(argc - 2, argv + 2);
	if (argc == 3 && !strcmp(argv[1], "mark"))
		return mark(strtoull(argv[2], NULL, 0));
	if (argc == 3 && !strcmp(argv[1], "look"))
		return look(strtoull(argv[2], NULL, 0));
	fprintf(stderr, "usage: %s work [DOMID REF...] | mark VALUE | look VALUE\n", argv[0]);
	return 2;
}
