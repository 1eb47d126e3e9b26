/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * trap IMAGE ENTRY...: the trap host of each image in this process. ENTRY is the
 * offset of vmi_process_post(). The VMM is the handler of the signal that a trap raises.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "tap.h"
#include "vmi_abi.h"

#define IMAGE 0x10000000u
#define MEMORY (IMAGE - 0x100000) /* at any distance */
#define MOVED 0x1000000u	  /* so far away both appear again */
#define PORT 0xe4u
#define VECTOR 0x42u
#define SHARED_FEATURES (VMI_HV_SHARED | VMI_HV_QUEUE | VMI_HV_TIME | VMI_HV_DEFER)
#define OSZAPC 0x8d5u

/* ------------------------------------------------------------------------
 * The VMM
 */
static struct {
	vmi_u32 signature, last, version, transports, where, features, calls[8];
	bool silent, refuses_attach, refuses;
	vmi_u32 agrees; /* what ATTACH returns; 0: the right one */
} vmm;

enum { EAX, EBX, ECX, EDX, ESI, EDI, EBP, FLAGS, REGISTERS };

static struct {
	unsigned traps, attached, detached, delivered, flushed, performed;
	unsigned sti, cli; /* that the ROM ran; CPL 3 may not */
	unsigned number;
	vmi_u32 r[REGISTERS], attach[3];
	struct vmi_queued queue[VMI_SHARED_QUEUED];
} seen;

static bool cpu_if;	     /* CLI and STI as a guest in ring 0 has them */
static vmi_u32 guest_memory; /* linear minus physical */
static const struct vmi_call_record *records;
static volatile vmi_u64 pages[4]; /* what stands for tables of pages */

static struct vmi_shared *area(void)
{
	return (struct vmi_shared *)(seen.attach[1] + guest_memory);
}

static void flush(void)
{
	struct vmi_shared *shared = area();
	vmi_s32 at;

	seen.performed = 0;
	if (!shared->queue_next) /* the VMM has another area */
		return;
	for (at = VMI_QUEUE_EMPTY; at < shared->queue_next && at < 0; at += VMI_QUEUED_SIZE) {
		struct vmi_queued *entry =
			(struct vmi_queued *)((vmi_u32)shared + VMI_SHARED_END + (vmi_u32)at);

		seen.queue[seen.performed++] = *entry;
		entry->call = 0;
	}
	shared->queue_next = VMI_QUEUE_EMPTY;
	seen.flushed++;
}

static const vmi_u32 pattern[4] = { 0xa1b2c3d4, 0x1badcafe, 0x2bad0bad, 0x3beeffee };

static bool hypercall(unsigned number, greg_t *g)
{
	vmi_u32 n = (vmi_u32)g[REG_EAX];

	switch (number) {
	case VMI_HV_INFO:
		if (vmm.silent)
			return false;
		g[REG_EAX] = g[REG_EBX] = g[REG_ECX] = g[REG_EDX] = 0;
		if (n == VMI_HV_INFO_SIGNATURE) {
			g[REG_EAX] = (greg_t)vmm.last;
			g[REG_EBX] = (greg_t)vmm.signature;
			g[REG_ECX] = VMI_HV_SIGNATURE_ECX;
			g[REG_EDX] = VMI_HV_SIGNATURE_EDX;
		} else if (n == VMI_HV_INFO_VERSION) {
			g[REG_EAX] = (greg_t)vmm.version;
			g[REG_EBX] = (greg_t)vmm.transports;
			g[REG_ECX] = (greg_t)vmm.where;
			g[REG_EDX] = (greg_t)vmm.features;
		} else if (n < 4) {
			const vmi_u32 *calls = vmm.calls + 4 * (n - VMI_HV_INFO_CALLS);

			g[REG_EAX] = (greg_t)calls[0];
			g[REG_EBX] = (greg_t)calls[1];
			g[REG_ECX] = (greg_t)calls[2];
			g[REG_EDX] = (greg_t)calls[3];
		}
		return true;
	case VMI_HV_ATTACH:
		if (vmm.refuses_attach)
			return false;
		seen.attached++;
		seen.attach[0] = n;
		seen.attach[1] = (vmi_u32)g[REG_EDX];
		seen.attach[2] = (vmi_u32)g[REG_ECX];
		g[REG_EAX] = (greg_t)(n < vmm.version ? n : vmm.version);
		if (vmm.agrees)
			g[REG_EAX] = (greg_t)vmm.agrees;
		if (seen.attach[1]) {
			memset(area(), 0, sizeof(struct vmi_shared));
			area()->queue_next = VMI_QUEUE_EMPTY;
			area()->interrupts = VMI_IF;
			area()->cr0 = 0x80000011;
			area()->time.wall_version = 5;
		}
		return true;
	case VMI_HV_DETACH:
		seen.detached++;
		return true;
	case VMI_HV_FLUSH:
		flush();
		return true;
	case VMI_HV_DELIVER:
		area()->pending = 0;
		seen.delivered++;
		return true;
	}
	if (vmm.refuses)
		return false;
	if (records[number].defer && seen.attach[1])
		flush();
	if (records[number].out & VMI_A)
		g[REG_EAX] = (greg_t)pattern[0];
	if (records[number].out & VMI_B)
		g[REG_EBX] = (greg_t)pattern[1];
	if (records[number].out & VMI_C)
		g[REG_ECX] = (greg_t)pattern[2];
	if (records[number].out & VMI_D)
		g[REG_EDX] = (greg_t)pattern[3];
	return true;
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	const unsigned char *code = (const unsigned char *)g[REG_EIP];
	vmi_u32 transport = 0;

	(void)info;
	if ((vmm.features & VMI_HV_CPU_IF) && (code[0] | 1) == 0xfb) {
		cpu_if = code[0] == 0xfb;
		seen.sti += cpu_if;
		seen.cli += !cpu_if;
		g[REG_EIP]++;
		return;
	}
	if (code[0] == 0xe7 && code[1] == PORT)
		transport = VMI_HV_OUT;
	else if (code[0] == 0xcd && code[1] == VECTOR)
		transport = VMI_HV_INT;
	else if (code[0] == 0x0f && code[1] == 0x01 && code[2] == 0xc1)
		transport = VMI_HV_VMCALL;
	else if (code[0] == 0x0f && code[1] == 0x01 && code[2] == 0xd9)
		transport = VMI_HV_VMMCALL;
	if (!transport || ((vmi_u32)g[REG_EBP] & VMI_HV_TAG_MASK) != VMI_HV_TAG) {
		printf("Bail out! signal %d at %p, %02x %02x\n", signal, (const void *)code,
		       code[0], code[1]);
		fflush(stdout);
		_exit(1);
	}
	g[REG_EIP] += transport < VMI_HV_OUT ? 3 : 2;
	seen.traps++;
	seen.number = (vmi_u32)g[REG_EBP] & VMI_HV_NUMBER_MASK;
	seen.r[EAX] = (vmi_u32)g[REG_EAX];
	seen.r[EBX] = (vmi_u32)g[REG_EBX];
	seen.r[ECX] = (vmi_u32)g[REG_ECX];
	seen.r[EDX] = (vmi_u32)g[REG_EDX];
	seen.r[ESI] = (vmi_u32)g[REG_ESI];
	seen.r[EDI] = (vmi_u32)g[REG_EDI];
	g[REG_EFL] &= ~1;
	if (!hypercall(seen.number, g))
		g[REG_EFL] |= 1;
}

