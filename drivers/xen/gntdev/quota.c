// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an unprivileged user may hold.
 *
 * Xen's handles are for the whole domain. A process without CAP_SYS_ADMIN that the device has
 * been opened for (a device model that has dropped its rights) could take all of them, and no
 * other backend could map anything. So the grants in maps of each such user, in whatever
 * files and processes, are counted, and limited by the module parameter limit_user.
 *
 * The grants that such a user gives away, of dma-bufs, count with them: references are the
 * domain's, too.
 *
 * Who has the capability is not counted, and not limited.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/uidgid.h>
#include <linux/xarray.h>

#include "gntdev.h"

/* A quarter of the handles that Xen has for a domain unless it is told otherwise. */
static unsigned int limit_user = 64 * 1024;
module_param(limit_user, uint, 0644);
MODULE_PARM_DESC(limit_user, "Maximum number of grants that a user without CAP_SYS_ADMIN holds");

/**
 * struct gntdev_quota - an unprivileged user who holds something
 * @uid: user
 * @used: grants in maps and imports of that user, > 0
 */
struct gntdev_quota {
	uid_t uid;
	unsigned long used;
};

static DEFINE_MUTEX(quota_lock); /* innermost; quotas and all in them */
static DEFINE_XARRAY(quotas); /* by uid */

/**
 * gntdev_quota_charge() - Count grants for the current user
 * @count: number of grants
 *
 * Context: sleeps.
 * Return: for gntdev_quota_uncharge(): NULL for who is not limited; or an ERR_PTR(), -EDQUOT
 *         or -ENOMEM.
 */
struct gntdev_quota *gntdev_quota_charge(unsigned int count)
{
	uid_t uid = from_kuid(&init_user_ns, current_uid());
	struct gntdev_quota *quota, *ret;

	if (has_capability_noaudit(current, CAP_SYS_ADMIN))
		return NULL;

	mutex_lock(&quota_lock);
	quota = xa_load(&quotas, uid);
	ret = quota;
	if ((quota ? quota->used : 0) + count > READ_ONCE(limit_user)) {
		ret = ERR_PTR(-EDQUOT);
	} else if (!quota) {
		quota = kzalloc(sizeof(*quota), GFP_KERNEL);
		ret = quota ?: ERR_PTR(-ENOMEM);
		if (quota && xa_err(xa_store(&quotas, uid, quota, GFP_KERNEL))) {
			kfree(quota);
			ret = ERR_PTR(-ENOMEM);
		}
	}
	if (!IS_ERR(ret)) {
		ret->uid = uid;
		ret->used += count;
	}
	mutex_unlock(&quota_lock);
	return ret;
}

/**
 * gntdev_quota_uncharge() - Count grants no longer
 * @quota: what gntdev_quota_charge() returned, or NULL
 * @count: number of grants
 *
 * Context: sleeps.
 */
void gntdev_quota_uncharge(struct gntdev_quota *quota, unsigned int count)
{
	if (!quota)
		return;
	mutex_lock(&quota_lock);
	quota->used -= count;
	if (!quota->used) {
		xa_erase(&quotas, quota->uid);
		kfree(quota);
	}
	mutex_unlock(&quota_lock);
}
