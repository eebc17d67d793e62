//! The machine a run was made on, in words for the manifest. It must not measure anything.

use std::thread;

/// Name and value of what describes this machine.
pub(crate) fn describe() -> Vec<(String, String)> {
    let name = rustix::system::uname();
    let Cores { usable, machine } = cores();
    let (cpu, memory) = processor_and_memory();
    let mut host: Vec<(String, String)> = [
        ("os", name.sysname().to_string_lossy().into_owned()),
        ("kernel", name.release().to_string_lossy().into_owned()),
        ("architecture", name.machine().to_string_lossy().into_owned()),
        ("cpu", cpu),
        ("cores", usable.to_string()),
        ("memory_bytes", memory.to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    if usable < machine {
        host.push(("machine_cores".to_owned(), machine.to_string()));
    }
    host
}

/// How many cores there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    /// For this process: `taskset` and control groups (containers, batch systems) may leave it
    /// fewer.
    pub(crate) usable: usize,
    /// In the machine.
    pub(crate) machine: usize,
}

/// Counts them.
pub(crate) fn cores() -> Cores {
    let usable = thread::available_parallelism().map_or(1, usize::from);
    let machine = sysinfo::System::new().map_or(0, |mut system| {
        system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
        system.cpus().len()
    });
    Cores { usable, machine: machine.max(usable) }
}

/// The processor's brand and the memory in bytes; empty and zero where the system will not tell.
fn processor_and_memory() -> (String, u64) {
    let Ok(mut system) = sysinfo::System::new() else { return (String::new(), 0) };
    system.refresh_memory();
    system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
    let brand = system.cpus().first().map(|cpu| cpu.brand().to_owned()).unwrap_or_default();
    (brand, system.total_memory())
}

/// The bytes that this process can still take: what the machine has free, or less where its control
/// group or `ulimit -v` (which batch systems set) says so. `None` where the system will not tell.
pub(crate) fn free_memory() -> Option<u64> {
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_memory();
    let machine = Some(system.available_memory()).filter(|bytes| *bytes > 0);
    let group = system.cgroup_limits().map(|limits| limits.free_memory);
    let limit = rustix::process::getrlimit(rustix::process::Resource::As).current;
    let limit = limit.map(|bytes| bytes.saturating_sub(address_space()) / 5 * 4);
    [machine, group, limit].into_iter().flatten().min()
}

/// Of the address space, what is taken already, and what each thread's heap and stack will reserve
/// whether it touches it or not (glibc: 64 and 2 MiB).
fn address_space() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').next()?.parse::<u64>().ok()).unwrap_or(0);
    let threads = thread::available_parallelism().map_or(1, usize::from) as u64 + 4;
    pages * rustix::param::page_size() as u64 + threads * (66 << 20)
}