/* ------------------------------------------------------------------------
 * Calls
 */
struct frame {
	vmi_u32 r[REGISTERS], stack[2], target;
};
struct frame frame;
vmi_u32 frame_esp;
void invoke(void);
void invoke_jump(void);
void invoke_exit(void);
/* Registers in and out of frame; JUMP and EXIT with a frame that comes back here. */
#define LOAD                                                                                       \
	"movl frame,%eax\n\tmovl frame+4,%ebx\n\tmovl frame+8,%ecx\n\tmovl frame+12,%edx\n\t"      \
	"movl frame+16,%esi\n\tmovl frame+20,%edi\n\tmovl frame+24,%ebp\n\t"
#define STORE                                                                                      \
	"movl %eax,frame\n\tmovl %ebx,frame+4\n\tmovl %ecx,frame+8\n\tmovl %edx,frame+12\n\t"      \
	"movl %esi,frame+16\n\tmovl %edi,frame+20\n\tmovl %ebp,frame+24\n\tpushfl\n\t"             \
	"popl frame+28\n\tmovl frame_esp,%esp\n\tpopal\n\tcld\n\tret\n"
__asm__("invoke:\n\tpushal\n\tmovl %esp,frame_esp\n\tpushl frame+36\n\tpushl frame+32\n\t"
	"pushl frame+28\n\tpopfl\n\t" LOAD "call *frame+40\n\t" STORE
	"invoke_exit:\n\tpushal\n\tmovl %esp,frame_esp\n\tpushl frame+28\n\tpushl %cs\n\t"
	"pushl $1f\n\t" LOAD "call *frame+40\n\thlt\n1:\t" STORE
	"invoke_jump:\n\tpushal\n\tmovl %esp,frame_esp\n\tpushl frame+28\n\tpushl %cs\n\t"
	"pushl $1f\n\t" LOAD "jmp *frame+40\n1:\t" STORE);

static const vmi_u32 poison[REGISTERS] = { 0x01234567, 0x12345678, 0x23456789, 0x3456789a,
					   0x456789ab, 0x56789abc, 0x6789abcd, 0x8d7 };

static const struct rom_image {
	struct vmi_rom_header header;
	struct vmi_about about;
} * image;
static vmi_u32 base; /* of the image, as it is called */

static unsigned number_of(unsigned row)
{
	switch (image->header.api_version_major) {
	case 3:
		return records[row].number_3;
	case 13:
		return records[row].number_13;
	}
	return records[row].number_6;
}

static vmi_u64 c_call(vmi_u32 address, vmi_u32 argument)
{
	memcpy(frame.r, poison, sizeof(poison));
	frame.r[EAX] = argument;
	frame.target = address;
	invoke();
	return frame.r[EAX] | (vmi_u64)frame.r[EDX] << 32;
}

static vmi_u32 init(void)
{
	return (vmi_u32)c_call(base + 0x80, 0);
}

#define NAME(name, ...) #name,
static const char *const names[] = { VMI_CALLS(NAME) };

static vmi_u32 symbol_of(const char *name)
{
	const Elf32_Ehdr *elf = (const void *)(IMAGE + VMI_ELF);
	const Elf32_Shdr *sections = (const void *)((vmi_u32)elf + elf->e_shoff), *table = sections;
	const Elf32_Sym *symbol;
	const char *strings;

	while (table->sh_type != SHT_SYMTAB)
		table++;
	symbol = (const void *)((vmi_u32)elf + table->sh_offset);
	strings = (const char *)elf + sections[table->sh_link].sh_offset;
	while (strncmp(strings + symbol->st_name, "VMI_", 4) ||
	       strcmp(strings + symbol->st_name + 4, name))
		symbol++;
	return base + symbol->st_value;
}

static bool in_memory(vmi_u32 address)
{
	return address - guest_memory - MEMORY < VMI_PROCESS_SIZE;
}

/* Where a guest of the revision calls, by name what has no number; *type as GetRelocationInfo says it. */
static vmi_u32 address_of(unsigned row, unsigned *type)
{
	vmi_u64 info;

	*type = VMI_RELOC_CALL;
	if (number_of(row) == VMI_NO)
		return symbol_of(names[row]);
	if (image->header.api_version_major != 3)
		return base + number_of(row) * VMI_SLOT;
	info = c_call(base + VMI_3_GETRELOC, number_of(row));
	*type = info >> 32 & 0xff;
	if (in_memory((vmi_u32)info) && (vmi_u32)info != symbol_of(names[row])) {
		printf("Bail out! %s: binding %#x, symbol %#x\n", names[row], (vmi_u32)info,
		       symbol_of(names[row]));
		exit(1);
	}
	return (vmi_u32)info;
}

/* The stub is none, or begins with its jump to the native one. */
static bool traps(unsigned row)
{
	vmi_u32 stub = symbol_of(names[row]);

	return in_memory(stub) && *(const unsigned char *)stub != 0xeb;
}

static void call(unsigned row, const vmi_u32 *r, vmi_u32 s1, vmi_u32 s2)
{
	unsigned type;

	frame.target = address_of(row, &type);
	memcpy(frame.r, r, sizeof(frame.r));
	frame.stack[0] = s1;
	frame.stack[1] = s2;
	seen.traps = seen.sti = seen.cli = 0;
	seen.number = ~0u;
	if ((records[row].convention & 0xf) == VMI_CONV_JUMP)
		invoke_jump();
	else if ((records[row].convention & 0xf) == VMI_CONV_EXIT)
		invoke_exit();
	else
		invoke();
}

/* With these in EAX, EDX, ECX and poison elsewhere. */
static vmi_u32 simple(unsigned row, vmi_u32 a, vmi_u32 d, vmi_u32 c)
{
	vmi_u32 r[REGISTERS];

	memcpy(r, poison, sizeof(r));
	r[EAX] = a;
	r[EDX] = d;
	r[ECX] = c;
	call(row, r, 0x5151, 0x5252);
	return frame.r[EAX];
}

