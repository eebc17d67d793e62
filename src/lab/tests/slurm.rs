//! The job files for Slurm on a Slurm of its own: one node, started here, taken down here. A shard
//! fails, the merge names it, the shard is submitted again, and the result is that of one process.
//!
//! Where Slurm is missing it is installed from the distribution; where that cannot be done the test
//! says so and holds nothing.

mod support;

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use support::{Bench, Done, files, read, signal, until};

const SCENARIO: &str = r#"name = "array"
question = "Does it matter who plays a trial?"
engine = "sim"
rounds = 3

[proxy]
strategy = "random"

[[backends]]
name = "a"
count = 3
service = { distribution = "exponential", mean = "5ms" }

[load]
[[load.phases]]
name = "steady"
duration = "2s"
rate = 200

[vary]
"proxy.strategy" = ["random", "p2c"]
"#;

/// Debian's packages, and the programs that are needed of them.
const PACKAGES: [&str; 4] = ["slurmctld", "slurmd", "slurm-client", "munge"];
const PROGRAMS: [&str; 6] = ["munged", "slurmctld", "slurmd", "sinfo", "sbatch", "scontrol"];

fn ran(program: &str, args: &[&str]) -> bool {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}

/// Whether Slurm is here, by now.
fn installed() -> bool {
    let has_all = || PROGRAMS.iter().all(|program| ran("which", &[program]));
    if has_all() {
        return true;
    }
    let install = ["apt-get", "install", "-y", "--no-install-recommends"];
    // RUNLEVEL=1 keeps Debian's packages from starting their services.
    let quietly = ["env", "RUNLEVEL=1", "DEBIAN_FRONTEND=noninteractive"];
    for become_root in [&quietly[..], &[&["sudo", "-n"][..], &quietly].concat()] {
        let words = |more: &[&'static str]| [become_root, more].concat();
        let (update, install) = (words(&["apt-get", "update"]), words(&install));
        ran(update[0], &update[1..]);
        if ran(install[0], &[&install[1..], &PACKAGES].concat()) && has_all() {
            return true;
        }
    }
    false
}

/// A Slurm of one node.
struct Cluster {
    /// In the order in which they were started.
    daemons: Vec<Child>,
    configuration: String,
}

impl Cluster {
    /// Starts munged, slurmctld and slurmd with everything below `folder`, and waits for the node.
    fn start(folder: &Path) -> Self {
        for name in ["state", "spool", "log", "run"] {
            fs::create_dir(folder.join(name)).expect("the folder can be written");
        }
        let path = |name: &str| folder.join(name).display().to_string();
        let key: Vec<u8> = (0..1024_u32).map(|byte| (byte * 37 % 251) as u8).collect();
        fs::write(path("key"), key).expect("the folder can be written");
        fs::set_permissions(path("key"), fs::Permissions::from_mode(0o600)).expect("it is ours");
        fs::write(path("slurm.conf"), configuration(folder)).expect("the folder can be written");
        let configuration = path("slurm.conf");
        let mut cluster = Self { daemons: Vec::new(), configuration };
        let munged = ["--foreground", "--force", "--num-threads=2"].map(str::to_owned);
        let places = [
            ("socket", "run/munge.socket"),
            ("key-file", "key"),
            ("log-file", "log/munged.log"),
            ("pid-file", "run/munged.pid"),
            ("seed-file", "run/seed"),
        ]
        .map(|(option, name)| format!("--{option}={}", path(name)));
        cluster.daemon("munged", &[&munged[..], &places].concat(), folder);
        until("munged", || folder.join("run/munge.socket").exists().then_some(()));
        let file = cluster.configuration.clone();
        let words =
            |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        cluster.daemon("slurmctld", &words(&["-D", "-c", "-f", &file]), folder);
        cluster.daemon("slurmd", &words(&["-D", "-N", "localhost", "-f", &file]), folder);
        until("the node", || {
            for daemon in &mut cluster.daemons {
                let ended = daemon.try_wait().expect("it is ours");
                assert!(ended.is_none(), "a daemon ended: {}", logs(folder));
            }
            let states = cluster.tell("sinfo", &["-h", "-o", "%T"]).stdout;
            (states.trim() == "idle").then_some(())
        });
        cluster
    }

    fn daemon(&mut self, program: &str, args: &[String], folder: &Path) {
        let log = File::create(folder.join(format!("log/{program}.out"))).expect("writable");
        let started = Command::new(program)
            .args(args)
            .env("SLURM_CONF", &self.configuration)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn();
        self.daemons.push(started.unwrap_or_else(|error| panic!("{program}: {error}")));
    }

    /// One of Slurm's own commands.
    fn tell(&self, program: &str, args: &[&str]) -> Done {
        let mut command = Command::new(program);
        let output = command.args(args).env("SLURM_CONF", &self.configuration).output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
        Done::new(output)
    }

    /// Waits for a job's end: its state and exit code, "FAILED 3:0".
    fn end(&self, job: &str) -> String {
        until(&format!("job {job}"), || {
            let shown = self.tell("scontrol", &["show", "job", job]).stdout;
            let value = |key: &str| {
                let mut words = shown.split_whitespace();
                words.find_map(|word| word.strip_prefix(key)).map(str::to_owned)
            };
            let (state, code) = (value("JobState=")?, value("ExitCode=")?);
            let is_over = !["PENDING", "CONFIGURING", "RUNNING", "COMPLETING"].contains(&&*state);
            is_over.then(|| format!("{state} {code}"))
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // What still runs after a failed assertion would outlive its slurmd.
        self.tell("scancel", &["--state=RUNNING"]);
        self.tell("scancel", &["--state=PENDING"]);
        for daemon in self.daemons.iter_mut().rev() {
            if matches!(daemon.try_wait(), Ok(None)) {
                signal(daemon.id() as i32, "TERM");
            }
            let _ = daemon.wait();
        }
    }
}

/// What is needed to run as whoever tests, without systemd and without cgroups.
fn configuration(folder: &Path) -> String {
    let said = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let user = said("id", &["-un"]);
    // "NodeName=… CPUs=2 Boards=1 …": what the node will find when it looks at itself.
    let hardware = said("slurmd", &["-C"]);
    let hardware = hardware.lines().next().and_then(|line| line.split_once(' '));
    let (_, hardware) = hardware.expect("slurmd describes its node");
    // Both at once, or the second could be the first.
    let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let [control, node] = free.map(|port| port.local_addr().expect("an address").port());
    let folder = folder.display();
    format!(
        "ClusterName=lab\n\
         SlurmctldHost=localhost(127.0.0.1)\n\
         SlurmUser={user}\n\
         SlurmdUser={user}\n\
         AuthType=auth/munge\n\
         AuthInfo=socket={folder}/run/munge.socket\n\
         CredType=cred/munge\n\
         SlurmctldPort={control}\n\
         SlurmdPort={node}\n\
         StateSaveLocation={folder}/state\n\
         SlurmdSpoolDir={folder}/spool\n\
         SlurmctldPidFile={folder}/run/slurmctld.pid\n\
         SlurmdPidFile={folder}/run/slurmd.pid\n\
         SlurmctldLogFile={folder}/log/slurmctld.log\n\
         SlurmdLogFile={folder}/log/slurmd.log\n\
         ProctrackType=proctrack/linuxproc\n\
         TaskPlugin=task/none\n\
         JobAcctGatherType=jobacct_gather/none\n\
         AccountingStorageType=accounting_storage/none\n\
         JobCompType=jobcomp/none\n\
         MpiDefault=none\n\
         ReturnToService=2\n\
         SwitchType=switch/none\n\
         SchedulerType=sched/backfill\n\
         SchedulerParameters=sched_interval=1,bf_interval=1\n\
         SelectType=select/cons_tres\n\
         SelectTypeParameters=CR_Core\n\
         NodeName=localhost NodeAddr=127.0.0.1 {hardware} State=UNKNOWN\n\
         PartitionName=lab Nodes=localhost Default=YES MaxTime=INFINITE State=UP\n"
    )
}

fn logs(folder: &Path) -> String {
    let all = files(&folder.join("log")).into_iter();
    all.map(|(name, text)| format!("{name}:\n{}\n", String::from_utf8_lossy(&text))).collect()
}

/// Submits the job files; the array's job and the merge's.
fn submit(bench: &Bench, cluster: &Cluster, lab: &Path, shards: &[&str]) -> (String, String) {
    let mut command = Command::new("sh");
    command.arg("sweep.sh").args(shards).current_dir(bench.path(""));
    command.env("SLURM_CONF", &cluster.configuration).env("LAB", lab);
    let output = command.output().expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = said.strip_prefix("array ").and_then(|rest| rest.split_once(", merge "));
    let found = found.and_then(|(array, rest)| Some((array, rest.split_once(';')?.0)));
    let (array, merge) = found.unwrap_or_else(|| panic!("{output:?}"));
    (array.to_owned(), merge.to_owned())
}

#[test]
fn an_array_is_played_and_merged_and_a_failed_shard_repaired() {
    if !installed() {
        // Past the harness, which shows what passing tests print to nobody.
        let words = "NOT TESTED: Slurm is not here and cannot be installed (apt-get failed): the \
                     job files of `lab sweep --engine-script slurm` were not run\n";
        std::io::stderr().write_all(words.as_bytes()).expect("stderr");
        return;
    }
    let bench = Bench::new();
    bench.file("array.toml", SCENARIO);
    fs::create_dir(bench.path("slurm")).expect("a folder");
    let cluster = Cluster::start(&bench.path("slurm"));
    let args =
        ["sweep", "array.toml", "--shards", "4", "--engine-script", "slurm", "--out", "sweep.sh"];
    let set = ["--seed", "9", "--set", "load.phases.steady.rate=210"];
    let done = bench.run(&[&args[..], &set].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    let again = bench.run(&args);
    assert_eq!(again.code, Some(4), "job files that are there are left alone: {again:?}");

    // A lab that fails in one task, for as long as something is broken.
    let lab = bench.file(
        "lab",
        &format!(
            "#!/bin/sh\ncase \"$*\" in *'--shard 1/4 '*) [ ! -e broken ] || exit 7;; esac\n\
             exec {} \"$@\"\n",
            env!("CARGO_BIN_EXE_lab")
        ),
    );
    fs::set_permissions(&lab, fs::Permissions::from_mode(0o755)).expect("it is ours");
    bench.file("broken", "");
    let (array, merge) = submit(&bench, &cluster, &lab, &[]);
    let ended = cluster.end(&merge);
    let said = read(&bench.path("parts-array/merge.log"));
    assert_eq!(ended, "FAILED 3:0", "{said}");
    assert!(said.contains("shard 1/4 is missing"), "{said}");
    assert_eq!(cluster.end(&format!("{array}_1")), "FAILED 7:0");
    for index in [0, 2, 3] {
        assert_eq!(cluster.end(&format!("{array}_{index}")), "COMPLETED 0:0");
    }
    assert!(!bench.path("merged-array").exists());

    fs::remove_file(bench.path("broken")).expect("it is there");
    let (_, merge) = submit(&bench, &cluster, &lab, &["1"]);
    let ended = cluster.end(&merge);
    assert_eq!(ended, "COMPLETED 0:0", "{}", read(&bench.path("parts-array/merge.log")));
    let whole = bench.run(&[&["run", "array.toml", "--out", "whole", "-q"][..], &set].concat());
    assert_eq!(whole.code, Some(0), "{whole:?}");
    let without_manifest = |folder: &str| {
        let mut all = files(&bench.path(folder));
        all.retain(|(name, _)| name != "manifest.json");
        all
    };
    let (whole, merged) = (without_manifest("whole"), without_manifest("merged-array"));
    assert!(whole.len() > 10);
    assert!(whole == merged, "the merged folder is not that of one process");
}
