/* SPDX-License-Identifier: GPL-2.0-only */
/* The first program: the kernel's self-test, and the benchmarks. */
#include "user.h"

#define KERNEL 0xc0100000u

static u32 cpus, frequency_khz;

/* ------------------------------------------------------------------------
 * Children
 */

/* A child that exits with what the function returns. */
static u32 spawn(u32 (*function)(u32), u32 argument)
{
	u32 pid = fork();

	if (!pid)
		exit(function(argument));
	return pid;
}

static u32 join(void)
{
	u32 status;

	return wait(&status) < FAILED ? status : FAILED;
}

static u32 run(u32 (*function)(u32), u32 argument)
{
	return spawn(function, argument) < FAILED ? join() : FAILED;
}

static u64 now(void)
{
	struct times times;

	time(&times);
	return times.cycles;
}

static u32 milliseconds(u64 cycles)
{
	u32 n = 0;

	for (; cycles >= frequency_khz; n++)
		cycles -= frequency_khz;
	return n;
}

/* ------------------------------------------------------------------------
 * Processes and memory
 */

static volatile u32 word = 1, page[1024];
static struct times kernel_writes __attribute__((aligned(4096)));

static u32 changes_word(u32 value)
{
	u32 before = word;
	volatile u64 *cycles = &kernel_writes.cycles;
	bool good = !*cycles;

	time(&kernel_writes);
	good = good && *cycles;
	word = value;
	page[0] = value;
	return good && before == 1 && word == value && page[0] == value ? 10 : 11;
}

static void copy_on_write(void)
{
	bool good = run(changes_word, 2) == 10 && word == 1 && page[0] == 0;
	u32 pid = spawn(changes_word, 3);

	word = 5;
	good = good && pid < FAILED && join() == 10 && word == 5;
	word = 1;
	ok(good, "parent and child see their own data");
}

static u32 square(u32 n)
{
	return n * n & 0xff;
}

static void many_children(void)
{
	u32 i, n, sum = 0, want = 0;

	for (n = 0; n < 60 && spawn(square, n) < FAILED; n++)
		;
	for (i = 0; i < n; i++) {
		sum += join();
		want += square(i);
	}
	ok(n == 60 && sum == want, "60 children at once");
}

static u32 tree(u32 depth)
{
	u32 sum = 0;

	if (!depth)
		return 1;
	spawn(tree, depth - 1);
	spawn(tree, depth - 1);
	sum += join();
	return sum + join();
}

static u32 executes(u32 argument)
{
	if (exec("nothing", 0) != E_NONE)
		return 99;
	exec("status", argument);
	return 98;
}

static void programs(void)
{
	ok(run(tree, 5) == 32, "a tree of 63 processes");
	ok(run(executes, 0) == 0 && run(executes, 42) == 42, "exec, and exit with a status");
	ok(join() == FAILED, "no child is left");
}

static u32 touches(u32 address)
{
	*(volatile u32 *)address = 1;
	return 1;
}

static u32 looks(u32 address)
{
	return *(volatile u32 *)address & 1;
}

static u32 privileged(u32 unused)
{
	(void)unused;
	__asm__ volatile("cli");
	return 1;
}

static void bad_pointers(void)
{
	ok(run(touches, 0) == KILLED(SIG_FAULT) && run(touches, KERNEL) == KILLED(SIG_FAULT) &&
		   run(looks, KERNEL) == KILLED(SIG_FAULT) &&
		   run(touches, 0x08180000) == KILLED(SIG_FAULT),
	   "a bad pointer kills the process only");
	ok(run(privileged, 0) == KILLED(SIG_FAULT), "so does a privileged instruction");
	ok(pipe((u32 *)KERNEL) == E_BAD && pipe(NULL) == E_BAD && wait((u32 *)KERNEL) == E_BAD,
	   "a system call refuses one");
}

#define MAPPED 16384u /* 64 MiB */

static u32 maps(u32 unused)
{
	u32 base = map(MAPPED), i, free;
	bool good = base < FAILED;

	(void)unused;
	for (i = 0; good && i < MAPPED; i++)
		good = *(u32 *)(base + i * 4096) == 0;
	free = memory();
	for (i = 0; good && i < 100; i++)
		*(volatile u32 *)(base + i * 64 * 4096) = i + 1;
	for (i = 0; good && i < 100; i++)
		good = *(u32 *)(base + i * 64 * 4096) == i + 1 &&
		       *(u32 *)(base + (i * 64 + 1) * 4096) == 0;
	good = good && (cpus > 1 || free - memory() == 100);
	map(0);
	return good && run(looks, base) == KILLED(SIG_FAULT);
}

