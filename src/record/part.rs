//! A part of a sweep: the finished trials of one shard in a file, exactly as they are, for `lab
//! merge`. It must not know which trials belong to it, nor judge them.
//!
//! The file: a line that names the format, a line that names the program (so that a stranger can
//! be told from a relative before anything is decoded), then blocks, each with its length in
//! front: the head, then a number and a record for each trial; a block of no length; the SHA-256
//! of all that. It gets its name when it is whole.

use std::fs::{self, File, Permissions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::calibration::Calibration;
use crate::expect::Expectation;
use crate::run::LoadError;
use crate::table::{TEMPORARY, at};
use crate::trial::TrialRecord;

/// The first line. Another shape of the file gets another number.
const MAGIC: &[u8] = b"lab part 2\n";
/// The longest second line.
const MAX_MAKER_BYTES: usize = 200;
/// The longest head: a scenario's text of 1 MiB and 10,000 expectations fit many times.
const MAX_HEAD_BYTES: u64 = 64 << 20;
/// The most shards: as many as a scenario may have trials.
pub const MAX_SHARDS: u32 = 10_000;
/// The length of a checksum.
const SUM_BYTES: u64 = 32;

/// Which trials: those whose number leaves `index` when it is divided by `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shard {
    /// From 0, below `of`.
    pub index: u32,
    /// How many shards there are, at least 1.
    pub of: u32,
}

impl Shard {
    /// Whether the trial of this number (from 0, in the order of play) belongs to it.
    pub fn holds(self, trial: u64) -> bool {
        trial % u64::from(self.of) == u64::from(self.index)
    }

    /// How many of `trials` belong to it.
    pub fn share(self, trials: u64) -> u64 {
        let (index, of) = (u64::from(self.index), u64::from(self.of));
        trials.saturating_sub(index).div_ceil(of)
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// What was split into shards: the same in every part, or they are none of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// The scenario's name.
    pub scenario: String,
    /// Its question.
    pub question: String,
    /// What a reader should know of it, whatever the verdict.
    pub notes: Vec<String>,
    /// Its text, as read.
    pub scenario_text: String,
    /// "sim".
    pub engine: String,
    /// The seed.
    pub seed: u64,
    /// `--set` and `--vary` as given.
    pub overrides: Vec<String>,
    /// Every other option that changes what is played, as given.
    pub options: Vec<String>,
    /// The files that the scenario reads, by their names in it, with their checksums.
    pub inputs: Vec<(String, String)>,
    /// How many trials there are in all.
    pub trials: u64,
    /// What was added to the service times; `None`: nothing.
    pub calibration: Option<Calibration>,
    /// What is expected of the whole.
    pub expectations: Vec<Expectation>,
}

/// The head of a part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartHead {
    /// Of what it is a part.
    pub sweep: Sweep,
    /// Which one.
    pub shard: Shard,
    /// The machine that played it.
    pub host: Vec<(String, String)>,
    /// The command line.
    pub command_line: Vec<String>,
    /// When it began, RFC 3339, UTC.
    pub started: String,
}

/// Writes a part beside its place; [`PartWriter::finish`] puts it there. Dropped before that, it
/// leaves nothing behind.
pub struct PartWriter {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
    sum: Sha256,
}

impl PartWriter {
    /// Begins a part for `path`, whose folder is made where it is missing. A file that is there
    /// already is replaced at the end if it is a part, and refused now if it is not. `maker` is the
    /// program with its version, on one line.
    ///
    /// # Errors
    /// The path, what is wrong with it and what to do.
    pub fn create(path: &Path, maker: &str, head: &PartHead) -> io::Result<Self> {
        refuse_strangers(path)?;
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        fs::create_dir_all(folder).map_err(at(folder))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // The usual rights: another machine's user may be the one who merges.
        let file = tempfile::Builder::new()
            .prefix(&format!(".{name}."))
            .suffix(TEMPORARY)
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(at(path))?;
        let (file, sum) = (BufWriter::new(file), Sha256::new());
        let mut writer = Self { path: path.to_owned(), file, sum };
        writer.write(MAGIC)?;
        writer.write(format!("{maker}\n").as_bytes())?;
        writer.block(head)?;
        Ok(writer)
    }

    /// Adds the trial of this number; they come in ascending order.
    ///
    /// # Errors
    /// The path, and why it cannot be written.
    pub fn trial(&mut self, number: u64, record: &TrialRecord) -> io::Result<()> {
        self.block(&(number, record))
    }

