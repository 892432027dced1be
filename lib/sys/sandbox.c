#include "lib/sys/sandbox.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

/* Sanitizers want memory without end, files to name source lines, and a process to look for leaks. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* What came to Landlock after the headers this may be built with. */
#define FS_TRUNCATE (UINT64_C(1) << 14)  /* ABI 3 */
#define FS_IOCTL_DEV (UINT64_C(1) << 15) /* ABI 5 */
#define NET_BIND_TCP (UINT64_C(1) << 0)  /* ABI 4 */
#define NET_CONNECT_TCP (UINT64_C(1) << 1)
#define SCOPE_ABSTRACT_UNIX (UINT64_C(1) << 0) /* ABI 6 */
#define SCOPE_SIGNAL (UINT64_C(1) << 1)

#define FS_FIRST (LANDLOCK_ACCESS_FS_REFER - 1) /* all of ABI 1 */

/* Kernels take a longer struct than theirs as long as what they do not know is zero. */
struct ruleset {
	uint64_t fs, net, scope;
};

static int
limit(int what, uint64_t value, struct err *e)
{
	struct rlimit now;

	if (getrlimit((__rlimit_resource_t)what, &now) < 0)
		return err_sys(e, "getrlimit");
	if (value < now.rlim_max)
		now.rlim_max = value;
	now.rlim_cur = now.rlim_max;
	return setrlimit((__rlimit_resource_t)what, &now) < 0 ? err_sys(e, "setrlimit") : 0;
}

static int
set_limits(const struct sandbox *s, struct err *e)
{
	if (limit(RLIMIT_CORE, 0, e) < 0 || limit(RLIMIT_FSIZE, s->file_bytes, e) < 0 ||
	    limit(RLIMIT_NOFILE, s->open_files, e) < 0)
		return -1;
	return SANITIZED ? 0 : limit(RLIMIT_DATA, s->memory_bytes, e);
}

/* What this user cannot do is not done, and said. */
static void
note(struct strv *notes, const char *what)
{
	strv_add(notes, xasprintf("%s: %s", what, strerror(errno)));
}

static void
drop_capabilities(struct strv *notes)
{
	const int bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
	    SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	const struct __user_cap_data_struct none[2] = { { 0, 0, 0 }, { 0, 0, 0 } };

	if (prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0)
		note(notes, "no securebits");
	/* Up to the last one that this kernel knows. */
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
			note(notes, "no bounding set");
			break;
		}
	if (syscall(SYS_capset, &header, none) < 0)
		note(notes, "capabilities are kept");
}

static int
drop_root(const struct sandbox *s, struct strv *notes, struct err *e)
{
	const gid_t gid = s->gid >= 0 ? (gid_t)s->gid : getegid();
	const uid_t uid = s->uid >= 0 ? (uid_t)s->uid : 0;
	struct stat st;

	if (setgroups(0, NULL) < 0)
		note(notes, "groups are kept");
	if (setresgid(gid, gid, gid) < 0)
		return err_sys(e, "become group %lu", (unsigned long)gid);
	/* Securebits want a capability which another user would not have any more. */
	if (uid != 0 && setresuid(uid, uid, uid) < 0)
		return err_sys(e, "become user %lu", (unsigned long)uid);
	if (fstat(s->dirs[0].fd, &st) < 0)
		return err_sys(e, "stat the directory");
	if (st.st_uid != uid) {
		strv_add(notes, xstrdup("capabilities are kept: the directory is another user's"));
		return 0;
	}
	drop_capabilities(notes);
	return 0;
}

static uint64_t
rights(unsigned int may)
{
	uint64_t fs = 0;

	if (may & SANDBOX_READ)
		fs |= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
	if (may & SANDBOX_WRITE)
		fs |= LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_WRITE_FILE |
		    LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR |
		    LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER | FS_TRUNCATE;
	if (may & SANDBOX_REMOVE)
		fs |= LANDLOCK_ACCESS_FS_REMOVE_FILE;
	return fs;
}

static int
allow(int ruleset, int dir, uint64_t fs, struct err *e)
{
	const struct landlock_path_beneath_attr rule = { fs, dir };

	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return err_sys(e, "Landlock: allow a directory");
	return 0;
}

static int
restrict_self(const struct sandbox *s, const struct ruleset *all, struct err *e)
{
	AUTO_CLOSE int root = SANITIZED ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	AUTO_CLOSE int ruleset =
	    (int)syscall(SYS_landlock_create_ruleset, all, sizeof *all, (uint32_t)0);

	if (ruleset < 0)
		return err_sys(e, "Landlock: make a ruleset");
	for (size_t i = 0; i < MEM_COUNT(s->dirs); i++)
		if (s->dirs[i].fd >= 0 &&
		    allow(ruleset, s->dirs[i].fd, rights(s->dirs[i].may) & all->fs, e) < 0)
			return -1;
	if (root >= 0 && allow(ruleset, root, rights(SANDBOX_READ), e) < 0)
		return -1;
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return err_sys(e, "Landlock: restrict this process");
	return 0;
}