/* Registers but those of mask, as VMI_A ..., and flags but OSZAPC are what they were. */
static bool kept(const vmi_u32 *r, unsigned mask)
{
	return (mask & VMI_A || frame.r[EAX] == r[EAX]) &&
	       (mask & VMI_B || frame.r[EBX] == r[EBX]) &&
	       (mask & VMI_C || frame.r[ECX] == r[ECX]) &&
	       (mask & VMI_D || frame.r[EDX] == r[EDX]) && frame.r[ESI] == r[ESI] &&
	       frame.r[EDI] == r[EDI] && frame.r[EBP] == r[EBP] &&
	       !((frame.r[FLAGS] ^ r[FLAGS]) & ~OSZAPC & 0x240dff);
}

/* ------------------------------------------------------------------------
 * The image
 */
static const char *path;
static vmi_u32 entry;
static char file[65536];
static size_t file_size;
static int backing;

static void *map(vmi_u32 address, size_t size, off_t offset)
{
	void *p = mmap((void *)address, size, PROT_READ | PROT_WRITE | PROT_EXEC,
		       MAP_SHARED | MAP_FIXED_NOREPLACE, backing, offset);

	if (p != (void *)address) {
		perror("Bail out! mmap");
		exit(1);
	}
	return p;
}

/* A copy of the image as built, its POST done against the VMM as it is now. */
static bool post(void)
{
	bool VMI_REGPARM (*process_post)(vmi_u32, vmi_u32, vmi_u32) = (void *)(IMAGE + entry);

	memcpy((void *)IMAGE, file, file_size);
	memset((void *)MEMORY, 0xcc, VMI_PROCESS_SIZE);
	memset(&seen, 0, sizeof(seen));
	base = IMAGE;
	guest_memory = 0;
	image = (void *)IMAGE;
	records = (void *)(IMAGE + image->about.calls);
	return process_post(IMAGE, MEMORY, PORT);
}

static void sound_vmm(vmi_u32 transport, vmi_u32 features)
{
	memset(&vmm, 0, sizeof(vmm));
	vmm.signature = VMI_HV_SIGNATURE_EBX;
	vmm.last = 3;
	vmm.version = VMI_HV_VERSION;
	vmm.transports = transport;
	vmm.where = PORT | VECTOR << 8;
	vmm.features = features;
	memset(vmm.calls, 0xff, sizeof(vmm.calls));
}

static void want(unsigned row, bool wanted)
{
	vmm.calls[row / 32] &= ~(1u << row % 32);
	vmm.calls[row / 32] |= (vmi_u32)wanted << row % 32;
}

static unsigned char sum(void)
{
	unsigned char total = 0;
	size_t n;

	for (n = 0; n < file_size; n++)
		total += ((const unsigned char *)IMAGE)[n];
	return total;
}

/* The stub is the native one: this entry is written without a trap. */
static bool native_writes(void)
{
	volatile vmi_u32 *page = (volatile vmi_u32 *)pages;
	unsigned type;

	*page = 0;
	seen.traps = 0;
	switch (image->header.api_version_major) {
	case 3:
		address_of(VMI_ID_SetPxE, &type);
		if (type == VMI_RELOC_NONE)
			return true;
		simple(VMI_ID_SetPxE, 0x1067, (vmi_u32)page, 0);
		break;
	case 13:
		simple(VMI_ID_SetPxE_v13, (vmi_u32)page, 0x1067, 0);
		break;
	default:
		simple(VMI_ID_SetPte, 0x1067, (vmi_u32)page, 0);
	}
	return *page == 0x1067;
}

/* ------------------------------------------------------------------------
 * Tests
 */

/* Every call that is not of the interrupt group, by each transport: what arrives, what comes back. */
static void test_generic(vmi_u32 transport, const char *transport_name)
{
	unsigned row, bad = 0, calls = 0;

	sound_vmm(transport, 0);
	ok(post(), "%s, %s: POST finds the VMM", path, transport_name);
	ok(!strcmp(image->about.host, "trap") && !strcmp(image->about.clock, "vmm"),
	   "%s, %s: names of host and clock", path, transport_name);
	ok(sum() == 0, "%s, %s: the checksum is kept", path, transport_name);
	ok(native_writes() && seen.traps == 0, "%s, %s: no trap before Init", path, transport_name);
	ok(init() == 0 && seen.attached == 1 && seen.attach[0] == VMI_HV_VERSION &&
		   !seen.attach[1] && seen.attach[2] == image->header.api_version_major,
	   "%s, %s: Init attaches", path, transport_name);
	for (row = 0; row < VMI_CALL_COUNT; row++) {
		const struct vmi_call_record *record = &records[row];
		unsigned type;

		if (VMI_IS_OWN_CALL(row))
			continue;
		address_of(row, &type);
		if (VMI_IS_IRQ_CALL(row)) {
			bad += in_memory(symbol_of(names[row]));
			continue;
		}
		call(row, poison, 0x5151, 0x5252);
		calls++;
		if (type != VMI_RELOC_CALL || seen.traps != 1 || seen.number != row ||
		    seen.r[EAX] != poison[EAX] || seen.r[EBX] != poison[EBX] ||
		    seen.r[ECX] != poison[ECX] || seen.r[EDX] != poison[EDX] ||
		    seen.r[ESI] != (record->in & VMI_S1 ? 0x5151 : poison[ESI]) ||
		    seen.r[EDI] != (record->in & VMI_S2 ? 0x5252 : poison[EDI]) ||
		    !kept(poison, record->out) ||
		    (record->out & VMI_A && frame.r[EAX] != pattern[0]) ||
		    (record->out & VMI_B && frame.r[EBX] != pattern[1]) ||
		    (record->out & VMI_C && frame.r[ECX] != pattern[2]) ||
		    (record->out & VMI_D && frame.r[EDX] != pattern[3])) {
			printf("# %s: type %u, %u traps, number %#x\n", names[row], type,
			       seen.traps, seen.number);
			bad++;
		}
	}
	ok(!bad && calls > 40, "%s, %s: %u calls trap, once each, and keep registers", path,
	   transport_name, calls);
	vmm.refuses = true;
	ok(native_writes() && seen.traps == 1, "%s, %s: refused, a call is native", path,
	   transport_name);
}

/* Where this process is in a virtual machine, these two would reach another VMM. */
static void test_instruction(vmi_u32 transports, unsigned char last)
{
	const unsigned char code[] = { VMI_ID_WBINVD, 0, 0x4d, 0x56, 0x0f, 0x01, last };

	sound_vmm(transports, 0);
	ok(post() && memmem((void *)MEMORY, VMI_PROCESS_SIZE, code, sizeof(code)),
	   "%s: transports %#x: 0f 01 %02x", path, transports, last);
}

