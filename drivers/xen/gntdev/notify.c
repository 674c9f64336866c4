// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unmap notification: tell the other side when a page of a map is let go.
 *
 * A map has one notification. It names a byte of the map, and so a page, and says
 * whether that byte is cleared, an event is sent, or both. When that page's grant
 * is given back, for whatever reason (munmap, close, death of the process), the
 * order is: byte cleared, hypervisor lets go, event sent. A peer that gets the
 * event finds the byte clear and can end the grant at once.
 *
 * The byte is written through the kernel side, the user side is gone by then. In PV that
 * is made when the notification is set.
 */
#include <linux/mm.h>
#include <xen/events.h>

#include "gntdev.h"

static unsigned int notify_grant(const struct gntdev_map *map)
{
	return map->notify.offset >> PAGE_SHIFT;
}

/* Make sure that the named byte can be written, as far as its owner and the caller allow. */
static int notify_byte_writable(struct gntdev_map *map, u64 offset)
{
	unsigned int i = offset >> PAGE_SHIFT;
	struct gntdev_grant *grant = &map->grants[i];
	int err = 0;

	lockdep_assert_held(&map->lock);
	spin_lock(&map->user_lock);
	if (grant->flags & (GRANT_USER_READONLY | GRANT_ABSENT))
		err = -EINVAL;
	else if (gntdev_pv())
		err = gntdev_pv_kernel_side(map, i, true);
	else if (grant->flags & GRANT_READONLY)
		err = -EINVAL;
	spin_unlock(&map->user_lock);
	return err;
}

/**
 * gntdev_notify_set() - Replace the notification of a map
 * @map: map
 * @offset: byte in the map that names the page
 * @flags: UNMAP_NOTIFY_*, 0 for none
 * @evtchn: local port; with UNMAP_NOTIFY_SEND_EVENT, the caller's reference on it goes
 *          over to the map, unless this fails
 *
 * Context: sleeps.
 * Return: 0; -EINVAL for a byte that may not be written; in PV, where its page is mapped
 *         for this, what gntdev_pv_kernel_side() returns.
 */
int gntdev_notify_set(struct gntdev_map *map, u64 offset, u32 flags,
		      evtchn_port_t evtchn)
{
	struct gntdev_notify old = {};
	int err = 0;

	mutex_lock(&map->lock);
	if (flags & UNMAP_NOTIFY_CLEAR_BYTE)
		err = notify_byte_writable(map, offset);
	if (!err) {
		old = map->notify;
		map->notify.flags = flags;
		map->notify.offset = offset;
		map->notify.evtchn = evtchn;
	}
	mutex_unlock(&map->lock);

	if (old.flags & UNMAP_NOTIFY_SEND_EVENT)
		evtchn_put(old.evtchn);
	return err;
}

/**
 * gntdev_notify_names() - Does the map's notification name this grant's page?
 * @map: map, locked
 * @grant: index of the grant in @map
 *
 * Return: true if there is a notification and it does.
 */
bool gntdev_notify_names(struct gntdev_map *map, unsigned int grant)
{
	lockdep_assert_held(&map->lock);
	return map->notify.flags && notify_grant(map) == grant;
}

/**
 * gntdev_notify_clear_byte() - Clear the named byte, if that was asked for
 * @map: map, locked; the kernel side of the named grant is mapped
 */
void gntdev_notify_clear_byte(struct gntdev_map *map)
{
	struct gntdev_grant *grant = &map->grants[notify_grant(map)];
	u8 *byte;

	lockdep_assert_held(&map->lock);
	if (!(map->notify.flags & UNMAP_NOTIFY_CLEAR_BYTE))
		return;
	map->notify.flags &= ~UNMAP_NOTIFY_CLEAR_BYTE;

	/* The guest may have turned it read-only between two mappings. */
	if (grant->flags & GRANT_READONLY)
		return;
	byte = page_address(grant->page) + offset_in_page(map->notify.offset);
	WRITE_ONCE(*byte, 0);
}

/**
 * gntdev_notify_send_event() - Send the event, if that was asked for
 * @map: map, locked (or no longer shared); the hypervisor has let go of the grant
 *
 * Context: sleeps, to drop the reference on the port.
 */
void gntdev_notify_send_event(struct gntdev_map *map)
{
	if (!(map->notify.flags & UNMAP_NOTIFY_SEND_EVENT))
		return;
	map->notify.flags &= ~UNMAP_NOTIFY_SEND_EVENT;
	notify_remote_via_evtchn(map->notify.evtchn);
	evtchn_put(map->notify.evtchn);
}

/**
 * gntdev_notify_released() - A run of grants has been released, as far as it could be
 * @map: map, locked
 * @first: first grant
 * @count: number of grants
 *
 * Sends the event for a page that never had a kernel side; for any other it has been sent
 * when that was given back.
 *
 * Context: as gntdev_notify_send_event().
 */
void gntdev_notify_released(struct gntdev_map *map, unsigned int first,
			    unsigned int count)
{
	unsigned int i = notify_grant(map);
	bool gone;

	lockdep_assert_held(&map->lock);
	if (!map->notify.flags || i - first >= count)
		return;

	spin_lock(&map->user_lock);
	gone = !(map->grants[i].flags & GRANT_CLAIMED) &&
	       !gntdev_kernel_mapped(&map->grants[i]);
	spin_unlock(&map->user_lock);
	if (gone)
		gntdev_notify_send_event(map);
}
