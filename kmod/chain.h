/* SPDX-License-Identifier: GPL-2.0-only */
/* Chains: when they end, and those that are no operations. */
#ifndef FLEXSC_CHAIN_H
#define FLEXSC_CHAIN_H

#include <linux/ptrace.h>
#include <asm/unistd.h>

#include "exec.h"
#include "flexsc.h"

/* A chain that is no operation: what was read of its entries, and came of them. */
struct flexsc_quick_call {
	u16 nr;
	u16 flags;
	u8 from;        /* arguments that are results */
	u8 position[6]; /* whose results */
	long last;
};

struct flexsc_quick_chain {
	unsigned int bit; /* of the head */
	unsigned int n;
	struct flexsc_quick_call calls[FLEXSC_PAGE_ENTRIES];
};

/* quick_chain.c */
bool flexsc_plain_chain(struct flexsc_exec *exec, unsigned int page,
			struct flexsc_entry *entry);
bool flexsc_looked_chain(struct flexsc_exec *exec, unsigned int page,
			 struct flexsc_entry *entry);

/* In which register a call is told how many bytes it is asked for, if it is. */
static inline u8 flexsc_size_at(u32 nr)
{
	switch (nr) {
	case __NR_sendfile:
		return offsetof(struct pt_regs, r10);
	case __NR_splice:
	case __NR_copy_file_range:
		return offsetof(struct pt_regs, r8);
	default:
		return offsetof(struct pt_regs, dx);
	}
}

static inline long flexsc_size_asked(const struct flexsc_call *call, u8 size_at)
{
	return *(const long *)((const void *)&call->regs + size_at);
}

/*
 * Whether a chain ends with this result of its call, which has these flags and
 * size_at from flexsc_size_at().
 */
static __always_inline bool flexsc_ends_chain(u16 flags, long result,
					      const struct flexsc_call *call,
					      u8 size_at)
{
	if (unlikely(result < 0))
		return !(flags & FLEXSC_ENTRY_GO_ON);
	if (likely(!(flags & (FLEXSC_ENTRY_END_ON_ZERO | FLEXSC_ENTRY_END_ON_SHORT))))
		return false;
	if (!result && flags & FLEXSC_ENTRY_END_ON_ZERO)
		return true;
	return flags & FLEXSC_ENTRY_END_ON_SHORT &&
	       result != flexsc_size_asked(call, size_at);
}

#endif /* FLEXSC_CHAIN_H */