    /// All trials are there: the part gets its name.
    ///
    /// # Errors
    /// The path, and why it cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.write(&0_u64.to_le_bytes())?;
        let sum = self.sum.finalize();
        self.file.write_all(&sum).map_err(at(&self.path))?;
        let file = self.file.into_inner().map_err(|error| at(&self.path)(error.into_error()))?;
        // A machine that loses its power must not leave a name without its bytes.
        file.as_file().sync_all().map_err(at(&self.path))?;
        file.persist(&self.path).map_err(|error| at(&self.path)(error.error))?;
        Ok(())
    }

    fn block(&mut self, value: &impl Serialize) -> io::Result<()> {
        let bytes = postcard::to_stdvec(value).map_err(io::Error::other).map_err(at(&self.path))?;
        self.write(&(bytes.len() as u64).to_le_bytes())?;
        self.write(&bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.file.write_all(bytes).map_err(at(&self.path))
    }
}

/// What is there already and is no part is not ours to replace.
fn refuse_strangers(path: &Path) -> io::Result<()> {
    let refused = |what: &str| {
        let message = format!("{}: {what}; name another file with --out", path.display());
        Err(io::Error::new(io::ErrorKind::AlreadyExists, message))
    };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(at(path)(error)),
        Ok(there) if !there.is_file() => refused("is there and is no file, but a part is one"),
        Ok(_) => {
            let mut first = Vec::new();
            let file = File::open(path).map_err(at(path))?;
            file.take(MAGIC.len() as u64).read_to_end(&mut first).map_err(at(path))?;
            match first == MAGIC {
                true => Ok(()),
                false => refused("is there, is no part of a sweep, and is left as it is"),
            }
        }
    }
}

/// A part whose checksum is right. Its trials stay in the file until they are asked for.
#[derive(Debug)]
pub struct Part {
    /// The file.
    pub path: PathBuf,
    /// Its head.
    pub head: PartHead,
    /// Its checksum, in hexadecimal digits.
    pub sha256: String,
    /// Where each trial's block lies, and how long it is.
    trials: Vec<(u64, u64)>,
}

impl Part {
    /// Reads a part through once, holding one buffer of it. `maker` is this program, as for
    /// [`PartWriter::create`]: another's records may mean something else.
    ///
    /// # Errors
    /// What is wrong with the file, and the remedy.
    pub fn open(path: &Path, maker: &str) -> Result<Self, LoadError> {
        let mut reader = Reader::open(path)?;
        let mut magic = vec![0; MAGIC.len()];
        if reader.exact(&mut magic).is_err() || magic != MAGIC {
            return Err(wrong(
                path,
                "is no part of a sweep (or one of another format); give files that `lab sweep` of this version wrote",
            ));
        }
        let theirs = reader.line()?;
        if theirs != maker {
            return Err(wrong(
                path,
                &format!(
                    "was made by {theirs}, and this is {maker}: merge with the lab that played all \
                 parts, or play this one again with this lab"
                ),
            ));
        }
        let length = reader.length()?;
        if length == 0 || length > MAX_HEAD_BYTES {
            return Err(reader.damaged("its head is missing"));
        }
        let head = reader.bytes(length)?;
        let mut trials = Vec::new();
        loop {
            let length = reader.length()?;
            if length == 0 {
                break;
            }
            trials.push((reader.position, length));
            reader.pass(length)?;
        }
        let sha256 = reader.finish()?;
        let head: PartHead = decode(path, &head)?;
        if head.shard.index >= head.shard.of || head.shard.of > MAX_SHARDS {
            return Err(wrong(path, "names a shard that there is none of; play it again"));
        }
        Ok(Self { path: path.to_owned(), head, sha256, trials })
    }

    /// How many trials it holds.
    pub fn len(&self) -> u64 {
        self.trials.len() as u64
    }

    /// Whether it holds none: there can be more shards than trials.
    pub fn is_empty(&self) -> bool {
        self.trials.is_empty()
    }

    /// Its `place`-th trial, from 0, with the trial's number.
    ///
    /// # Errors
    /// When the file has changed since it was opened, or holds something else than trials.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn trial(&self, place: u64) -> Result<(u64, TrialRecord), LoadError> {
        let (position, length) = self.trials[place as usize];
        let unreadable = |error: io::Error| wrong(&self.path, &format!("cannot be read: {error}"));
        let mut file = File::open(&self.path).map_err(unreadable)?;
        file.seek(SeekFrom::Start(position)).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes).map_err(unreadable)?;
        let (number, record): (u64, TrialRecord) = decode(&self.path, &bytes)?;
        match record.flaw() {
            Some(flaw) => Err(wrong(&self.path, &format!("trial {number}: {flaw}; {AGAIN}"))),
            None => Ok((number, record)),
        }
    }
}

