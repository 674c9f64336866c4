#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
#
# Stands in for Xen's /etc/xen/scripts/{block,vif-bridge}, which want bash, udev
# and a bridge. libxl calls it with add|remove (block) or online|offline (vif)
# and waits for hotplug-status in the backend's directory of xenstore.

exec 2>>/var/log/xen/hotplug.log
set -x

connected() { xenstore-write "$XENBUS_PATH/hotplug-status" connected; }

fail()
{
	xenstore-write "$XENBUS_PATH/hotplug-error" "$*" \
		"$XENBUS_PATH/hotplug-status" error
	exit 1
}

# An image file gets a loop device; a device node is used as it is.
add_block()
{
	params=$(xenstore-read "$XENBUS_PATH/params") || fail "no params"
	if [ -f "$params" ]; then
		node=$(losetup -f) || fail "no free loop device for $params"
		losetup "$node" "$params" || fail "losetup $node $params"
		xenstore-write "$XENBUS_PATH/node" "$node"
	else
		node=$params
	fi
	xenstore-write "$XENBUS_PATH/physical-device" "$(stat -L -c %t:%T "$node")"
	connected
}

remove_block()
{
	node=$(xenstore-read "$XENBUS_PATH/node") && losetup -d "$node"
}

case $1 in
add)	add_block ;;
remove)	remove_block ;;
online)	ifconfig "${vif:?}" up; connected ;;
esac
exit 0
