/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef GNTCTL_H
#define GNTCTL_H

#include <stdio.h>

/* Exit codes: 1: it did not work, or there is something to report; 2: wrong use. */
#define EXIT_USE 2

unsigned long gntctl_number(const char *text, unsigned long max, const char *what);
int gntctl_fail(const char *what, int err);
int gntctl_fail_open(const char *device, int err);
void gntctl_hold(long seconds);

/* A command: its own name is argv[0]. */
int cmd_grant(int argc, char **argv);
int cmd_map(int argc, char **argv);
int cmd_copy(int argc, char **argv);
int cmd_watch(int argc, char **argv);
int cmd_limits(int argc, char **argv);
int cmd_leaks(int argc, char **argv);

#endif /* GNTCTL_H */
