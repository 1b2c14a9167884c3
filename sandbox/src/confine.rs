//! What a child takes away from itself: memory, CPU, files, network, processes.
//!
//! Invariant: the process-wide part happens before the first job is read and cannot be undone from inside.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rlimit::Resource;

use crate::limits::Limits;

/// Room for buffers of the protocol and for the job's input, on top of the highest limit of a job.
const SLACK_BYTES: u64 = 1 << 30;
/// Ticks a second in `/proc/self/stat`; the same on every Linux that Rust runs on.
const TICKS_A_SECOND: u64 = 100;

/// Limits for the child's whole life: no core files, no writing to files, few descriptors, a ceiling for its memory.
pub(crate) fn limit_process(memory_ceiling_bytes: u64) -> io::Result<()> {
    Resource::CORE.set(0, 0)?;
    Resource::FSIZE.set(0, 0)?;
    Resource::NOFILE.set(32, 32)?;
    let hard = memory_ceiling_bytes.saturating_add(SLACK_BYTES);
    Resource::AS.set(hard, hard)
}

/// Reads the child's own use. The files are opened before files are taken away.
#[derive(Debug)]
pub(crate) struct Meter {
    status: File,
    stat: File,
}

impl Meter {
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { status: File::open("/proc/self/status")?, stat: File::open("/proc/self/stat")? })
    }

    /// Sets the soft limits for one job, counted from what is used already.
    pub(crate) fn limit(&self, limits: &Limits, memory_ceiling_bytes: u64) -> io::Result<()> {
        let (_, hard) = Resource::AS.get()?;
        let memory = self.kilobytes("VmSize:")?.saturating_mul(1024).saturating_add(limits.memory_bytes);
        Resource::AS.set(memory.min(hard).min(memory_ceiling_bytes.saturating_add(SLACK_BYTES)), hard)?;
        let (_, hard) = Resource::CPU.get()?;
        // One second more than used and allowed, because the kernel counts whole ones.
        let seconds = self.cpu_seconds()? + limits.cpu.as_secs() + u64::from(limits.cpu.subsec_nanos() > 0) + 1;
        Resource::CPU.set(seconds.min(hard), hard)
    }

    /// Gives the child its own room back between jobs.
    pub(crate) fn lift(&self, memory_ceiling_bytes: u64) -> io::Result<()> {
        let (_, hard) = Resource::AS.get()?;
        Resource::AS.set(hard.min(memory_ceiling_bytes.saturating_add(SLACK_BYTES)), hard)?;
        let (_, hard) = Resource::CPU.get()?;
        Resource::CPU.set(hard, hard)
    }

    /// Resident memory; the parent replaces a child that keeps too much.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.kilobytes("VmRSS:").map_or(u64::MAX, |kilobytes| kilobytes.saturating_mul(1024))
    }

    fn kilobytes(&self, key: &str) -> io::Result<u64> {
        let text = read_again(&self.status)?;
        text.lines()
            .find_map(|line| line.strip_prefix(key))
            .and_then(|rest| rest.split_ascii_whitespace().next())
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| io::Error::other("the kernel does not say how much memory is used"))
    }

    fn cpu_seconds(&self) -> io::Result<u64> {
        let text = read_again(&self.stat)?;
        // The second field is the program's name in brackets and may hold anything; counting starts after it.
        let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
        let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Ok(ticks.div_ceil(TICKS_A_SECOND))
    }
}

fn read_again(file: &File) -> io::Result<String> {
    let mut buffer = [0; 4096];
    let length = file.read_at(&mut buffer, 0)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) use filter::drop_system_calls;

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
pub(crate) fn drop_system_calls() -> Result<(), String> {
    Err("system calls cannot be filtered on this platform".to_owned())
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod filter {
    //! The system call filter. Invariant: it holds for every thread and cannot be taken off.

    use std::collections::BTreeMap;

    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
        apply_filter_all_threads,
    };

    /// Files by path, network, other processes, and doors into the kernel that no parser needs.
    const DENIED: &[i64] = &[
        libc::SYS_openat,
        libc::SYS_openat2,
        libc::SYS_unlinkat,
        libc::SYS_renameat2,
        libc::SYS_mkdirat,
        libc::SYS_linkat,
        libc::SYS_symlinkat,
        libc::SYS_fchmodat,
        libc::SYS_fchownat,
        libc::SYS_truncate,
        libc::SYS_chdir,
        libc::SYS_chroot,
        libc::SYS_mount,
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_accept,
        libc::SYS_accept4,
        libc::SYS_sendto,
        libc::SYS_sendmsg,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_kill,
        libc::SYS_tkill,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_send_signal,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_bpf,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_shmget,
        libc::SYS_inotify_init1,
    ];

    #[cfg(target_arch = "x86_64")]
    const DENIED_OLD: &[i64] = &[
        libc::SYS_open,
        libc::SYS_creat,
        libc::SYS_unlink,
        libc::SYS_rename,
        libc::SYS_renameat,
        libc::SYS_mkdir,
        libc::SYS_rmdir,
        libc::SYS_link,
        libc::SYS_symlink,
        libc::SYS_chmod,
        libc::SYS_chown,
        libc::SYS_fork,
        libc::SYS_vfork,
    ];
    #[cfg(target_arch = "aarch64")]
    const DENIED_OLD: &[i64] = &[];

    /// Applies the filter to all threads. The error says in words what the kernel would not do.
    pub(crate) fn drop_system_calls() -> Result<(), String> {
        apply().map_err(|error| format!("system calls are not filtered: {error}"))
    }

    fn apply() -> Result<(), seccompiler::Error> {
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
            DENIED.iter().chain(DENIED_OLD).map(|number| (*number, Vec::new())).collect();
        // Threads yes, processes no: without CLONE_THREAD it is a fork.
        let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
        rules.insert(libc::SYS_clone, vec![rule(0, SeccompCmpOp::MaskedEq(thread), 0)?]);
        // Aborting is a signal to oneself; to anybody else it is an attack.
        rules.insert(libc::SYS_tgkill, vec![rule(0, SeccompCmpOp::Ne, u64::from(std::process::id()))?]);
        install(rules, libc::EPERM)?;
        // Its arguments lie in memory where a filter cannot look. ENOSYS makes the C library fall back to `clone`.
        install(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS)
    }

    fn rule(argument: u8, comparison: SeccompCmpOp, value: u64) -> Result<SeccompRule, seccompiler::Error> {
        let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, comparison, value)?;
        Ok(SeccompRule::new(vec![condition])?)
    }

    fn install(rules: BTreeMap<i64, Vec<SeccompRule>>, errno: i32) -> Result<(), seccompiler::Error> {
        let filter = SeccompFilter::new(
            rules,
            SeccompAction::Allow,
            SeccompAction::Errno(errno.unsigned_abs()),
            std::env::consts::ARCH.try_into()?,
        )?;
        let program: BpfProgram = filter.try_into()?;
        apply_filter_all_threads(&program)
    }
}
