// SPDX-License-Identifier: GPL-2.0-only
/*
 * abi: print the numbers and layouts of a <xen/gntdev.h>, which GNTDEV_H names.
 *
 * Built once with the kernel's own header and once with ours: what is printed must be
 * the same, or programs that exist would not run.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define __user
typedef uint32_t grant_ref_t;
typedef uint16_t domid_t;
#include <linux/ioctl.h>
#include GNTDEV_H

#define NUMBER(name) printf("%s %#lx\n", #name, (unsigned long)(name))
#define SIZE(type) printf("%s %zu\n", #type, sizeof(struct type))
#define FIELD(type, field) \
	printf("%s.%s %zu+%zu\n", #type, #field, \
	       offsetof(struct type, field), \
	       sizeof(((struct type *)NULL)->field))

int main(void)
{
	NUMBER(IOCTL_GNTDEV_MAP_GRANT_REF);
	NUMBER(IOCTL_GNTDEV_UNMAP_GRANT_REF);
	NUMBER(IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR);
	NUMBER(IOCTL_GNTDEV_SET_MAX_GRANTS);
	NUMBER(IOCTL_GNTDEV_SET_UNMAP_NOTIFY);
	NUMBER(IOCTL_GNTDEV_GRANT_COPY);
	NUMBER(IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS);
	NUMBER(IOCTL_GNTDEV_DMABUF_EXP_WAIT_RELEASED);
	NUMBER(IOCTL_GNTDEV_DMABUF_IMP_TO_REFS);
	NUMBER(IOCTL_GNTDEV_DMABUF_IMP_RELEASE);
	NUMBER(UNMAP_NOTIFY_CLEAR_BYTE);
	NUMBER(UNMAP_NOTIFY_SEND_EVENT);
	NUMBER(GNTDEV_DMA_FLAG_WC);
	NUMBER(GNTDEV_DMA_FLAG_COHERENT);

	SIZE(ioctl_gntdev_grant_ref);
	FIELD(ioctl_gntdev_grant_ref, domid);
	FIELD(ioctl_gntdev_grant_ref, ref);
	SIZE(ioctl_gntdev_map_grant_ref);
	FIELD(ioctl_gntdev_map_grant_ref, count);
	FIELD(ioctl_gntdev_map_grant_ref, pad);
	FIELD(ioctl_gntdev_map_grant_ref, index);
	FIELD(ioctl_gntdev_map_grant_ref, refs);
	SIZE(ioctl_gntdev_unmap_grant_ref);
	FIELD(ioctl_gntdev_unmap_grant_ref, index);
	FIELD(ioctl_gntdev_unmap_grant_ref, count);
	FIELD(ioctl_gntdev_unmap_grant_ref, pad);
	SIZE(ioctl_gntdev_get_offset_for_vaddr);
	FIELD(ioctl_gntdev_get_offset_for_vaddr, vaddr);
	FIELD(ioctl_gntdev_get_offset_for_vaddr, offset);
	FIELD(ioctl_gntdev_get_offset_for_vaddr, count);
	FIELD(ioctl_gntdev_get_offset_for_vaddr, pad);
	SIZE(ioctl_gntdev_set_max_grants);
	FIELD(ioctl_gntdev_set_max_grants, count);
	SIZE(ioctl_gntdev_unmap_notify);
	FIELD(ioctl_gntdev_unmap_notify, index);
	FIELD(ioctl_gntdev_unmap_notify, action);
	FIELD(ioctl_gntdev_unmap_notify, event_channel_port);
	SIZE(gntdev_grant_copy_segment);
	FIELD(gntdev_grant_copy_segment, source.virt);
	FIELD(gntdev_grant_copy_segment, source.foreign.ref);
	FIELD(gntdev_grant_copy_segment, source.foreign.offset);
	FIELD(gntdev_grant_copy_segment, source.foreign.domid);
	FIELD(gntdev_grant_copy_segment, dest);
	FIELD(gntdev_grant_copy_segment, len);
	FIELD(gntdev_grant_copy_segment, flags);
	FIELD(gntdev_grant_copy_segment, status);
	SIZE(ioctl_gntdev_grant_copy);
	FIELD(ioctl_gntdev_grant_copy, count);
	FIELD(ioctl_gntdev_grant_copy, segments);
	SIZE(ioctl_gntdev_dmabuf_exp_from_refs);
	FIELD(ioctl_gntdev_dmabuf_exp_from_refs, flags);
	FIELD(ioctl_gntdev_dmabuf_exp_from_refs, count);
	FIELD(ioctl_gntdev_dmabuf_exp_from_refs, fd);
	FIELD(ioctl_gntdev_dmabuf_exp_from_refs, domid);
	FIELD(ioctl_gntdev_dmabuf_exp_from_refs, refs);
	SIZE(ioctl_gntdev_dmabuf_exp_wait_released);
	FIELD(ioctl_gntdev_dmabuf_exp_wait_released, fd);
	FIELD(ioctl_gntdev_dmabuf_exp_wait_released, wait_to_ms);
	SIZE(ioctl_gntdev_dmabuf_imp_to_refs);
	FIELD(ioctl_gntdev_dmabuf_imp_to_refs, fd);
	FIELD(ioctl_gntdev_dmabuf_imp_to_refs, count);
	FIELD(ioctl_gntdev_dmabuf_imp_to_refs, domid);
	FIELD(ioctl_gntdev_dmabuf_imp_to_refs, reserved);
	FIELD(ioctl_gntdev_dmabuf_imp_to_refs, refs);
	SIZE(ioctl_gntdev_dmabuf_imp_release);
	FIELD(ioctl_gntdev_dmabuf_imp_release, fd);
	FIELD(ioctl_gntdev_dmabuf_imp_release, reserved);
	return 0;
}
