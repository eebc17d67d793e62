//! What the tests with Artillery share: Node, one installation below target/, `lab` with it. It must not
//! assert anything about results.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use live::load::artillery::install;
use record::Run;

use super::{Bench, Done};

/// Where Artillery is installed for all tests, once.
pub(crate) fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

fn ran(words: &[&str]) -> bool {
    let output = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}

/// Node and npm, by now.
pub(crate) fn need_node() {
    static THERE: OnceLock<bool> = OnceLock::new();
    let there = || install::node().is_ok() && install::on_path("npm").is_some();
    let found = *THERE.get_or_init(|| {
        let quietly = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"];
        let install = ["install", "-y", "--no-install-recommends", "nodejs", "npm"];
        for become_root in [&quietly[..], &[&["sudo", "-n"][..], &quietly].concat()] {
            if !there() {
                ran(&[become_root, &["update"]].concat());
                ran(&[become_root, &install].concat());
            }
        }
        there()
    });
    assert!(
        found,
        "Node.js (22.18 or newer) and npm are needed, they are not here, and apt-get could not \
         install them: get them from https://nodejs.org, then run make test again"
    );
}

pub(crate) fn lab(bench: &Bench, cache: &Path, args: &[&str]) -> Command {
    let mut command = bench.lab();
    command.args(args).env("XDG_CACHE_HOME", cache);
    command
}

pub(crate) fn run(bench: &Bench, args: &[&str]) -> Done {
    need_node();
    Done::new(lab(bench, &cache(), args).output().expect("lab starts"))
}

pub(crate) fn load(folder: &Path) -> Run {
    Run::load(folder).unwrap_or_else(|error| panic!("{error}"))
}
