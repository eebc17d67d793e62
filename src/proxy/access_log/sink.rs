//! Where the access log goes: a file that is opened again when it was moved away, or stdout. It must
//! not know what is written, nor when.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use config::edge::AccessLog as Target;

/// The mode of a new file: what requests say is not everybody's to read.
const MODE: u32 = 0o640;

/// An open target.
pub(super) struct Sink {
    file: File,
    /// `None`: stdout.
    path: Option<PathBuf>,
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}", path.display()),
            None => f.write_str("stdout"),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(MODE).open(path)
}

impl Sink {
    pub(super) fn open(target: &Target) -> io::Result<Self> {
        match target {
            Target::File(path) => Ok(Self { file: open(path)?, path: Some(path.clone()) }),
            // Past the standard library's buffer: that would keep a line that could not be written.
            Target::Stdout => Ok(Self::stream(io::stdout().as_fd().try_clone_to_owned()?)),
        }
    }

    /// What is written to as it is, and cannot be opened again.
    pub(super) fn stream(stream: OwnedFd) -> Self {
        Self { file: stream.into(), path: None }
    }

    /// Writes the lines from `at` on, which then is where it got to.
    pub(super) fn write(&mut self, lines: &[u8], at: &mut usize) -> io::Result<()> {
        if self.renew()? {
            // No file begins with the rest of a line.
            *at = lines[..*at].iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1);
        }
        while *at < lines.len() {
            match self.file.write(&lines[*at..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => *at += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Opens the file again if its path does not lead to it any more; whether it did.
    fn renew(&mut self) -> io::Result<bool> {
        let Some(path) = &self.path else { return Ok(false) };
        let ours = self.file.metadata()?;
        let is_ours = std::fs::metadata(path)
            .is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino()));
        if is_ours {
            return Ok(false);
        }
        self.file = open(path)?;
        Ok(true)
    }
}