static void test_lies(void)
{
	static const vmi_u32 versions[] = { 0, 0x00020000, 0xffffffff };
	static const vmi_u32 agreements[] = { 0x00010001, 0x00020000, 0x0000ffff, 0xffffffff };
	static const vmi_u32 lasts[] = { 0, VMI_HV_LEAF_STEP, 0xffffffff };
	unsigned n;

	sound_vmm(VMI_HV_OUT, SHARED_FEATURES);
	memcpy(file + VMI_OFFSET(struct rom_image, about.clock), "kvmclock", 8);
	ok(post() && !memcmp(image->about.clock, "vmm\0\0\0\0\0\0\0\0", 12),
	   "%s: the clock's name takes the place of the other one's", path);
	memcpy(file + VMI_OFFSET(struct rom_image, about.clock), "tsc\0\0\0\0", 8);
	vmm.silent = true;
	ok(!post() && !strcmp(image->about.host, "native"), "%s: nobody answers: native", path);
	ok(init() == (vmi_u32)-1, "%s: and CPL 3 is no place for Init then", path);
	vmm.silent = false;
	vmm.signature++;
	ok(!post(), "%s: another signature: native", path);
	for (n = 0; n < 3; n++) {
		sound_vmm(VMI_HV_OUT, SHARED_FEATURES);
		vmm.version = versions[n];
		ok(!post(), "%s: version %#x: native", path, versions[n]);
	}
	for (n = 0; n < 3; n++) {
		sound_vmm(VMI_HV_OUT, SHARED_FEATURES);
		vmm.last = lasts[n];
		ok(!post(), "%s: %#x as the last leaf: native", path, lasts[n]);
	}
	sound_vmm(0xfffffff0, SHARED_FEATURES);
	ok(!post(), "%s: transports that nobody knows: native", path);
	sound_vmm(VMI_HV_OUT, SHARED_FEATURES);
	memset(vmm.calls, 0, sizeof(vmm.calls));
	ok(!post(), "%s: no call wanted: native", path);

	sound_vmm(VMI_HV_OUT, SHARED_FEATURES);
	for (n = 0; n < VMI_CALL_COUNT; n++)
		want(n, VMI_IS_OWN_CALL(n));
	ok(!post(), "%s: only calls wanted that nobody knows, or that are the ROM's: native", path);

	sound_vmm(VMI_HV_OUT | 0xfffffff0, 0xffffffff & ~VMI_HV_CPU_IF);
	vmm.version = VMI_HV_VERSION + 7;
	ok(post() && init() == 0 && seen.attach[0] == VMI_HV_VERSION,
	   "%s: a younger VMM, with features and calls that nobody knows", path);
	for (n = 0; n < 4; n++) {
		sound_vmm(VMI_HV_OUT, SHARED_FEATURES);
		post();
		vmm.agrees = agreements[n];
		ok(init() == (vmi_u32)-1 && seen.detached == 1 && native_writes() && !seen.traps,
		   "%s: attached by version %#x: -1, detached, and calls are native", path,
		   agreements[n]);
	}

	/* Init here is -1, for CPL 3. */
	sound_vmm(VMI_HV_OUT, SHARED_FEATURES);
	post();
	vmm.refuses_attach = true;
	ok(init() == (vmi_u32)-1 && native_writes() && !seen.traps, "%s: ATTACH refused: native",
	   path);
	vmm.refuses_attach = false;
	vmm.silent = true;
	ok(init() == (vmi_u32)-1 && native_writes() && !seen.traps, "%s: silent at Init: native",
	   path);
	vmm.silent = false;
	vmm.features &= ~VMI_HV_TIME;
	ok(init() == (vmi_u32)-1 && native_writes() && !seen.traps,
	   "%s: a feature less at Init: native", path);
	vmm.features |= VMI_HV_TIME;
	vmm.where ^= 0x0100;
	ok(init() == (vmi_u32)-1 && !seen.attached, "%s: another vector at Init: native", path);
	vmm.where ^= 0x0100;
	ok(init() == 0 && seen.attached == 1 && (simple(VMI_ID_WBINVD, 0, 0, 0), seen.traps == 1),
	   "%s: then it is sound again", path);
	vmm.silent = true;
	ok(init() == (vmi_u32)-1 && traps(VMI_ID_WBINVD), "%s: gone after a while: nothing changes",
	   path);
}

/* What GetRelocationInfo answers is what the image had before POST. */
static bool native_binding(unsigned row)
{
	const struct vmi_call_record *built =
		(const void *)(file + ((const struct rom_image *)file)->about.calls);
	unsigned type, policy = built[row].binding & VMI_POLICY;

	if (image->header.api_version_major != 3 || number_of(row) == VMI_NO)
		return true;
	address_of(row, &type);
	return type == (policy ? VMI_RELOC_NONE : built[row].binding & VMI_RELOC_TYPE);
}

/* In mask and out of it, one call at a time. */
static void test_mask(void)
{
	unsigned row, other, bad = 0, type;

	for (row = 0; row < VMI_CALL_COUNT; row++) {
		sound_vmm(VMI_HV_OUT, SHARED_FEATURES);
		memset(vmm.calls, 0, sizeof(vmm.calls));
		want(row, true);
		if (post() !=
		    (!VMI_IS_OWN_CALL(row) && !VMI_IS_IRQ_CALL(row) && !VMI_IS_TIME_CALL(row))) {
			printf("# %s alone\n", names[row]);
			bad++;
		}
	}
	ok(!bad, "%s: each call alone, but those that come in groups", path);
	for (row = 0, bad = 0; row < VMI_CALL_COUNT; row++) {
		bool irq = VMI_IS_IRQ_CALL(row), time = VMI_IS_TIME_CALL(row), now;

		if (VMI_IS_OWN_CALL(row))
			continue;
		sound_vmm(VMI_HV_OUT, SHARED_FEATURES);
		post();
		init();
		/* At the next Init the mask may have shrunk. */
		want(row, false);
		init();
		for (other = 0; other < VMI_CALL_COUNT; other++) {
			if (VMI_IS_OWN_CALL(other))
				continue;
			now = traps(other);
			if (number_of(other) != VMI_NO && image->header.api_version_major == 3)
				now &= in_memory(address_of(other, &type));
			if (other == row)
				bad += !native_binding(other);
			if (now == (other == row || (irq && VMI_IS_IRQ_CALL(other)) ||
				    (time && VMI_IS_TIME_CALL(other)))) {
				printf("# without %s: %s\n", names[row], names[other]);
				bad++;
			}
		}
	}
	ok(!bad, "%s: less at Init: that call, and the group that it is of", path);
	sound_vmm(VMI_HV_OUT, SHARED_FEATURES);
	want(VMI_ID_WBINVD, false);
	post();
	want(VMI_ID_WBINVD, true);
	init();
	ok(!traps(VMI_ID_WBINVD) && traps(VMI_ID_SetCR0), "%s: a mask does not grow", path);
}

/* What waits is asked for, but where the VMM waits for EFLAGS.IF. */
static bool asked(void)
{
	return vmm.features & VMI_HV_CPU_IF ? !seen.traps
					    : seen.traps == 1 && seen.number == VMI_HV_DELIVER;
}

