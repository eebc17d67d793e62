//! Writing files: rows appended to a CSV file, whole files replaced at once.
//! It must not know what the rows mean. Every error names its path.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::rows::Row;

/// An I/O error that says where.
pub(crate) fn at(path: &Path) -> impl Fn(io::Error) -> io::Error + '_ {
    move |error| {
        let remedy = match error.kind() {
            io::ErrorKind::StorageFull => "; free some space, or choose another folder with --out",
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "; choose a folder that can be written with --out"
            }
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                "; a file stands where a folder is needed, choose another one with --out"
            }
            io::ErrorKind::NotFound => {
                "; no folder can be made here, choose another one with --out"
            }
            _ => "",
        };
        io::Error::new(error.kind(), format!("{}: {error}{remedy}", path.display()))
    }
}

/// Replaces a file at once: whoever reads sees the old one or the new one, never a half.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary(path);
    fs::write(&temporary, bytes).map_err(at(&temporary))?;
    fs::rename(&temporary, path).map_err(at(path))
}

/// Where a file is written that shall replace that one.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(TEMPORARY);
    path.with_file_name(name)
}

/// What the name of a half-written file ends with.
pub(crate) const TEMPORARY: &str = ".tmp";

/// A file that grows.
pub(crate) struct Appended {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Appended {
    pub(crate) fn create(path: PathBuf) -> io::Result<Self> {
        let file = BufWriter::new(File::create(&path).map_err(at(&path))?);
        Ok(Self { path, file })
    }

    /// Writes bytes and hands them to the operating system.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).and_then(|()| self.file.flush()).map_err(at(&self.path))
    }
}

/// A CSV file that grows.
pub(crate) struct Table {
    path: PathBuf,
    rows: csv::Writer<File>,
}

impl Table {
    /// Creates the file of these rows, with its header.
    pub(crate) fn create<R: Row>(folder: &Path) -> io::Result<Self> {
        let path = folder.join(R::FILE);
        let file = File::create(&path).map_err(at(&path))?;
        let mut rows = csv::WriterBuilder::new().has_headers(false).from_writer(file);
        rows.write_record(R::COLUMNS)
            .map_err(io::Error::from)
            .and_then(|()| rows.flush())
            .map_err(at(&path))?;
        Ok(Self { path, rows })
    }

    /// Appends rows and hands them to the operating system.
    pub(crate) fn append<R: Row>(&mut self, rows: impl Iterator<Item = R>) -> io::Result<()> {
        for row in rows {
            self.rows.serialize(row).map_err(io::Error::from).map_err(at(&self.path))?;
        }
        self.rows.flush().map_err(at(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_whole_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("summary.json");
        for text in ["first", "second, longer", "3"] {
            replace(&path, text.as_bytes()).expect("writable");
            assert_eq!(fs::read_to_string(&path).expect("there"), text);
        }
        assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 1);
    }

    #[test]
    fn errors_name_the_path() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("missing").join("summary.json");
        let error = replace(&path, b"x").expect_err("its folder is missing");
        assert!(error.to_string().contains("missing/summary.json"), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error_and_not_a_silent_loss() {
        let path = PathBuf::from("/dev/full");
        let mut file = Appended::create(path).expect("it opens");
        let error = file.write(b"row").expect_err("it is always full");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().starts_with("/dev/full: "), "{error}");
        assert!(error.to_string().contains("--out"), "{error}");
    }
}
