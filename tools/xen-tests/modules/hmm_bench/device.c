// SPDX-License-Identifier: GPL-2.0-only
/*
 * hmm_bench: measures HMM from the inside, on the kernel with the overlay and on the
 * stock one. hmm_bench.h says what it offers; suite bench uses it.
 *
 * DMA addresses need a device: a platform device without hardware, which reaches all
 * memory.
 */
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/uaccess.h>
#include <asm/tsc.h>

#include "internal.h"

static struct platform_device *hmb_pdev;

static long hmb_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	struct hmb_info info = { .tsc_khz = tsc_khz };
	void __user *uarg = (void __user *)arg;
	struct hmb_run run;
	int ret;

	switch (cmd) {
	case HMB_INFO:
		return copy_to_user(uarg, &info, sizeof(info)) ? -EFAULT : 0;
	case HMB_RUN:
		if (copy_from_user(&run, uarg, sizeof(run)))
			return -EFAULT;
		ret = hmb_run(&hmb_pdev->dev, &run);
		if (!ret && copy_to_user(uarg, &run, sizeof(run)))
			return -EFAULT;
		return ret;
	}
	return -ENOTTY;
}

static const struct file_operations hmb_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = hmb_ioctl,
};

static struct miscdevice hmb_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "hmm_bench",
	.fops = &hmb_fops,
};

static int __init hmb_init(void)
{
	int ret;

	hmb_pdev = platform_device_register_simple("hmm_bench", PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(hmb_pdev))
		return PTR_ERR(hmb_pdev);
	ret = dma_coerce_mask_and_coherent(&hmb_pdev->dev, DMA_BIT_MASK(64));
	if (!ret)
		ret = misc_register(&hmb_misc);
	if (ret)
		platform_device_unregister(hmb_pdev);
	return ret;
}
module_init(hmb_init);

static void __exit hmb_exit(void)
{
	misc_deregister(&hmb_misc);
	platform_device_unregister(hmb_pdev);
}
module_exit(hmb_exit);

MODULE_DESCRIPTION("Measures HMM");
MODULE_LICENSE("GPL");