static u32 has_tls(u32 value)
{
	u32 word[1] = { value }, i, got;

	tls(word);
	for (i = 0; i < 50; i++) {
		yield();
		__asm__ volatile("mov %%gs:0, %0" : "=r"(got));
		if (got != value)
			return 0;
	}
	return 1;
}

/* Between any two steps this process may come to another processor. */
static u32 wanders(u32 pages)
{
	u32 base = map(pages), i, j;

	for (i = 0; i < pages; i++) {
		for (j = 0; j < pages; j++)
			if (*(volatile u32 *)(base + j * 4096) != (j < i ? j + 1 : 0))
				return 0;
		sleep(1);
		*(volatile u32 *)(base + i * 4096) = i + 1;
		sleep(1);
	}
	return 1;
}

/* ------------------------------------------------------------------------
 * System calls, pipes, signals
 */

#define EFLAGS_TF_NT "0x4100"

/* SYSENTER clears neither: the kernel has to. */
static u32 call_traced(u32 n)
{
	__asm__ volatile("mov %%esp, %%ecx\n\tmov $1f, %%edx\n\t"
			 "pushf\n\torl $" EFLAGS_TF_NT ", (%%esp)\n\tpopf\n\tsysenter\n1:"
			 : "+a"(n)
			 :
			 : "ecx", "edx", "cc", "memory");
	return n;
}

static void entries(void)
{
	u32 files[2];

	if (!fast) {
		ok(true, "SYSENTER # SKIP the processor has none");
		return;
	}
	ok(call_int80(SYS_getpid, 0, 0, 0) == call_sysenter(SYS_getpid, 0, 0, 0) &&
		   call_int80(SYS_exec, 0, 0, 0) == call_sysenter(SYS_exec, 0, 0, 0) &&
		   call_int80(SYS_pipe, (u32)files, 0, 0) == 0 &&
		   call_sysenter(SYS_close, files[0], 0, 0) == 0 &&
		   call_int80(SYS_close, files[1], 0, 0) == 0 &&
		   call_int80(1000, 0, 0, 0) == call_sysenter(1000, 0, 0, 0),
	   "SYSENTER and INT 80h give the same");
	ok(call_traced(SYS_getpid) == getpid(), "SYSENTER with TF and NT");
}

#define PRODUCED 20000

static u32 produces(u32 file)
{
	u32 i, n;
	u8 data[77];

	for (i = 0; i < PRODUCED; i += n) {
		for (n = 0; n < sizeof(data) && i + n < PRODUCED; n++)
			data[n] = (u8)((i + n) * 7);
		if (write(file, data, n) != n)
			return 1;
	}
	return 0;
}

/* All that comes is as produces() wrote it, plus an offset. */
static bool consumes(u32 file, u32 offset)
{
	u32 total = 0, n, i;
	u8 data[100];

	do {
		n = read(file, data, sizeof(data));
		for (i = 0; n < FAILED && i < n; i++)
			if (data[i] != (u8)((total + i) * 7 + offset))
				return false;
		total += n;
	} while (n && n < FAILED);
	return total == PRODUCED;
}

static void producer_and_consumer(void)
{
	u32 files[2];
	bool good = pipe(files) == 0 && spawn(produces, files[1]) < FAILED;

	close(files[1]);
	good = good && consumes(files[0], 0);
	close(files[0]);
	ok(join() == 0 && good, "20,000 bytes through a pipe");
}

static void chain(void)
{
	u32 first[2], in, files[2], i;
	bool good = pipe(first) == 0 && spawn(produces, first[1]) < FAILED;

	close(first[1]);
	in = first[0];
	for (i = 0; good && i < 5; i++) {
		good = pipe(files) == 0;
		if (!fork()) {
			close(files[0]);
			exec("filter", in | files[1] << 4);
			exit(3);
		}
		close(in);
		close(files[1]);
		in = files[0];
	}
	good = good && consumes(in, 5);
	close(in);
	for (i = 0; i < 6; i++)
		good = join() == 0 && good;
	ok(good, "and through five programs");
}

