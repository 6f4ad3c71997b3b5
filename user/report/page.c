/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The page that build.mk puts together of page/ and Debian's dygraphs, in two
 * halves: the data come between them. As the assembler includes it, it costs the
 * compiler nothing.
 */
#include "report/internal.h"

#define EMBED(name, file)                                                                          \
	__asm__(".pushsection .rodata\n"                                                           \
		".globl " #name "\n" #name ":\n"                                                   \
		".incbin \"" file "\"\n"                                                           \
		".byte 0\n"                                                                        \
		".hidden " #name "\n"                                                              \
		".popsection\n")

EMBED(mt_report_head, "page/head.html");
EMBED(mt_report_tail, "page/tail.html");
