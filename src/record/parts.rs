//! All parts of a sweep, checked: each shard once, all of one run. It must not know how a part is
//! written, nor what becomes of the trials.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::part::{Part, Shard, Sweep, wrong};
use crate::run::LoadError;
use crate::trial::TrialRecord;

/// How many shards a message lists.
const LISTED: usize = 12;

/// A part of a merged run, for its manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartEntry {
    /// The file, as given.
    pub path: String,
    /// Its checksum, in hexadecimal digits.
    pub sha256: String,
    /// "1/3".
    pub shard: String,
    /// How many trials it brought.
    pub trials: u64,
    /// The command line that played it.
    pub command_line: Vec<String>,
    /// When that began, RFC 3339, UTC.
    pub started: String,
    /// Where.
    pub host: BTreeMap<String, String>,
}

/// The parts of one run, all of them.
#[derive(Debug)]
pub struct Parts {
    /// By shard.
    parts: Vec<Part>,
}

impl Parts {
    /// Opens the files, in any order. `maker` is this program, as in the parts.
    ///
    /// # Errors
    /// All that is wrong with them: files that are damaged or foreign, of another run than the
    /// first, given twice, missing.
    pub fn open(paths: &[PathBuf], maker: &str) -> Result<Self, Vec<LoadError>> {
        let mut problems = Vec::new();
        let mut parts: BTreeMap<u32, Part> = BTreeMap::new();
        let mut first: Option<(String, Sweep, u32)> = None;
        // Which problems are of files that cannot be read.
        let mut unread: Vec<usize> = Vec::new();
        for path in paths {
            let part = match Part::open(path, maker) {
                Ok(part) => part,
                Err(problem) => {
                    unread.push(problems.len());
                    problems.push(problem);
                    continue;
                }
            };
            let Shard { index, of } = part.head.shard;
            let name = part.path.display().to_string();
            let (reference, sweep, count) =
                first.get_or_insert_with(|| (name, part.head.sweep.clone(), of));
            let differences = differences(&part, sweep, *count);
            if !differences.is_empty() {
                let message = differences.join("; ");
                let message = format!("belongs to another run than {reference}: {message}");
                problems.push(wrong(path, &message));
            } else if let Some(there) = parts.get(&index) {
                let there = there.path.display();
                let message = format!("shard {index}/{of} is {there} already: give one of them");
                problems.push(wrong(path, &message));
            } else {
                problems.extend(incomplete(&part));
                parts.insert(index, part);
            }
        }
        if let Some((_, _, of)) = first {
            let missing: Vec<u32> = (0..of).filter(|index| !parts.contains_key(index)).collect();
            // What is given and cannot be read is told above, and is not missing as well.
            if let ([index], [place]) = (&missing[..], &unread[..]) {
                problems[*place].message.push_str(&format!(
                    "; the other files are all but shard {index}/{of}, which `lab sweep FILE --shard \
                     {index}/{of}` plays"
                ));
            } else if !missing.is_empty() {
                problems.push(LoadError {
                    file: "the sweep".to_owned(),
                    line: None,
                    message: absent(&missing, of, !unread.is_empty()),
                });
            }
        }
        match problems.is_empty() {
            true => Ok(Self { parts: parts.into_values().collect() }),
            false => Err(problems),
        }
    }

    /// What they are the parts of.
    ///
    /// # Panics
    /// When no path was given.
    pub fn sweep(&self) -> &Sweep {
        &self.parts.first().expect("a run has a part").head.sweep
    }

