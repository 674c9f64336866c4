/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A machine without a processor: QEMU's qtest protocol, over which the test reads and writes
 * memory and ports and moves the clock. QEMU ends with whoever started it.
 */
#ifndef XGPU_TEST_QTEST_H
#define XGPU_TEST_QTEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct qtest {
	pid_t pid;
	int fd;
	char *line;	/* the last answer */
	size_t room, have;
};

/* The arguments beyond those of every machine, NULL at the end; GM_XGPU is the library. */
int qtest_start(struct qtest *q, const char *const *args);
/* 0, or the signal or exit status that it ended with by itself */
int qtest_stop(struct qtest *q);

uint32_t qtest_inl(struct qtest *q, uint16_t port);
void qtest_outl(struct qtest *q, uint16_t port, uint32_t value);
void qtest_outb(struct qtest *q, uint16_t port, uint8_t value);
void qtest_outw(struct qtest *q, uint16_t port, uint16_t value);
uint32_t qtest_readl(struct qtest *q, uint64_t addr);
uint64_t qtest_readq(struct qtest *q, uint64_t addr);
void qtest_writel(struct qtest *q, uint64_t addr, uint32_t value);
void qtest_writeq(struct qtest *q, uint64_t addr, uint64_t value);
void qtest_read(struct qtest *q, uint64_t addr, void *buf, size_t len);
void qtest_write(struct qtest *q, uint64_t addr, const void *buf, size_t len);
void qtest_set(struct qtest *q, uint64_t addr, uint8_t byte, size_t len);
/* Move the clock by so many ns, and whatever is due meanwhile happens. */
void qtest_step(struct qtest *q, uint64_t ns);

#endif