static int
enter_landlock(const struct sandbox *s, struct strv *notes, struct err *e)
{
	struct ruleset all = { .fs = FS_FIRST | LANDLOCK_ACCESS_FS_REFER };
	long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0,
	    (uint32_t)LANDLOCK_CREATE_RULESET_VERSION);

	if (abi < 0) {
		note(notes, "no Landlock");
		return 0;
	}
	/* The first one forbids hard links from one directory to another, which artifacts have. */
	if (abi < 2) {
		strv_add(notes, xstrdup("no Landlock: this kernel's is too old (ABI 1)"));
		return 0;
	}
	if (abi >= 3)
		all.fs |= FS_TRUNCATE;
	if (abi >= 4)
		all.net = NET_BIND_TCP | NET_CONNECT_TCP;
	if (abi >= 5)
		all.fs |= FS_IOCTL_DEV;
	if (abi >= 6)
		all.scope = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
	return restrict_self(s, &all, e);
}

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__i386__)
#define ARCH AUDIT_ARCH_I386
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define ARCH AUDIT_ARCH_AARCH64
#elif defined(__arm__) && defined(__ARMEL__)
#define ARCH AUDIT_ARCH_ARM
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH AUDIT_ARCH_RISCV64
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define ARCH AUDIT_ARCH_PPC64LE
#elif defined(__s390x__)
#define ARCH AUDIT_ARCH_S390X
#endif

#ifdef ARCH
/* Where clone(2) takes its flags. */
#ifdef __s390x__
#define CLONE_FLAGS_AT 1
#else
#define CLONE_FLAGS_AT 0
#endif

#define LOW_WORD(field) \
	((uint32_t)(offsetof(struct seccomp_data, field) + \
	    (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0)))
#define LOAD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (at))
#define UNLESS(test, value, skip) BPF_JUMP(BPF_JMP | (test) | BPF_K, (value), 0, (skip))
#define ANSWER(code) BPF_STMT(BPF_RET | BPF_K, (code))
#define NO(error) ANSWER(SECCOMP_RET_ERRNO | (error))
#define DENY(call) UNLESS(BPF_JEQ, SYS_##call, 1), NO(EPERM)

static const struct sock_filter filter[] = {
	LOAD(offsetof(struct seccomp_data, arch)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
	NO(EPERM),
	LOAD(offsetof(struct seccomp_data, nr)),
#ifdef __x86_64__
	/* The calls of x32, a second set of numbers. */
	UNLESS(BPF_JGE, 0x40000000, 1),
	NO(EPERM),
#endif
	/* Sockets, and what can be used in their place. */
	DENY(socket),
	DENY(socketpair),
	DENY(connect),
	DENY(bind),
	DENY(listen),
	DENY(accept4),
	DENY(sendto),
	DENY(sendmsg),
	DENY(sendmmsg),
	DENY(recvmsg),
#ifdef SYS_socketcall
	DENY(socketcall),
#endif
	DENY(io_uring_setup),
	/* Other programs and processes. A thread is fine. */
	DENY(execve),
	DENY(execveat),
#ifdef SYS_fork
	DENY(fork),
	DENY(vfork),
#endif
	DENY(ptrace),
	DENY(process_vm_readv),
	DENY(process_vm_writev),
	DENY(pidfd_open),
	DENY(pidfd_getfd),
	DENY(pidfd_send_signal),
	DENY(kill),
	DENY(rt_sigqueueinfo),
	DENY(setpriority),
	/* Files in ways that Landlock does not see, or that nothing here needs. */
	DENY(mknodat),
#ifdef SYS_mknod
	DENY(mknod),
#endif
	DENY(open_by_handle_at),
	DENY(name_to_handle_at),
	DENY(setxattr),
	DENY(lsetxattr),
	DENY(fsetxattr),
	DENY(mount),
	DENY(umount2),
	DENY(move_mount),
	DENY(open_tree),
	DENY(fsopen),
	DENY(mount_setattr),
	DENY(pivot_root),
	DENY(chroot),
	DENY(unshare),
	DENY(setns),
	DENY(swapon),
	/* Large and rarely used parts of the kernel. */
	DENY(bpf),
	DENY(perf_event_open),
	DENY(userfaultfd),
	DENY(keyctl),
	DENY(add_key),
	DENY(request_key),
	DENY(init_module),
	DENY(finit_module),
	DENY(kexec_load),
	DENY(personality),
	DENY(reboot),
	DENY(sethostname),
	DENY(clock_settime),
	/* Its flags are in memory, where a filter cannot look; without it, the C library takes clone. */
	UNLESS(BPF_JEQ, SYS_clone3, 1),
	NO(ENOSYS),
	UNLESS(BPF_JEQ, SYS_clone, 3),
	LOAD(LOW_WORD(args[CLONE_FLAGS_AT])),
	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x00010000 /* CLONE_THREAD */, 1, 0),
	NO(EPERM),
	ANSWER(SECCOMP_RET_ALLOW),
};

static int
filter_calls(void)
{
	const struct sock_fprog program = { MEM_COUNT(filter), (struct sock_filter *)filter };

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}
#else
static int
filter_calls(void)
{
	errno = ENOSYS;
	return -1;
}
#endif

/* To become another user or group takes back what was agreed: to die with whoever started this. */
static int
drop_root_but_die(const struct sandbox *s, struct strv *notes, struct err *e)
{
	const pid_t parent = getppid();
	int with = 0;

	(void)prctl(PR_GET_PDEATHSIG, &with);
	if (drop_root(s, notes, e) < 0)
		return -1;
	if (with != 0 && prctl(PR_SET_PDEATHSIG, with) < 0)
		return err_sys(e, "agree to die with the parent");
	return with == 0 || getppid() == parent ? 0 : err_set(e, ERR_FAIL, "the parent is gone");
}

int
sandbox_enter(const struct sandbox *s, struct strv *notes, struct err *e)
{
	if (set_limits(s, e) < 0)
		return -1;
	if (geteuid() == 0 && drop_root_but_die(s, notes, e) < 0)
		return -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, "give up new privileges");
	if (enter_landlock(s, notes, e) < 0)
		return -1;
	if (!SANITIZED && filter_calls() < 0)
		note(notes, "no seccomp");
	return 0;
}
