/* SPDX-License-Identifier: GPL-2.0-only */
/* What a program has: system calls. One C file is one program. */
#ifndef USER_H
#define USER_H

#include "../call.h"

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

u32 user_main(u32 argument);
void user_start(u32 argument);

static bool fast; /* the processor has SYSENTER */

static inline u32 call_int80(u32 n, u32 a, u32 b, u32 c)
{
	__asm__ volatile("int $0x80" : "+a"(n) : "b"(a), "S"(b), "D"(c) : "memory");
	return n;
}

static inline u32 call_sysenter(u32 n, u32 a, u32 b, u32 c)
{
	__asm__ volatile("mov %%esp, %%ecx\n\tmov $1f, %%edx\n\tsysenter\n1:"
			 : "+a"(n)
			 : "b"(a), "S"(b), "D"(c)
			 : "ecx", "edx", "memory");
	return n;
}

static inline u32 call(u32 n, u32 a, u32 b, u32 c)
{
	return fast ? call_sysenter(n, a, b, c) : call_int80(n, a, b, c);
}

#define exit(status) call(SYS_exit, status, 0, 0)
#define fork() call(SYS_fork, 0, 0, 0)
#define exec(name, argument) call(SYS_exec, (u32)(name), argument, 0)
#define wait(status) call(SYS_wait, (u32)(status), 0, 0)
#define getpid() call(SYS_getpid, 0, 0, 0)
#define getcpu() call(SYS_getcpu, 0, 0, 0)
#define yield() call(SYS_yield, 0, 0, 0)
#define sleep(ms) call(SYS_sleep, ms, 0, 0)
#define pipe(files) call(SYS_pipe, (u32)(files), 0, 0)
#define read(file, to, size) call(SYS_read, file, (u32)(to), size)
#define write(file, from, size) call(SYS_write, file, (u32)(from), size)
#define close(file) call(SYS_close, file, 0, 0)
#define kill(pid, signal) call(SYS_kill, pid, signal, 0)
#define map(pages) call(SYS_map, pages, 0, 0)
#define tls(base) call(SYS_tls, (u32)(base), 0, 0)
#define time(times) call(SYS_time, (u32)(times), 0, 0)
#define ticks(on) call(SYS_ticks, on, 0, 0)
#define ok(good, name) call(SYS_ok, good, (u32)(name), 0)
#define bench(name, count, cycles) call(SYS_bench, (u32)(name), count, (u32)(cycles))
#define memory() call(SYS_memory, 0, 0, 0)

/* A handler returns to SYS_sigreturn. */
void signal_restorer(void);
__asm__("signal_restorer:\n"
	"mov $signal_return_call, %eax\n"
	"int $0x80\n");
#define signal(number, handler) call(SYS_signal, number, (u32)(handler), (u32)signal_restorer)

static inline u64 rdtsc(void)
{
	u64 value;

	__asm__ volatile("rdtsc" : "=A"(value));
	return value;
}

void user_start(u32 argument)
{
	u32 a = 1, b, c, d;

	__asm__(".set signal_return_call, %c0" : : "i"(SYS_sigreturn));
	__asm__("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
	fast = d >> 11 & 1;
	exit(user_main(argument));
}

#endif /* USER_H */
