/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The one header that the BPF programs and user space share: what stands in
 * the maps. Fixed-width types only; sizes are asserted, so that both sides
 * agree whatever compiles them.
 */
#ifndef MT_ABI_H
#define MT_ABI_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/* Go's BySize table, runtime.MemStats: 61 classes, by usable size. */
#define MT_BYSIZE 61
/* Above BySize[60] = 18432: powers of two, the first holds (18432, 2^15]. */
#define MT_LARGE_MIN_SHIFT 15
#define MT_LARGE           35
#define MT_CLASSES         (MT_BYSIZE + MT_LARGE) /* 96; the last one is open-ended */

/* What one size class saw since the target's counts began. */
struct mt_class_counts {
	__u64 mallocs;     /* blocks allocated */
	__u64 frees;       /* blocks freed */
	__u64 alloc_bytes; /* usable bytes allocated */
	__u64 free_bytes;  /* usable bytes freed */
};

enum mt_vm_call {
	MT_VM_MMAP,
	MT_VM_MUNMAP,
	MT_VM_MREMAP,
	MT_VM_BRK,
	MT_VM_MADVISE,
	MT_VM_CALLS,
};

/* One memory system call's flow. Failed calls count in `calls` and `failed`. */
struct mt_vm_flow {
	__u64 calls;
	__u64 failed;
	__u64 bytes;    /* page-rounded: mapped, unmapped, moved to, grown by, advised */
	__u64 released; /* mremap and brk: bytes given back by shrinking */
};

/* Everything counted for one target; one per CPU, user space sums them. */
struct mt_counters {
	struct mt_class_counts cls[MT_CLASSES];
	struct mt_vm_flow vm[MT_VM_CALLS];
	__u64 failed;         /* allocations that returned NULL; no loss */
	__u64 nested;         /* calls inside another allocation call; no loss */
	__u64 internal;       /* the allocator's calls of itself; no loss */
	__u64 failed_reads;   /* loss: block header unreadable */
	__u64 failed_storage; /* loss: no room for a thread's frame */
	__u64 unreturned;     /* loss: an entry whose return never came */
	__u64 unknown_free;   /* loss: free of what no allocator of ours made */
	__u64 map_full;       /* loss: no room for a child, its life's news, or a live block */
	__u64 inherited;      /* loss: threads that ran on while the process forked off */
	__u64 events;         /* probe hits of this target */
};

/* How a block's usable size is known. */
enum mt_layout {
	MT_LAYOUT_GLIBC,     /* the word before it; mapped blocks: chunk size - 16 */
	MT_LAYOUT_GLIBC_243, /* the same; mapped blocks: chunk size - 8 */
	MT_LAYOUT_MUSL,
	MT_LAYOUT_JEMALLOC, /* by its tree; see jemalloc_core.bpf.h */
	MT_LAYOUT_TCMALLOC,
	MT_LAYOUT_MIMALLOC,
	MT_LAYOUT_REQUESTED, /* unknown: as requested, kept in a map of live blocks */
};

#define MT_FILE_PARAMS 12
#define MT_FILE_TAILS  1u /* flag: a framed function jumps to another of its kind */

/* One probed file, by the id that its probes' cookies carry. Addresses are link-time ones. */
struct mt_file {
	__u32 layout;            /* enum mt_layout */
	__u32 flags;             /* MT_FILE_* */
	__u64 text_lo, text_len; /* the allocator's own text; length 0: unknown */
	__u64 p[MT_FILE_PARAMS]; /* what the layout's reader needs; see alloc/X.c */
};

#define MT_TARGET_FOLLOW   1u /* its children are counted too */
#define MT_TARGET_BORROWED 2u /* a vfork child: its parent's memory, and so its parent's slot */
#define MT_TARGET_EXITED   4u /* its end could not be told */

#define MT_TARGET_MISSED 8u /* it has mapped an allocator that could not be probed */

/* In mt_known: a file with an allocator that could not be probed. */
#define MT_FILE_MISSED MT_FILES_MAX

#define MT_TARGET_FILES 4