static void test_interrupts(void)
{
	unsigned counts = vmm.features & VMI_HV_CPU_IF ? 1 : 0;
	struct vmi_shared *shared = area();
	unsigned row, bad = 0;
	vmi_u32 r[REGISTERS];

	shared->interrupts = VMI_IF;
	simple(VMI_ID_DisableInterrupts, 1, 2, 3);
	ok(!seen.traps && !shared->interrupts && !seen.cli, "%s: DisableInterrupts, no trap", path);
	ok(simple(VMI_ID_GetInterruptMask, 1, 2, 3) == 0 && !seen.traps,
	   "%s: GetInterruptMask, off", path);
	simple(VMI_ID_EnableInterrupts, 1, 2, 3);
	ok(!seen.traps && shared->interrupts == VMI_IF && seen.sti == counts && !seen.cli,
	   "%s: EnableInterrupts, no trap", path);
	ok(simple(VMI_ID_GetInterruptMask, 1, 2, 3) == VMI_IF && !seen.traps,
	   "%s: GetInterruptMask, on", path);
	shared->interrupts = 0;
	shared->pending = 1;
	simple(VMI_ID_EnableInterrupts, 1, 2, 3);
	ok(asked() && shared->interrupts == VMI_IF &&
		   kept((vmi_u32[]){ 1, poison[EBX], 3, 2, poison[ESI], poison[EDI], poison[EBP],
				     poison[FLAGS] },
			0),
	   "%s: EnableInterrupts delivers what is pending", path);
	shared->pending = 1;
	simple(VMI_ID_SetInterruptMask, ~(vmi_u32)VMI_IF, 2, 3);
	ok(!seen.traps && !shared->interrupts && shared->pending, "%s: SetInterruptMask off", path);
	simple(VMI_ID_SetInterruptMask, VMI_IF, 2, 3);
	ok(asked() && shared->interrupts == VMI_IF, "%s: SetInterruptMask delivers", path);
	shared->pending = 0;
	simple(VMI_ID_SetInterruptMask, VMI_IF | 0x246, 2, 3);
	ok(!seen.traps && shared->interrupts == VMI_IF && seen.sti == counts,
	   "%s: SetInterruptMask on, no trap", path);
	memcpy(r, poison, sizeof(r));
	for (row = 0; row < VMI_CALL_COUNT; row++) {
		bool leaves = (records[row].convention & 0xf) == VMI_CONV_JUMP ||
			      (records[row].convention & 0xf) == VMI_CONV_EXIT;

		if (VMI_IS_OWN_CALL(row) || !VMI_IS_IRQ_CALL(row) || leaves ||
		    row == VMI_ID_SetEFLAGS)
			continue;
		shared->pending = 0;
		call(row, poison, 0, 0);
		if (!kept(poison, records[row].out)) {
			printf("# %s\n", names[row]);
			bad++;
		}
	}
	ok(!bad, "%s: interrupt calls keep registers and flags", path);
	shared->interrupts = VMI_IF;
	r[FLAGS] = 0x8d7;
	call(VMI_ID_SaveAndDisableIRQs, r, 0, 0);
	ok((frame.r[EAX] & 0xfff) == (0x8d7 | VMI_IF) && !shared->interrupts && !seen.traps,
	   "%s: SaveAndDisableIRQs", path);
	call(VMI_ID_GetEFLAGS, r, 0, 0);
	ok((frame.r[EAX] & 0xfff) == 0x8d7 && !seen.traps, "%s: GetEFLAGS", path);
	shared->pending = 1;
	r[EAX] = 0x246 | 0x400;
	call(VMI_ID_SetEFLAGS, r, 0, 0);
	ok((frame.r[FLAGS] & 0xdd5) == 0x444 && asked() && shared->interrupts == VMI_IF,
	   "%s: SetEFLAGS delivers, and sets all flags", path);
	r[EAX] = 0x8d7;
	call(VMI_ID_SetEFLAGS, r, 0, 0);
	ok((frame.r[FLAGS] & 0xdd5) == 0x8d5 && !seen.traps &&
		   shared->interrupts == counts * VMI_IF && seen.cli == counts,
	   "%s: SetEFLAGS off", path);
	if (image->header.api_version_major == 3) {
		unsigned iret, sysexit;

		address_of(VMI_ID_IRET, &iret);
		address_of(VMI_ID_SYSEXIT, &sysexit);
		ok(iret == VMI_RELOC_JUMP && sysexit == VMI_RELOC_JUMP,
		   "%s: IRET and SYSEXIT are JUMPs", path);
	}
	for (row = VMI_ID_IRET; row <= VMI_ID_IRET_v13; row++) {
		shared->interrupts = shared->pending = 0;
		r[FLAGS] = 0x246 | 0x891;
		call(row, r, 0, 0);
		ok(!seen.traps && shared->interrupts == VMI_IF &&
			   !memcmp(r, frame.r, sizeof(r) - 4) &&
			   (frame.r[FLAGS] & 0xfff) == (0x246 | 0x891),
		   "%s: %s on, no trap", path, names[row]);
		shared->interrupts = 0;
		shared->pending = 1;
		call(row, r, 0, 0);
		ok(asked() && shared->interrupts == VMI_IF && !memcmp(r, frame.r, sizeof(r) - 4),
		   "%s: %s delivers", path, names[row]);
		shared->pending = 1;
		r[FLAGS] = 0x46;
		call(row, r, 0, 0);
		ok(!seen.traps && shared->interrupts == counts * VMI_IF &&
			   (frame.r[FLAGS] & ~(vmi_u32)VMI_IF) == 0x46,
		   "%s: %s off", path, names[row]);
	}
	shared->pending = 0;
}

/* Where EFLAGS.IF counts, too: what loads all flags leaves the shared one set. */
static void test_cpu_if(void)
{
	static const unsigned rows[] = { VMI_ID_IRET, VMI_ID_IRET_v13, VMI_ID_SetEFLAGS };
	struct vmi_shared *shared = area();
	unsigned n, bad = 0;
	vmi_u32 r[REGISTERS];

	for (n = 0; n < 6; n++) {
		bool on = n & 1;

		memcpy(r, poison, sizeof(r));
		r[EAX] = r[FLAGS] = on ? 0x246 : 0x46;
		shared->interrupts = 0;
		cpu_if = true;
		call(rows[n / 2], r, 0, 0);
		if (shared->interrupts != VMI_IF || cpu_if || seen.traps) {
			printf("# %s, IF %d: %u traps\n", names[rows[n / 2]], on, seen.traps);
			bad++;
		}
	}
	shared->interrupts = 0;
	cpu_if = false;
	simple(VMI_ID_EnableInterrupts, 1, 2, 3);
	bad += shared->interrupts != VMI_IF || !cpu_if || seen.traps;
	ok(!bad, "%s: VMI_HV_CPU_IF: all flags are the processor's", path);
}

