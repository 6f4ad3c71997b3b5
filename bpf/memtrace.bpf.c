// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* All programs, one object, one skeleton. */
#include "alloc.bpf.h"
#include "oom.bpf.h"
#include "vm.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