/* One traced process, keyed by its tgid in memtrace's pid namespace. */
struct mt_target {
	__u32 slot;  /* of its counters: chunk << mt_chunk_shift | index */
	__u32 flags; /* MT_TARGET_* */
	__u32 ptgid; /* of the process that forked it, 0 unknown */
	__u32 moved; /* execs by a thread that was not the leader */
	__u64 start; /* ns since boot, 0 unknown */
	__u64 brk;   /* page-rounded program break last seen, 0 unknown */
	__u64 execs; /* exec calls seen since the target was entered */
	/* The address space as the last thread left it, in bytes; 0 unknown. */
	__u64 exit_data;              /* VmData */
	__u64 exit_stack;             /* VmStk */
	__u64 exit_brk;               /* size of the brk heap */
	char comm[16];                /* as the last fork or exec set it; empty: neither seen */
	__u16 files[MT_TARGET_FILES]; /* whose probes it has hit, 0 none */
	__u32 mapped; /* the first probed file that its image has mapped since its exec, 0 none */
	__u32 owner;  /* whose memory it has, or began with a copy of; 0 unknown */
};

/*
 * What a probed function does, and which of its arguments say how much: the
 * shapes are in core.bpf.h. "Plain" ones contain no other probed function and
 * have a return probe only; "framed" ones push a frame at entry and account at
 * return. The NEW kinds may be left by an exception, which must not meet a
 * return probe: their exits are probes of their own.
 */
enum mt_kind {
	MT_KIND_MALLOC = 1, /* plain: (n) */
	MT_KIND_FREE,       /* an entry only: (block, ...) */
	MT_KIND_REALLOC,
	MT_KIND_REALLOCARRAY, /* an entry only: it calls realloc */
	MT_KIND_MEMALIGN,     /* framed: (any, n, ...): memalign, aligned_alloc, mi_heap_malloc */
	MT_KIND_POSIX_MEMALIGN,
	/* Jumps back to the entry, or to another's: the same call enters once more. */
	MT_KIND_FREE_AGAIN,
	MT_KIND_MALLOC_AGAIN,
	MT_KIND_REALLOC_AGAIN,
	MT_KIND_CALLOC,         /* plain: (n, size, ...) */
	MT_KIND_ALLOC,          /* framed: (n, ...): valloc, mi_malloc_aligned */
	MT_KIND_ALLOC_N,        /* framed: (n, size, ...): calloc that calls malloc */
	MT_KIND_HEAP_ALLOC_N,   /* framed: (any, n, size, ...) */
	MT_KIND_REALLOC_N,      /* framed: (block, n, size, ...) */
	MT_KIND_HEAP_REALLOC,   /* framed: (any, block, n, ...) */
	MT_KIND_HEAP_REALLOC_N, /* framed: (any, block, n, size, ...) */
	MT_KIND_REALLOCF,       /* framed: (block, n), and frees the block where it fails */
	MT_KIND_HEAP_REALLOCF,  /* framed: (any, block, n), the same */
	MT_KIND_XALLOCX,        /* framed: (block, n, ...); returns the size that it has now */
	MT_KIND_NEW,            /* (n, ...) */
	MT_KIND_NEW_N,          /* (n, size) */
	MT_KIND_HEAP_NEW,       /* (any, n) */
	MT_KIND_HEAP_NEW_N,     /* (any, n, size) */
	MT_KIND_NEW_REALLOC,    /* (block, n) */
	MT_KIND_NEW_REALLOC_N,  /* (block, n, size) */
	/* Within functions of the NEW kinds: */
	MT_KIND_EXIT,  /* where one returns */
	MT_KIND_LEAVE, /* where one is left without a block: throws, or jumps to what counts itself
			*/
	MT_KINDS,
};

#define MT_SIZE_UNKNOWN (~0ull)
#define MT_BIAS_UNKNOWN (~0ull)

struct mt_frame {
	__u64 sp;       /* stack pointer at the function's entry; 0: no frame */
	__u64 again;    /* stack pointer of a call that enters once more; 0: none does */
	__u64 ptr;      /* realloc: the old block; posix_memalign: where the result goes */
	__u64 old_size; /* realloc: size of the old block, or MT_SIZE_UNKNOWN */
	__u64 request;  /* bytes asked for */
	__u64 ret;      /* NEW kinds: the return address */
	__u64 bias;     /* of the probed file: not all kernels tell a return probe its own */
	__u64 freed;    /* the last block freed: by request, or where `again` is set */
	__u32 kind;     /* enum mt_kind */
	__u32 nested;   /* calls seen inside */
};