static void test_copies(void)
{
	struct vmi_shared *shared = area();
	static const struct {
		unsigned row, offset;
	} gets[] = {
		{ VMI_ID_GetCR0, VMI_SHARED_CR0 }, { VMI_ID_GetCR2, VMI_SHARED_CR2 },
		{ VMI_ID_GetCR3, VMI_SHARED_CR3 }, { VMI_ID_GetCR4, VMI_SHARED_CR4 },
		{ VMI_ID_GetLDT, VMI_SHARED_LDT }, { VMI_ID_GetTR, VMI_SHARED_TR },
	};
	unsigned n, bad = 0;

	for (n = 0; n < 6; n++) {
		vmi_u32 value = 0x11110000 * n + 0x1234;

		*(vmi_u32 *)((vmi_u32)shared + gets[n].offset) = value;
		bad += simple(gets[n].row, 1, 2, 3) != value || seen.traps || frame.r[EDX] != 2 ||
		       frame.r[ECX] != 3;
	}
	ok(!bad, "%s: Get* read the shared area", path);
	shared->cr0 = 0xffff8033;
	ok(simple(VMI_ID_SMSW, 0x12345678, 2, 3) == 0x12348033 && !seen.traps,
	   "%s: SMSW reads 16 bits of it", path);
}

static void mode(vmi_u32 value)
{
	simple(image->header.api_version_major == 3 ? VMI_ID_SetLazyMode : VMI_ID_SetDeferredMode,
	       value, 2, 3);
}

static void test_queue(void)
{
	struct vmi_shared *shared = area();
	bool v3 = image->header.api_version_major == 3;
	unsigned row, n, bad = 0, traps = 0;

	mode(VMI_DEFER_MMU);
	ok(!seen.traps && shared->defer == VMI_DEFER_MMU, "%s: a mode begins without a trap", path);
	mode(0);
	ok(!seen.traps && !shared->defer, "%s: and ends without one, nothing being queued", path);
	for (row = 0; row < VMI_CALL_COUNT; row++) {
		const struct vmi_queued *entry = seen.queue;
		const struct vmi_call_record *record = &records[row];

		if (VMI_IS_OWN_CALL(row) || !record->defer)
			continue;
		for (n = 1; n < 8; n <<= 1) {
			bool queues = n == record->defer && row != VMI_ID_SetCR0;
			vmi_u32 r[REGISTERS];

			memcpy(r, poison, sizeof(r));
			r[ECX] &= ~(vmi_u32)VMI_PAGE_DEFER;
			r[EDX] &= ~(vmi_u32)VMI_PAGE_DEFER;
			mode(n);
			call(row, r, 0x5110, 0x5252);
			if (seen.traps != !queues || !kept(r, 0))
				printf("# %s in mode %u: %u traps\n", names[row], n, seen.traps),
					bad++;
			seen.performed = 0;
			mode(0);
			if (seen.traps != queues || seen.performed != queues ||
			    (queues && (entry->call != (VMI_HV_TAG | row) || entry->eax != r[EAX] ||
					entry->edx != r[EDX] || entry->ecx != r[ECX] ||
					(record->in & VMI_S1 && entry->esi != 0x5110))))
				printf("# %s in mode %u: %u performed\n", names[row], n,
				       seen.performed),
					bad++;
		}
	}
	ok(!bad, "%s: each call queues in its own mode", path);
	mode(VMI_DEFER_MMU);
	simple(VMI_ID_SetCR3, 0x7654000, 0, 0);
	ok(shared->cr3 == 0x7654000 && simple(VMI_ID_GetCR3, 0, 0, 0) == 0x7654000 && !seen.traps,
	   "%s: GetCR3 reads what is queued", path);
	mode(VMI_DEFER_CPU);
	simple(VMI_ID_SetCR2, 0x1234, 0, 0);
	simple(VMI_ID_SetCR4, 0x91, 0, 0);
	ok(shared->cr2 == 0x1234 && shared->cr4 == 0x91 && !seen.traps, "%s: and CR2, CR4", path);
	mode(0);
	shared->cr4 = 0x10;
	simple(VMI_ID_SetCR4, 0x91, 0, 0);
	ok(seen.traps == 1 && shared->cr4 == 0x10, "%s: not queued, the copy is the VMM's", path);
	if (v3) {
		static const struct {
			unsigned row;
			vmi_u32 d, c, s1;
		} flags[] = {
			{ VMI_ID_SetPxE, 0x5000, 0x20, 0 },
			{ VMI_ID_SetPxELong, 0x5000, 0x6000, 0x20 },
			{ VMI_ID_UpdatePxE, 0x20, 0x6000, 0 },
			{ VMI_ID_UpdatePxELong, 0x20, 0x6000, 0 },
		};

		for (bad = 0, n = 0; n < 4; n++) {
			vmi_u32 r[REGISTERS] = { 0, 0, flags[n].c, flags[n].d, 0, 0, 0, 2 };

			call(flags[n].row, r, flags[n].s1, 0);
			bad += seen.traps != 0 || !kept(r, 0);
		}
		simple(VMI_ID_SetLazyMode, 0, 2, 3);
		ok(!bad && seen.performed == 4, "%s: VMI_PAGE_DEFER", path);
	}
	mode(VMI_DEFER_MMU);
	seen.flushed = 0;
	row = v3 ? VMI_ID_SetPxE : VMI_ID_SetPte;
	for (n = 0; n < 1024; n++) {
		simple(row, n, 0x5000, 1);
		traps += seen.traps;
	}
	ok(traps == 1 && seen.performed == VMI_SHARED_QUEUED,
	   "%s: 1,024 writes: %u trap on the way", path, traps);
	mode(0);
	ok(seen.traps == 1 && seen.performed == 1024 - VMI_SHARED_QUEUED - 1 &&
		   seen.queue[0].eax == VMI_SHARED_QUEUED + 1 &&
		   seen.queue[seen.performed - 1].eax == 1023,
	   "%s: and one at the end", path);
	if (!v3) {
		mode(VMI_DEFER_MMU);
		simple(VMI_ID_FlushDeferredCalls, 0, 0, 0);
		bad = seen.traps;
		simple(row, 0, 0x5000, 1);
		simple(VMI_ID_FlushDeferredCalls, 0, 0, 0);
		ok(!bad && seen.traps == 1 && seen.number == VMI_HV_FLUSH, "%s: FlushDeferredCalls",
		   path);
		mode(0);
	}
}

static vmi_u64 edx_eax(void)
{
	return frame.r[EAX] | (vmi_u64)frame.r[EDX] << 32;
}

struct scale {
	vmi_s8 shift;
	vmi_u32 multiplier;
	vmi_u64 ago; /* so many cycles before the call was system */
};