/// The checksum of a file that a scenario reads, in hexadecimal digits.
pub fn checksum(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What to do about a part that is not as it was written.
const AGAIN: &str = "copy it again, or play its shard again";

pub(crate) fn wrong(path: &Path, message: &str) -> LoadError {
    LoadError { file: path.display().to_string(), line: None, message: message.to_owned() }
}

/// A length that lies reserves no memory: the decoder takes no more than there are bytes for.
fn decode<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, LoadError> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(wrong(path, &format!("holds more than a part does; {AGAIN}"))),
        Err(error) => Err(wrong(path, &format!("cannot be understood ({error}); {AGAIN}"))),
    }
}

/// Reads a file from its beginning to its end, adding up its checksum.
struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    sum: Sha256,
    position: u64,
    /// Where the checksum begins.
    end: u64,
}

impl Reader {
    fn open(path: &Path) -> Result<Self, LoadError> {
        let unreadable = |error: io::Error| {
            wrong(path, &format!("cannot be read: {error}; give files that `lab sweep` wrote"))
        };
        let file = File::open(path).map_err(unreadable)?;
        let there = file.metadata().map_err(unreadable)?;
        if !there.is_file() {
            return Err(wrong(path, "is no file; give files that `lab sweep` wrote"));
        }
        let end = there.len().saturating_sub(SUM_BYTES);
        let (path, sum) = (path.to_owned(), Sha256::new());
        Ok(Self { path, file: BufReader::with_capacity(1 << 16, file), sum, position: 0, end })
    }

    fn damaged(&self, what: &str) -> LoadError {
        wrong(&self.path, &format!("is damaged or cut short ({what}); {AGAIN}"))
    }

    fn exact(&mut self, bytes: &mut [u8]) -> Result<(), LoadError> {
        let is_there = self.end - self.position.min(self.end) >= bytes.len() as u64;
        if !is_there || self.file.read_exact(bytes).is_err() {
            return Err(self.damaged("it ends too early"));
        }
        self.sum.update(&*bytes);
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn length(&mut self) -> Result<u64, LoadError> {
        let mut bytes = [0; 8];
        self.exact(&mut bytes)?;
        let length = u64::from_le_bytes(bytes);
        match length > self.end - self.position {
            true => Err(self.damaged("it ends too early")),
            false => Ok(length),
        }
    }

    /// So many bytes, which [`Reader::length`] has found to be there.
    fn bytes(&mut self, length: u64) -> Result<Vec<u8>, LoadError> {
        let mut bytes = vec![0; length as usize];
        self.exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The same, looked at by the checksum alone.
    fn pass(&mut self, length: u64) -> Result<(), LoadError> {
        let mut chunk = [0; 1 << 14];
        let mut left = length;
        while left > 0 {
            let now = left.min(chunk.len() as u64) as usize;
            self.exact(&mut chunk[..now])?;
            left -= now as u64;
        }
        Ok(())
    }

    fn line(&mut self) -> Result<String, LoadError> {
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            self.exact(&mut byte)?;
            match byte[0] {
                b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
                _ if line.len() == MAX_MAKER_BYTES => {
                    return Err(self.damaged("the name of its program does not end"));
                }
                byte => line.push(byte),
            }
        }
    }

    /// The checksum, which must be the file's end.
    fn finish(mut self) -> Result<String, LoadError> {
        let mut written = Vec::new();
        let is_read = (&mut self.file).take(SUM_BYTES + 1).read_to_end(&mut written).is_ok();
        let sum = std::mem::take(&mut self.sum).finalize();
        if !is_read || self.position != self.end || written != sum.as_slice() {
            return Err(self.damaged("its checksum is another"));
        }
        Ok(hexadecimal(&sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trial_belongs_to_one_shard() {
        for (trials, of) in [(0, 1), (1, 1), (7, 3), (8, 4), (2, 5), (10_000, 7)] {
            let shards = || (0..of).map(|index| Shard { index, of });
            for trial in 0..trials {
                assert_eq!(shards().filter(|shard| shard.holds(trial)).count(), 1);
            }
            for shard in shards() {
                let held = (0..trials).filter(|trial| shard.holds(*trial)).count() as u64;
                assert_eq!(shard.share(trials), held, "{shard} of {trials}");
            }
        }
    }
}
