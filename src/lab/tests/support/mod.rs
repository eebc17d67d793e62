//! What the end-to-end tests share: the binary, scenarios in a folder of their own, run folders.
//! It must not assert anything about results.
#![allow(dead_code)] // each test file uses its part

pub(crate) mod artillery;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A folder of its own with the binary at hand; it goes when the test ends.
pub(crate) struct Bench {
    folder: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and gives its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("the temporary folder can be written");
        path
    }

    pub(crate) fn lab(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        // Whoever runs the tests may have calibrated their machine.
        command.env("XDG_DATA_HOME", self.path("data"));
        command
    }

    /// Runs to the end.
    pub(crate) fn run(&self, args: &[&str]) -> Done {
        let output = self.lab().args(args).output().expect("lab starts");
        Done::new(output)
    }

    /// Starts without waiting; killed when dropped.
    pub(crate) fn spawn(&self, args: &[&str]) -> Running {
        let mut command = self.lab();
        command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running::start(command)
    }
}

/// Starts a server and takes the line that says it is ready; killed when dropped.
pub(crate) fn served<T: serde::de::DeserializeOwned>(mut command: Command) -> (Running, T) {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let running = Running(Some(child));
    let mut line = String::new();
    out.read_line(&mut line).expect("a ready line");
    (running, serde_json::from_str(&line).expect("a ready line"))
}

/// What an ended `lab` left behind.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    pub(crate) fn new(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A `lab` that is running.
pub(crate) struct Running(Option<Child>);

impl Running {
    /// Starts a command that is not waited for.
    pub(crate) fn start(mut command: Command) -> Self {
        Self(Some(command.spawn().expect("lab starts")))
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.0.as_ref().expect("not waited for yet").id()).expect("a process id")
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    pub(crate) fn wait(mut self) -> Done {
        let child = self.0.take().expect("not waited for yet");
        Done::new(child.wait_with_output().expect("lab can be waited for"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub(crate) fn signal(pid: i32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(sent.expect("kill is there").success(), "kill -{name} {pid}");
}

/// Waits until `ready` gives something, polling; `what` is for the message when it never does.
pub(crate) fn until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited a minute for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The processes that `pid` has started and that are alive, with their command lines.
pub(crate) fn children(pid: i32) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc") {
        let Some(child) = entry.ok().and_then(|e| e.file_name().to_str()?.parse::<i32>().ok())
        else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(format!("/proc/{child}/stat")) else { continue };
        // The name stands in brackets and may hold anything; state and parent follow it.
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        let mut words = rest.split_whitespace();
        let (state, parent) = (words.next(), words.next());
        if parent == Some(&pid.to_string()) && state != Some("Z") {
            let line = fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
            found.push((child, line.replace('\0', " ")));
        }
    }
    found
}

pub(crate) fn alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn summary(folder: &Path) -> record::Summary {
    serde_json::from_str(&read(&folder.join("summary.json"))).expect("summary.json has its shape")
}

/// All files below a folder by their path in it.
pub(crate) fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("a run folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below it").display().to_string();
                found.push((name, fs::read(&path).expect("a file")));
            }
        }
    }
    found.sort();
    found
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the root exists")
}