/*
 * What a probe of a function whose calls are measured (func.bpf.h) says, ored:
 * several may fall on one instruction.
 */
#define MT_FUNC_ENTRY  1u  /* a call begins */
#define MT_FUNC_EXIT   2u  /* it returns, if the stack pointer is that of its entry */
#define MT_FUNC_TAIL   4u  /* it goes on, for good, where nobody can follow */
#define MT_FUNC_AGAIN  8u  /* a jump back to the entry: it is the same call */
#define MT_FUNC_UNWIND 16u /* an unwinder or longjmp gives the stack pointer its new value */
#define MT_FUNC_POPS   32u /* and the instruction then pops 8 bytes */

/* The call that a thread is in. */
struct mt_call {
	__u64 sp;  /* stack pointer at its entry; 0: in none */
	__u64 ret; /* the return address, as it stood there */
	__u64 mallocs, frees, alloc_bytes, free_bytes;
	__u32 tailed; /* it went on where nobody can follow; 2: to an allocation function */
	__u32 again;  /* its next entry is no new one */
};

/* Of many calls. */
struct mt_func_sums {
	__u64 calls, mallocs, frees, alloc_bytes, free_bytes;
};

/*
 * How many calls had a value: up to 63 each has a bucket, above that each power of
 * two has 32. The last bucket is open-ended.
 */
#define MT_HIST_EXACT   64u
#define MT_HIST_SUB     32u
#define MT_HIST_BUCKETS (MT_HIST_EXACT + 34u * MT_HIST_SUB) /* up to 2^40 */

/* All that is known of a function's calls; one per CPU, user space sums them. */
struct mt_func_counts {
	__u64 entered;
	__u64 nested;             /* recursion: entries that are part of an open call */
	__u64 tailed;             /* calls that went on where nobody can follow */
	__u64 failed_storage;     /* loss: no room for a thread's call */
	struct mt_func_sums back; /* calls that returned */
	struct mt_func_sums left; /* calls that were left otherwise */
	__u64 max_blocks;         /* of those that returned: allocated in one call */
	__u64 max_bytes;
	/* Net live of one call plus 2^63, and its negative plus 2^63; 0: none has returned. */
	__u64 high_blocks, low_blocks, high_bytes, low_bytes;
	__u64 grew, shrank; /* calls whose net bytes are above, below 0 */
	__u64 blocks[MT_HIST_BUCKETS];
	__u64 bytes[MT_HIST_BUCKETS];
	struct mt_class_counts cls[MT_CLASSES]; /* in all calls, open ones too */
};

/* A live block of a process whose sizes are as requested; its size is the map's value. */
struct mt_block {
	__u32 slot;  /* the target's, which no other has until its blocks are dropped */
	__u32 image; /* low bits of its execs */
	__u64 addr;
};

/*
 * A probe's cookie: which file it belongs to, what it probes, and its link-time
 * address: where the file lies in a process follows from where it is hit.
 */
#define MT_COOKIE_ADDR_BITS 40
#define MT_COOKIE_ADDR_MASK ((1ull << MT_COOKIE_ADDR_BITS) - 1)
#define MT_FILES_MAX        4096
#define MT_COOKIE(file, kind, addr)                                                                \
	((__u64)(file) << 48 | (__u64)(kind) << MT_COOKIE_ADDR_BITS | (__u64)(addr))
#define MT_COOKIE_FILE(c) ((__u32)((c) >> 48))
#define MT_COOKIE_KIND(c) ((__u32)((c) >> MT_COOKIE_ADDR_BITS) & 0xff)
#define MT_COOKIE_ADDR(c) ((c)&MT_COOKIE_ADDR_MASK)

/*
 * A file as the kernel's own inode has it: two overlays over one lower file show
 * different ones in stat and are probed as one.
 */