static vmi_u64 scaled(const struct scale *scale, vmi_u64 cycles)
{
	cycles = scale->shift < 0 ? cycles >> -scale->shift : cycles << scale->shift;
	return (vmi_u64)((long double)cycles * scale->multiplier / 4294967296.0L);
}

static void test_time(void)
{
	volatile struct vmi_shared_time *time = &area()->time;
	static const struct scale scales[] = {
		{ 0, 0x80000000, 0 }, { 1, 0x40000000, 0 },  { -1, 0xffffffff, 0 },
		{ 5, 0x04000000, 0 }, { 31, 0x40000000, 0 }, { -31, 0xffffffff, 1ull << 40 },
	};
	unsigned n;
	vmi_u64 then, passed, got;

	simple(VMI_ID_GetCycleFrequency, 0, 0, 3);
	ok(edx_eax() == 1000000000 && !seen.traps && frame.r[ECX] == 3, "%s: 1 GHz", path);
	for (n = 0; n < sizeof(scales) / sizeof(scales[0]); n++) {
		time->shift = scales[n].shift;
		time->multiplier = scales[n].multiplier;
		time->system[0] = 0xfffffff0;
		time->system[1] = 7;
		time->stolen[0] = 0x10;
		time->stolen[1] = 1;
		time->wall[0] = 0xffffffff;
		time->wall[1] = 0x1000;
		then = __builtin_ia32_rdtsc() - scales[n].ago;
		time->tsc[0] = (vmi_u32)then;
		time->tsc[1] = (vmi_u32)(then >> 32);
		simple(VMI_ID_GetCycleCounter, VMI_CYCLES_REAL, 2, 3);
		got = edx_eax() - 0x7fffffff0;
		passed = __builtin_ia32_rdtsc() - then;
		ok(got && got >= scaled(&scales[n], scales[n].ago) &&
			   got <= scaled(&scales[n], passed) && !seen.traps && frame.r[ECX] == 3 &&
			   frame.r[EBX] == poison[EBX],
		   "%s: the counter, shift %d", path, scales[n].shift);
	}
	time->multiplier = 0;
	simple(VMI_ID_GetCycleCounter, VMI_CYCLES_AVAILABLE, 2, 3);
	ok(edx_eax() == 0x7fffffff0 - 0x100000010 && !seen.traps, "%s: available", path);
	simple(VMI_ID_GetCycleCounter, VMI_CYCLES_STOLEN, 2, 3);
	ok(edx_eax() == 0x100000010 && !seen.traps, "%s: stolen", path);
	simple(VMI_ID_GetCycleCounter, 3, 2, 3);
	ok(edx_eax() == 0 && !seen.traps && frame.r[ECX] == 3, "%s: no such counter", path);
	simple(VMI_ID_GetWallclockTime, 0, 0, 3);
	ok(edx_eax() == 0x7fffffff0 + 0x1000ffffffff && !seen.traps && frame.r[ECX] == 3 &&
		   frame.r[EBX] == poison[EBX],
	   "%s: the wall clock", path);
	ok(simple(VMI_ID_WallclockUpdated, 9, 2, 3) == 0 && frame.r[EDX] == 2, "%s: not stepped",
	   path);
	time->wall_version++;
	ok(simple(VMI_ID_WallclockUpdated, 9, 2, 3) == 1 && !seen.traps, "%s: stepped", path);
	ok(simple(VMI_ID_WallclockUpdated, 9, 2, 3) == 0 && !seen.traps, "%s: once", path);
	simple(VMI_ID_SetAlarm, 1, 2, 3);
	ok(seen.traps == 1 && seen.r[ESI] == 0x5151 && seen.r[EDI] == 0x5252, "%s: SetAlarm traps",
	   path);
}

/* ------------------------------------------------------------------------
 * Call sites: one for each call, with nothing in it that could be run
 */

#define SITE 60
static struct vmi_site sites[VMI_CALL_COUNT];
static unsigned char code[VMI_CALL_COUNT][SITE], original[VMI_CALL_COUNT][SITE],
	again[VMI_CALL_COUNT][SITE], site_kept[VMI_CALL_COUNT * (1 + SITE)];
static unsigned site_count;

static void sites_start(vmi_u32 flags)
{
	unsigned row;

	memset(site_kept, 0, sizeof(site_kept));
	for (site_count = row = 0; row < VMI_CALL_COUNT; row++) {
		if (VMI_IS_OWN_CALL(row))
			continue;
		memset(code[site_count], 0x60 | row, SITE);
		sites[site_count] = (struct vmi_site){ .address = (vmi_u32)code[site_count],
						       .size = SITE,
						       .call = (vmi_u8)row,
						       .flags = (vmi_u8)flags,
						       .live = VMI_LIVE_REGISTERS };
		site_count++;
	}
	memcpy(original, code, sizeof(code));
}

static vmi_u32 patch_sites(struct vmi_patch *request)
{
	return (vmi_u32)c_call(symbol_of("PatchSites"), (vmi_u32)request);
}

static bool patch(vmi_u8 form)
{
	struct vmi_patch request = { .records = (vmi_u32)sites,
				     .count = site_count,
				     .number = site_count,
				     .form = form,
				     .text = (vmi_u32)code,
				     .text_size = sizeof(code),
				     .kept = (vmi_u32)site_kept };

	return patch_sites(&request) == VMI_PATCH_DONE;
}

/* It is what the host wants: the stub that is on, or its code, or the processor's own. */
static bool site_is_right(unsigned n)
{
	const struct vmi_call_record *built =
		(const void *)(file + ((const struct rom_image *)file)->about.calls);
	unsigned row = sites[n].call, size = built[row].inline_size;
	const unsigned char *c = code[n];
	vmi_u32 stub = traps(row) ? symbol_of(names[row]) : base + records[row].stub, to;
	bool jump = (records[row].convention & 0xf) == VMI_CONV_JUMP;

	memcpy(&to, c + (jump ? 1 : SITE - 4), 4);
	to += (vmi_u32)c + (jump ? 5 : SITE);
	if (!traps(row) && (sites[n].flags & VMI_SITE_NATIVE) &&
	    (built[row].binding & VMI_NATIVE || !(built[row].binding & VMI_RELOC_TYPE)))
		return !memcmp(c, original[n], SITE);
	if (!traps(row) && size != VMI_NO_INLINE)
		return to != stub && !memcmp(c, (const void *)stub, size) &&
		       memcmp(c, original[n], SITE);
	return (c[jump ? 0 : SITE - 5] == (jump ? 0xe9 : 0xe8) && to == stub) ||
	       (traps(row) && !memcmp(c, (const void *)stub, 6));
}