static u32 writes_to_nobody(u32 unused)
{
	u32 files[2];

	(void)unused;
	pipe(files);
	close(files[0]);
	return write(files[1], "x", 1) & 0xff;
}

static volatile u32 handled;

static void handler(u32 number)
{
	handled += number;
}

static void fault_handler(u32 number)
{
	exit(number + 40);
}

static u32 signals_parent(u32 pid)
{
	return kill(pid, SIG_USER);
}

static u32 sleeps(u32 ms)
{
	sleep(ms);
	return 1;
}

static u32 spins(u32 forever)
{
	while (forever)
		;
	return 0;
}

static u32 reads(u32 file)
{
	u8 byte;

	return read(file, &byte, 1);
}

static u32 handles_fault(u32 address)
{
	signal(SIG_FAULT, fault_handler);
	return touches(address);
}

static bool dies(u32 (*function)(u32), u32 argument)
{
	u32 pid = spawn(function, argument);

	sleep(20);
	return pid < FAILED && kill(pid, SIG_KILL) == 0 && join() == KILLED(SIG_KILL);
}

static void signals(void)
{
	u32 files[2], eax = SYS_kill, ebx = getpid(), esi = SIG_USER, edi = 0x9abcdef0;

	handled = 0;
	signal(SIG_USER, handler);
	__asm__ volatile("int $0x80" : "+a"(eax), "+b"(ebx), "+S"(esi), "+D"(edi) : : "memory");
	ok(handled == SIG_USER && eax == 0 && ebx == getpid() && esi == SIG_USER &&
		   edi == 0x9abcdef0,
	   "a handler runs, and no register is lost");
	spawn(signals_parent, getpid());
	while (handled == SIG_USER)
		;
	ok(join() == 0 && handled == 2 * SIG_USER, "also while the program spins");
	pipe(files);
	ok(dies(spins, 1) && dies(sleeps, 100000) && dies(reads, files[0]),
	   "who spins, sleeps or reads can be killed");
	close(files[0]);
	close(files[1]);
	ok(run(handles_fault, 0) == 40 + SIG_FAULT, "a fault can be handled");
	ok(run(writes_to_nobody, 0) == KILLED(SIG_PIPE), "a pipe that nobody reads");
}

/* ------------------------------------------------------------------------
 * Time and processors
 */

/* For a while; 1: somebody else had the CPU meanwhile. */
static u32 spins_a_while(u32 ms)
{
	u64 start = rdtsc(), last = start, t = start;
	bool gap = false;

	for (; t - start < (u64)ms * frequency_khz; last = t) {
		t = rdtsc();
		gap = gap || t - last > 4ull * frequency_khz;
	}
	return gap;
}

static void preemption(void)
{
	u32 i, gaps = 0;

	for (i = 0; i < 2 * cpus; i++)
		spawn(spins_a_while, 150);
	for (i = 0; i < 2 * cpus; i++)
		gaps += join();
	ok(gaps == 2 * cpus, "who spins is not alone");
}

static u32 where(u32 ms)
{
	u64 end = now() + (u64)ms * frequency_khz;
	u32 set = 0;

	while (now() < end)
		set |= 1u << getcpu();
	return set;
}

static void processors(void)
{
	u32 all = (1u << cpus) - 1, set = 0, rounds, i;

	for (rounds = 0; set != all && rounds < 20; rounds++) {
		for (i = 0; i < 2 * cpus; i++)
			spawn(where, 100);
		for (i = 0; i < 2 * cpus; i++)
			set |= join();
	}
	ok(set == all, "every processor runs processes");
}

static u32 works(u32 ms)
{
	u64 end = now() + (u64)ms * frequency_khz;
	bool good = true;

	while (now() < end)
		good = good && run(tree, 1) == 2;
	return good;
}

/* Sites of the kernel become others while all processors run them. */
static void patches(void)
{
	u32 sum = 0, refused = 0, site, i;

	if (patch(0, VMI_PATCH_BEST) == E_NONE) {
		ok(true, "sites that change # SKIP not in this mode");
		return;
	}
	for (i = 0; i < 2 * cpus; i++)
		spawn(works, 300);
	for (site = 0; (i = patch(site, VMI_PATCH_CALLS)) != E_NONE; site += 5)
		refused += i || patch(site, VMI_PATCH_BEST);
	for (i = 0; i < 2 * cpus; i++)
		sum += join();
	ok(!refused && sum == 2 * cpus, "sites change while they run");
}