    /// All trials in the order of play, one in memory at a time.
    pub fn trials(&self) -> impl Iterator<Item = Result<TrialRecord, LoadError>> + '_ {
        let of = self.parts.len() as u64;
        (0..self.sweep().trials).map(move |number| {
            let part = &self.parts[(number % of) as usize];
            let (found, record) = part.trial(number / of)?;
            match found == number {
                true => Ok(record),
                false => {
                    let message = format!("holds trial {found} where trial {number} belongs");
                    Err(wrong(&part.path, &message))
                }
            }
        })
    }

    /// One entry a part, by shard.
    pub fn entries(&self) -> Vec<PartEntry> {
        let entry = |part: &Part| PartEntry {
            path: part.path.display().to_string(),
            sha256: part.sha256.clone(),
            shard: part.head.shard.to_string(),
            trials: part.len(),
            command_line: part.head.command_line.clone(),
            started: part.head.started.clone(),
            host: part.head.host.iter().cloned().collect(),
        };
        self.parts.iter().map(entry).collect()
    }
}

fn incomplete(part: &Part) -> Option<LoadError> {
    let (there, share) = (part.len(), part.head.shard.share(part.head.sweep.trials));
    (there != share).then(|| {
        let message = format!("holds {there} trials, and its shard has {share}; play it again");
        wrong(&part.path, &message)
    })
}

/// How a part differs from the run that the first one is of.
fn differences(part: &Part, sweep: &Sweep, of: u32) -> Vec<String> {
    let theirs = &part.head.sweep;
    let mut found = Vec::new();
    let mut compare = |what: &str, theirs: String, ours: String| {
        if theirs != ours {
            found.push(format!("its {what} is {theirs}, there it is {ours}"));
        }
    };
    compare("scenario", theirs.scenario.clone(), sweep.scenario.clone());
    compare("number of shards", part.head.shard.of.to_string(), of.to_string());
    compare("number of trials", theirs.trials.to_string(), sweep.trials.to_string());
    compare("seed", theirs.seed.to_string(), sweep.seed.to_string());
    compare("engine", theirs.engine.clone(), sweep.engine.clone());
    compare("list of overrides", listed(&theirs.overrides), listed(&sweep.overrides));
    compare("list of options", listed(&theirs.options), listed(&sweep.options));
    compare("calibration", measured(theirs), measured(sweep));
    if theirs.scenario_text != sweep.scenario_text {
        let same = |(a, b): &(&str, &str)| a == b;
        let lines = theirs.scenario_text.lines().zip(sweep.scenario_text.lines());
        let line = lines.take_while(same).count() + 1;
        found.push(format!("its scenario's text differs from line {line} on"));
    }
    if theirs.inputs != sweep.inputs {
        found.push("a file that the scenario reads had other bytes".to_owned());
    }
    if found.is_empty() && theirs.calibration != sweep.calibration {
        found.push(
            "its calibration was measured at the same second and has other values".to_owned(),
        );
    }
    if found.is_empty() && theirs != sweep {
        found.push("the scenario's file had another name, or other expectations".to_owned());
    }
    found
}

fn measured(sweep: &Sweep) -> String {
    let of = sweep.calibration.as_ref();
    of.map_or("none".to_owned(), |calibration| format!("the one of {}", calibration.measured))
}

fn listed(words: &[String]) -> String {
    if words.is_empty() { "empty".to_owned() } else { format!("\"{}\"", words.join(" ")) }
}

/// Which shards there are not. Where files cannot be read, nobody knows which of those they hold.
fn absent(missing: &[u32], of: u32, some_unread: bool) -> String {
    let mut names: Vec<String> =
        missing.iter().take(LISTED).map(|index| format!("{index}/{of}")).collect();
    if missing.len() > LISTED {
        names.push(format!("and {} more", missing.len() - LISTED));
    }
    let (noun, verb) = if missing.len() == 1 { ("shard", "is") } else { ("shards", "are") };
    let (names, first) = (names.join(", "), missing[0]);
    if some_unread {
        return format!(
            "{noun} {names} {verb} in none of the files that can be read; copy again what is damaged, or \
             play these as with `lab sweep FILE --shard {first}/{of}`, and merge again"
        );
    }
    format!(
        "{noun} {names} {verb} missing; play what is missing with `lab sweep FILE --shard {first}/{of}` \
         and merge again"
    )
}
