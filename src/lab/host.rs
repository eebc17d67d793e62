//! The machine a run was made on, in words for the manifest. It must not measure anything.

use std::thread;

/// Name and value of what describes this machine.
pub(crate) fn describe() -> Vec<(String, String)> {
    let name = rustix::system::uname();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (cpu, memory) = processor_and_memory();
    [
        ("os", name.sysname().to_string_lossy().into_owned()),
        ("kernel", name.release().to_string_lossy().into_owned()),
        ("architecture", name.machine().to_string_lossy().into_owned()),
        ("cpu", cpu),
        ("cores", cores.to_string()),
        ("memory_bytes", memory.to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// The processor's brand and the memory in bytes; empty and zero where the system will not tell.
fn processor_and_memory() -> (String, u64) {
    let Ok(mut system) = sysinfo::System::new() else { return (String::new(), 0) };
    system.refresh_memory();
    system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
    let brand = system.cpus().first().map(|cpu| cpu.brand().to_owned()).unwrap_or_default();
    (brand, system.total_memory())
}