struct mt_file_key {
	/*
	 * The inode's address, which is no other's while it is probed: snapshots of
	 * btrfs have the same numbers for different inodes.
	 */
	__u64 inode;
	__u64 ino; /* 0: could not be read */
	__u32 dev; /* the kernel's dev_t */
	__u32 gen; /* tells a new file under an old number */
	/* 0: its probes serve every process; else they are of this one's, as last moved */
	__u32 tgid;
	__u32 moved;
};

/* Rare events of a process's life, by ring buffer. */
enum mt_life_type {
	MT_LIFE_FORK = 1, /* with memory of its own */
	MT_LIFE_EXEC,
	/* by a thread that was not the leader: probes filtered by process are lost with it */
	MT_LIFE_EXEC_MOVED,
	MT_LIFE_EXIT,    /* of the last thread */
	MT_LIFE_FILE,    /* code of a file that nobody has looked at is mapped */
	MT_LIFE_LEAVING, /* a Go program is about to end: its numbers are final */
	MT_LIFE_MARK,    /* a thread is at one of the marks that are waited for */
	MT_LIFE_OOM,     /* the kernel has picked it as an OOM victim: it is killed already */
};

/* A mark's probe: its cookie says which of the two it is, or both. */
enum mt_mark_what {
	MT_MARK_BEGIN = 1,
	MT_MARK_END = 2,
	MT_MARK_LEFT = 4, /* in an event: the thread that was at the first has ended */
	MT_MARK_EXEC = 8, /* user space's own: the process runs another program now */
};

/* What is waited for: nothing, any thread's BEGIN, or the END of the thread of that number. */
#define MT_MARK_OFF 0u
#define MT_MARK_ANY (~0u)

struct mt_life {
	__u32 type; /* enum mt_life_type */
	__u32 tgid;
	__u32 tid;  /* FILE, LEAVING, MARK: the thread that does so, as the kernel numbers it */
	__u32 held; /* and that waits in the kernel until mt_released has this number; 0: it does
		       not */
	__u64 time; /* CLOCK_MONOTONIC, ns */
	__u64 addr; /* FILE: within the mapping; MARK: enum mt_mark_what */
	/* MARK, OOM: resident and swapped bytes, as roughly as the kernel has them; 0 unknown */
	__u64 rss, swap;
	__u64 copied; /* MARK: the counters are in the mark's own slot, too */
	struct mt_file_key key;
	struct mt_target target;
};

/* One of the rounds in which a thread waits for a file to be looked at. */
#define MT_HOLD_ROUNDS 16
struct mt_hold_key {
	__u32 tid;
	__u32 round; /* from 0; the first one's entry stays as long as the thread may wait */
};

/* What the iterator over mappings writes: code of a file. */
struct mt_code {
	__u32 tgid;
	__u32 pad;
	__u64 start, end;
	struct mt_file_key key;
};

#ifdef __cplusplus
#define MT_SIZE_ASSERT(type, size) static_assert(sizeof(type) == (size), #type)
#else
#define MT_SIZE_ASSERT(type, size) _Static_assert(sizeof(type) == (size), #type)
#endif
MT_SIZE_ASSERT(struct mt_class_counts, 32);
MT_SIZE_ASSERT(struct mt_vm_flow, 32);
MT_SIZE_ASSERT(struct mt_counters, 32 * MT_CLASSES + 32 * MT_VM_CALLS + 80);
MT_SIZE_ASSERT(struct mt_file, 24 + 8 * MT_FILE_PARAMS);
MT_SIZE_ASSERT(struct mt_target, 96);
MT_SIZE_ASSERT(struct mt_frame, 72);
MT_SIZE_ASSERT(struct mt_call, 56);
MT_SIZE_ASSERT(struct mt_func_counts, 176 + 16 * MT_HIST_BUCKETS + 32 * MT_CLASSES);
MT_SIZE_ASSERT(struct mt_block, 16);
MT_SIZE_ASSERT(struct mt_file_key, 32);
MT_SIZE_ASSERT(struct mt_life, 88 + sizeof(struct mt_target));
MT_SIZE_ASSERT(struct mt_code, 56);

#endif
