//! `lab doctor`: is this machine fit for live runs? It must not change anything but its own limits.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use live::load::artillery::install::{self, InstallError};
use rustix::process::{Resource, getrlimit};

use crate::cli::DoctorArgs;
use crate::exit::{Exit, Failure};
use crate::host::{self, Cores};

/// What a check found.
enum Finding {
    /// As it should be.
    Fine(String),
    /// Runs will work, with this limit.
    Limited(String),
    /// Live runs will not work until this is done.
    Broken(String),
}

use crate::say::say;
use Finding::{Broken, Fine, Limited};

/// One look at the machine.
type Check = fn() -> Finding;

/// Prints what each check found; exit 4 when a live run cannot work.
pub(crate) fn doctor(_: &DoctorArgs) -> Result<Exit, Failure> {
    let checks: [(&str, Check); 8] = [
        ("cores", cores),
        ("file descriptors", descriptors),
        ("ephemeral ports", ports),
        ("loopback", loopback),
        ("timers", timers),
        ("stolen CPU", steal),
        ("reports folder", reports),
        ("Artillery", artillery),
    ];
    let mut exit = Exit::Good;
    for (name, check) in checks {
        let (colour, mark, text) = match check() {
            Fine(text) => (AnsiColor::Green, "✓", text),
            Limited(text) => (AnsiColor::Yellow, "!", text),
            Broken(text) => {
                exit = Exit::Environment;
                (AnsiColor::Red, "✗", text)
            }
        };
        let style: Style = colour.on_default().bold();
        say!("{style}{mark}{style:#} {name}: {text}");
    }
    Ok(exit)
}

fn cores() -> Finding {
    judged(host::cores())
}

fn judged(Cores { usable, machine }: Cores) -> Finding {
    let of = match usable < machine {
        true => {
            format!(" of the machine's {machine} (taskset or a control group keeps the others)")
        }
        false => String::new(),
    };
    match usable {
        1 => Limited(format!(
            "1{of}; generator, proxy and backends will take turns on it. Keep rates low: some tens \
             a second"
        )),
        2..=3 => Limited(format!(
            "{usable}{of}; generator, proxy and backends share them. Compare strategies, do not \
             quote limits"
        )),
        _ => Fine(format!("{usable}{of}")),
    }
}

/// Generator, proxy (both sides) and backends at the default `max_connections`, with room to spare.
const WANTED_DESCRIPTORS: u64 = 16_384;

fn descriptors() -> Finding {
    let limit = getrlimit(Resource::Nofile);
    match limit.maximum {
        Some(hard) if hard < WANTED_DESCRIPTORS => Limited(format!(
            "{hard} at most; raise it with `ulimit -Hn {WANTED_DESCRIPTORS}`, or keep connections below {}",
            hard / 4
        )),
        Some(hard) => Fine(format!("up to {hard} a process")),
        None => Fine("unlimited".into()),
    }
}

fn ports() -> Finding {
    let path = "/proc/sys/net/ipv4/ip_local_port_range";
    let range = fs::read_to_string(path).ok().and_then(|text| {
        let mut ends = text.split_whitespace().filter_map(|word| word.parse::<u32>().ok());
        Some((ends.next()?, ends.next()?))
    });
    match range {
        Some((first, last)) if first < 12_000 => Limited(format!(
            "{first} to {last}; fake backends listen below the range and need room from 10000 on: \
             sysctl net.ipv4.ip_local_port_range=\"32768 60999\""
        )),
        Some((first, last)) => Fine(format!("{first} to {last}, {} of them", last - first + 1)),
        None => Limited(format!("{path} cannot be read; backend ports are drawn without it")),
    }
}

fn loopback() -> Finding {
    let tried = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| {
        let address = listener.local_addr()?;
        TcpStream::connect_timeout(&address, Duration::from_secs(1))
    });
    match tried {
        Ok(_) => Fine("127.0.0.1 accepts connections".into()),
        Err(error) => Broken(format!(
            "127.0.0.1 refuses connections ({error}); bring the interface up: ip link set lo up"
        )),
    }
}

/// Sleeps of this many milliseconds are asked for, to see how late they end.
const NAPS: u32 = 200;

fn timers() -> Finding {
    let nap = Duration::from_millis(1);
    let mut late: Vec<Duration> = (0..NAPS)
        .map(|_| {
            let asked = Instant::now();
            thread::sleep(nap);
            asked.elapsed().saturating_sub(nap)
        })
        .collect();
    late.sort();
    let p99 = late[late.len() * 99 / 100];
    let text = format!("{NAPS} sleeps of 1 ms end at most {p99:.0?} late at p99");
    if p99 < Duration::from_millis(1) {
        Fine(text)
    } else {
        Limited(format!("{text}; close other programs, or measured tails will show the machine"))
    }
}

fn steal() -> Finding {
    let ticks = || -> Option<(u64, u64)> {
        let text = fs::read_to_string("/proc/stat").ok()?;
        let cpu = text.lines().next()?;
        let ticks: Vec<u64> =
            cpu.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
        Some((*ticks.get(7)?, ticks.iter().take(8).sum()))
    };
    match ticks() {
        Some((stolen, all)) => {
            let share = 100.0 * stolen as f64 / all.max(1) as f64;
            if share < 1.0 {
                Fine(format!("{share:.2} % since the machine started"))
            } else {
                Limited(format!(
                    "{share:.1} % since the machine started; other guests disturb this one, runs \
                     may be marked suspect"
                ))
            }
        }
        None => Limited("/proc/stat cannot be read; runs will not know".into()),
    }
}

fn reports() -> Finding {
    let folder = Path::new("reports");
    let here = if folder.is_dir() { folder } else { Path::new(".") };
    let probe = here.join(format!(".lab-doctor-{}", std::process::id()));
    match fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)) {
        Ok(()) => Fine(format!("{} can be written", here.display())),
        Err(error) => Broken(format!(
            "{} cannot be written ({error}); use `lab run --out DIR` with a folder that can",
            here.display()
        )),
    }
}

/// Only `--load artillery` needs it.
fn artillery() -> Finding {
    let (node, version) = match install::node() {
        Ok(found) => found,
        Err(error) => return Limited(error.to_string()),
    };
    let folder = match install::folder() {
        Ok(folder) => folder,
        Err(error) => return Limited(error.to_string()),
    };
    let words = format!("{} ({version})", node.display());
    let artillery = install::version();
    match (install::find(&folder), install::on_path("npm")) {
        (Some(_), _) => {
            Fine(format!("{artillery} is installed in {}, for {words}", folder.display()))
        }
        (None, Some(npm)) => Fine(format!(
            "{words} and {} are there; `--load artillery` installs {artillery} when it is first used",
            npm.display()
        )),
        (None, None) => Limited(InstallError::Missing { program: "npm" }.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_that_are_kept_from_us_are_told_of() {
        for (usable, machine, wanted) in [
            (1, 1, "1; generator"),
            (1, 2, "1 of the machine's 2 (taskset or a control group keeps the others); generator"),
            (
                3,
                64,
                "3 of the machine's 64 (taskset or a control group keeps the others); generator",
            ),
            (4, 4, "4"),
            (8, 64, "8 of the machine's 64 (taskset or a control group keeps the others)"),
        ] {
            let (Fine(text) | Limited(text) | Broken(text)) = judged(Cores { usable, machine });
            assert!(text.starts_with(wanted), "{usable} of {machine}: {text}");
        }
    }
}
