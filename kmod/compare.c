// SPDX-License-Identifier: GPL-2.0-only
/*
 * FLEXSC_NR_COMPARE: whether a chain has met what its caller expected. It reads
 * what the caller itself can read, and tells no more than whether it is the same.
 */
#include <linux/bitops.h>
#include <linux/uaccess.h>

#include "exec.h"
#include "flexsc.h"
#include "op.h"

long flexsc_compare(const struct flexsc_call *call)
{
	const u64 __user *a = (const u64 __user *)call->regs.di;
	const u64 __user *b = (const u64 __user *)call->regs.si;
	u64 words = call->regs.dx, differ = 0;
	size_t bytes = fls64(words) * sizeof(*a);

	if (unlikely(!access_ok(b, bytes)))
		return -EFAULT;
	/* Nothing that is read is used to find more, also under speculation. */
	if (unlikely(!user_read_access_begin(a, bytes)))
		return -EFAULT;
	for (; words; words &= words - 1) {
		unsigned int i = __ffs64(words);
		u64 one, other;

		unsafe_get_user(one, a + i, fault);
		unsafe_get_user(other, b + i, fault);
		differ |= one ^ other;
	}
	user_read_access_end();
	return differ ? -ESTALE : 0;
fault:
	user_read_access_end();
	return -EFAULT;
}