static void clocks(void)
{
	struct times a, b;
	u32 cycles, wall;

	time(&a);
	sleep(200);
	time(&b);
	cycles = milliseconds(b.cycles - a.cycles);
	for (wall = 0; (u64)(wall + 1) * 1000000 <= b.wall - a.wall && wall < 100000; wall++)
		;
	ok(cycles >= 200 && cycles < 20000, "an idle machine wakes");
	ok(wall + 50 > cycles && wall < cycles + 50 && a.wall >> 32 > 0x14000000,
	   "the wall clock advances");
}

/* ------------------------------------------------------------------------
 * Benchmarks: cycles, which are instructions under -icount shift=0
 */

static u32 ping(u32 files)
{
	u8 byte;

	while (read(files & 15, &byte, 1) == 1)
		write(files >> 4, &byte, 1);
	return 0;
}

static u32 yields(u32 n)
{
	while (n--)
		yield();
	return 0;
}

static u32 one_fork(u32 count)
{
	u32 i;

	for (i = 0; i < count; i++)
		run(executes, 0);
	return count;
}

/* Two processes; each turn is a switch. */
static u32 one_switch(u32 count)
{
	spawn(yields, count / 2);
	yields(count / 2);
	join();
	return count;
}

static u32 one_pipe(u32 count)
{
	u32 to[2], from[2], i;
	u8 byte = 1;

	pipe(to);
	pipe(from);
	if (!fork()) {
		close(to[1]);
		close(from[0]);
		exit(ping(to[0] | from[1] << 4));
	}
	close(to[0]);
	close(from[1]);
	for (i = 0; i < count; i++) {
		write(to[1], &byte, 1);
		read(from[0], &byte, 1);
	}
	close(to[1]);
	close(from[0]);
	join();
	return count;
}

/* Writes to pages that are shared until then. */
static u32 one_fault(u32 count)
{
	u32 base = map(count), i;

	for (i = 0; i < count; i++)
		*(volatile u32 *)(base + i * 4096) = i;
	map(0);
	return count;
}

static u32 one_build(u32 count)
{
	u32 i;

	for (i = 0; i < count; i++) {
		map(MAPPED);
		map(0);
	}
	return count;
}

static void benchmarks(u32 which)
{
	static const char *const names[] = { BENCHMARKS };
	static u32 (*const functions[])(u32) = { one_fork, one_switch, one_pipe, one_fault,
						 one_build };
	static const u32 counts[] = { 200, 2000, 1000, 2000, 10 };
	u64 start;
	u32 i, count;

	ticks(false);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!(which & BENCH_FIRST << i))
			continue;
		functions[i](counts[i] / 10);
		start = rdtsc();
		count = functions[i](counts[i]);
		start = rdtsc() - start;
		bench(names[i], count, &start);
	}
	ticks(true);
}

/* The pages that this program is going to have anyhow. */
static void touch(void)
{
	extern volatile u8 _start[], _end[];
	volatile u8 *p, stack[8192];

	for (p = _start; p < _end; p += 4096)
		__asm__ volatile("orb $0, %0" : "+m"(*p));
	stack[0] = stack[4096] = 0;
}

u32 user_main(u32 argument)
{
	struct times times;
	u32 free;

	cpus = argument & (BENCH_FIRST - 1);
	time(&times);
	frequency_khz = 0;
	while (times.frequency >= 1000) {
		u32 part = times.frequency >> 32 ? 1u << 20 : (u32)times.frequency / 1000;

		frequency_khz += part;
		times.frequency -= (u64)part * 1000;
	}
	if (argument >= BENCH_FIRST) {
		benchmarks(argument);
		return 0;
	}
	touch();
	free = memory();
	copy_on_write();
	many_children();
	programs();
	bad_pointers();
	ok(run(maps, 0) == 1, "64 MiB of pages");
	ok(run(wanders, 20) == 1, "every processor sees the same pages");
	entries();
	producer_and_consumer();
	chain();
	signals();
	spawn(has_tls, 1);
	ok(run(has_tls, 2) + join() == 2, "each has its own GS");
	clocks();
	preemption();
	processors();
	patches();
	ok(memory() == free, "no memory is lost");
	return 0;
}
