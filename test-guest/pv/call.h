/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * System calls: the number in EAX; arguments in EBX, ESI, EDI; the result in EAX. By
 * INT 80h, or by SYSENTER with the return address in EDX and ESP in ECX.
 */
#ifndef PV_SYSTEM_CALLS_H
#define PV_SYSTEM_CALLS_H

#define SYSTEM_CALLS(X)                                                                            \
	X(exit) /* status */                                                                       \
	X(fork) /* 0, or the child's pid */                                                        \
	X(exec) /* name, argument */                                                               \
	X(wait) /* address of the status: pid */                                                   \
	X(getpid)                                                                                  \
	X(getcpu)                                                                                  \
	X(yield)                                                                                   \
	X(sleep)  /* milliseconds */                                                               \
	X(pipe)	  /* address of two files: to read, to write */                                    \
	X(read)	  /* file, address, size */                                                        \
	X(write)  /* file, address, size */                                                        \
	X(close)  /* file */                                                                       \
	X(kill)	  /* pid, signal */                                                                \
	X(signal) /* signal, handler, what the handler returns to */                               \
	X(sigreturn)                                                                               \
	X(map)	  /* pages of zeroes from USER_MAP on; 0: none */                                  \
	X(tls)	  /* base of GS */                                                                 \
	X(time)	  /* address of struct times */                                                    \
	X(ticks)  /* 0: no alarms on this CPU any more; 1: again */                                \
	X(patch)  /* site, VMI_PATCH_BEST or VMI_PATCH_CALLS: what PatchSites returns */           \
	X(ok)	  /* good, name: a test point */                                                   \
	X(bench)  /* name, count, address of a number of cycles */                                 \
	X(memory) /* free frames */

/* clang-format off */
enum system_call {
#define X(name) SYS_##name,
	SYSTEM_CALLS(X)
#undef X
	SYSTEM_CALLS_COUNT
};
/* clang-format on */

struct times {
	unsigned long long cycles, frequency, wall; /* nanoseconds since 1970 */
};

/* What a call that fails returns, and above. */
#define FAILED (-16u)
#define E_BAD (-1u) /* argument */
#define E_MEMORY (-2u)
#define E_SIGNAL (-3u) /* one came; the call has done nothing */
#define E_NONE (-4u)   /* no such child, process, program */

#define SIGNALS 8
#define SIG_KILL 1
#define SIG_FAULT 2
#define SIG_PIPE 3
#define SIG_USER 4

/* Status of who did not exit. */
#define KILLED(signal) (0x100u + (signal))

/* The first program's argument: how many CPUs there are, and a bit for each of these. */
#define BENCHMARKS "fork", "switch", "pipe", "fault", "build"
#define BENCH_FIRST 0x100u

#endif /* PV_SYSTEM_CALLS_H */
