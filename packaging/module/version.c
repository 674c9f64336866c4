// SPDX-License-Identifier: GPL-2.0-only
/*
 * The version of the external module. The driver in a kernel has none, and DKMS takes a
 * module without one for the same as the kernel's own, which it does not replace.
 */
#include <linux/module.h>

MODULE_VERSION("@VERSION@");