/* On the host as Init has just found it, sites that have another one's code. */
static void sites_of(const char *what, vmi_u32 flags)
{
	unsigned n, bad = 0;

	if (!ok(patch(VMI_PATCH_BEST), "%s: sites: %s", path, what))
		return;
	for (n = 0; n < site_count; n++)
		if (!site_is_right(n)) {
			printf("# %s\n", names[sites[n].call]);
			bad++;
		}
	memcpy(again, code, sizeof(code));
	bad += !patch(VMI_PATCH_ORIGINAL) || memcmp(code, original, sizeof(code));
	sites_start(flags);
	bad += !patch(VMI_PATCH_BEST) || memcmp(code, again, sizeof(code));
	ok(!bad, "%s: sites: %s: as if there had been no other host", path, what);
}

static void test_sites(vmi_u32 flags)
{
	vmi_u32 linear = (vmi_u32)image;

	sound_vmm(VMI_HV_OUT, SHARED_FEATURES);
	post();
	sites_start(flags);
	sites_of("before Init", flags);
	init();
	sites_of("a VMM", flags);
	base = linear + MOVED;
	guest_memory = MOVED;
	init();
	sites_of("elsewhere", flags);
	memset(vmm.calls, 0, sizeof(vmm.calls));
	want(VMI_ID_WBINVD, true);
	init();
	sites_of("which wants one call", flags);
	want(VMI_ID_WBINVD, false);
	init();
	sites_of("which wants none", flags);
	memset(vmm.calls, 0xff, sizeof(vmm.calls));
	init();
	sites_of("which wants all again", flags);
}

static unsigned synced;

static VMI_REGPARM void serialize(vmi_u32 address, vmi_u32 size, vmi_u32 argument)
{
	(void)address;
	(void)size;
	(void)argument;
	synced++;
}

/* A CPU may be in what a site that queues has called, while the host becomes another one. */
static void test_move(void)
{
	static unsigned char text[80], before[80], room[1 + 80];
	struct vmi_site site = { .address = (vmi_u32)text,
				 .size = sizeof(text),
				 .call = VMI_ID_SetPxE,
				 .flags = VMI_SITE_LIVE,
				 .live = VMI_LIVE_REGISTERS };
	struct vmi_patch request = { .records = (vmi_u32)&site,
				     .count = 1,
				     .number = 1,
				     .text = (vmi_u32)text,
				     .text_size = sizeof(text),
				     .kept = (vmi_u32)room };

	memset(room, 0, sizeof(room));
	synced = 0;
	sound_vmm(VMI_HV_OUT, SHARED_FEATURES);
	post();
	init();
	ok(patch_sites(&request) == VMI_PATCH_DONE &&
		   room[0] == (VMI_FORM_INLINE | VMI_KEPT_RETURNS),
	   "%s: a site that queues has something behind a CALL", path);
	memset(vmm.calls, 0, sizeof(vmm.calls));
	init();
	memcpy(before, text, sizeof(text));
	request.sync = (vmi_u32)serialize;
	ok(patch_sites(&request) == VMI_PATCH_LIVE && !synced &&
		   !memcmp(before, text, sizeof(text)),
	   "%s: so it is on another host, which does not queue", path);
	request.sync = 0;
	ok(patch_sites(&request) == VMI_PATCH_DONE && room[0] == VMI_FORM_INLINE,
	   "%s: nobody has it: it may change", path);
	memset(vmm.calls, 0xff, sizeof(vmm.calls));
	init();
	request.sync = (vmi_u32)serialize;
	ok(patch_sites(&request) == VMI_PATCH_DONE && room[0] == VMI_FORM_CALL && synced == 3,
	   "%s: back again, live, it is a CALL", path);
	request.form = VMI_PATCH_ORIGINAL;
	ok(patch_sites(&request) == VMI_PATCH_DONE && room[0] == VMI_FORM_ORIGINAL && synced == 6,
	   "%s: or the original", path);
}

static void test_image(void)
{
	FILE *f = fopen(path, "rb");

	file_size = f ? fread(file, 1, sizeof(file), f) : 0;
	if (!file_size || !entry) {
		printf("Bail out! %s\n", path);
		exit(1);
	}
	fclose(f);
	test_generic(VMI_HV_OUT, "OUT");
	test_generic(VMI_HV_INT, "INT");
	test_instruction(VMI_HV_VMCALL | VMI_HV_VMMCALL | VMI_HV_OUT, 0xc1);
	test_instruction(VMI_HV_VMMCALL | VMI_HV_OUT | VMI_HV_INT, 0xd9);
	test_lies();
	test_mask();
	test_sites(0);
	test_sites(VMI_SITE_NATIVE);
	test_move();
	sound_vmm(VMI_HV_OUT, SHARED_FEATURES);
	post();
	ok(init() == 0 && seen.attach[1] == MEMORY, "%s: with a shared area", path);
	test_interrupts();
	test_copies();
	test_queue();
	test_time();
	area()->interrupts = area()->defer = 0x80;
	area()->queue_next = 0; /* full, and an entry is not valid yet */
	ok(init() == 0 && seen.attached == 1 && area()->interrupts == 0x80 && area()->defer == 0x80,
	   "%s: Init again leaves the area alone", path);
	memset(area(), 0, sizeof(struct vmi_shared));
	ok(init() == 0 && seen.attached == 2 && area()->queue_next == VMI_QUEUE_EMPTY,
	   "%s: Init again attaches where another image has attached meanwhile", path);
	/* Init again, where the guest has both elsewhere by now. */
	base = IMAGE + MOVED;
	guest_memory = MOVED;
	ok(init() == 0 && seen.attached == 2, "%s: Init at another linear address", path);
	mprotect((void *)MEMORY, VMI_PROCESS_SIZE, PROT_NONE);
	test_interrupts();
	test_copies();
	test_time();
	mprotect((void *)MEMORY, VMI_PROCESS_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC);
	sound_vmm(VMI_HV_OUT, SHARED_FEATURES | VMI_HV_CPU_IF);
	post();
	if (ok(init() == 0, "%s: with EFLAGS.IF", path)) {
		test_interrupts();
		test_cpu_if();
	}
}

int main(int argc, char **argv)
{
	static char stack[65536];
	const stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction action = { .sa_sigaction = on_signal,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK };
	size_t size = sizeof(file) + VMI_PROCESS_SIZE;
	int n;

	setlinebuf(stdout);
	backing = memfd_create("guest", 0);
	if (backing < 0 || ftruncate(backing, (off_t)size)) {
		perror("Bail out! memfd");
		return 1;
	}
	map(IMAGE, sizeof(file), 0);
	map(MEMORY, VMI_PROCESS_SIZE, sizeof(file));
	map(IMAGE + MOVED, sizeof(file), 0);
	map(MEMORY + MOVED, VMI_PROCESS_SIZE, sizeof(file));
	sigaltstack(&alternate, NULL);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGILL, &action, NULL);
	for (n = 1; n + 1 < argc; n += 2) {
		path = argv[n];
		entry = (vmi_u32)strtoul(argv[n + 1], NULL, 16);
		test_image();
	}
	return tap_done();
}
