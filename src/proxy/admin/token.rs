//! The admin API's token: where it is read and how it is compared. It must not know HTTP's routes,
//! and never shows it.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use config::edge::{AdminToken, Secret};
use subtle::ConstantTimeEq as _;

/// The most of a token's file that is read: a token has at most 256 characters, and whoever names a
/// device by mistake shall get an error.
const MAX_FILE_BYTES: u64 = 4096;

/// Why there is no token though one is asked for.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error(
        "cannot read admin_token_file {}: {source}; make it a text file that this process may read",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("admin_token_file {} holds no token: it must be {wanted}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What to write instead.
        wanted: String,
    },
}

/// The token that requests must bring.
#[derive(Debug)]
pub(super) struct Token {
    secret: Secret,
    warning: Option<String>,
}

impl Token {
    pub(super) fn new(from: &AdminToken) -> Result<Self, TokenError> {
        match from {
            AdminToken::Written(secret) => Ok(Self { secret: secret.clone(), warning: None }),
            AdminToken::File(path) => Self::read(path),
        }
    }

    fn read(path: &Path) -> Result<Self, TokenError> {
        let unreadable = |source| TokenError::Unreadable { path: path.into(), source };
        let file = File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.permissions().mode();
        let mut text = String::new();
        file.take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(unreadable)?;
        let secret = Secret::parse(&text)
            .map_err(|wanted| TokenError::Invalid { path: path.into(), wanted })?;
        // A group is how a service's own files are shared; others are everybody.
        let warning = (mode & 0o004 != 0).then(|| {
            let path = path.display();
            format!("warning: every user can read admin_token_file {path}: chmod o-r {path}")
        });
        Ok(Self { secret, warning })
    }

    /// What an operator should know of its file.
    pub(super) const fn warning(&self) -> Option<&String> {
        self.warning.as_ref()
    }

    /// Whether a field `Authorization` brings it. How long that takes tells its length at most.
    pub(super) fn is_in(&self, field: &str) -> bool {
        let Some((scheme, given)) = field.split_once(' ') else { return false };
        let given = given.trim_matches(' ').as_bytes();
        scheme.eq_ignore_ascii_case("bearer")
            && bool::from(given.ct_eq(self.secret.expose().as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_taken_whole() {
        let secret = Secret::parse("0123456789abcdef").expect("16 characters");
        let token = Token::new(&AdminToken::Written(secret)).expect("no file is read");
        for (field, fits) in [
            ("Bearer 0123456789abcdef", true),
            ("bearer  0123456789abcdef", true),
            ("Bearer 0123456789abcde", false),
            ("Bearer 0123456789abcdef0", false),
            ("Bearer 0123456789abcdeF", false),
            ("Bearer ", false),
            ("Bearer", false),
            ("0123456789abcdef", false),
            ("Basic 0123456789abcdef", false),
            ("Bearer 0123456789abcdef, Bearer x", false),
            ("", false),
        ] {
            assert_eq!(token.is_in(field), fits, "{field}");
        }
        assert!(!format!("{token:?}").contains("0123"), "{token:?}");
    }

    #[test]
    fn a_file_without_a_token_is_named_and_not_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let missing = Token::read(&path).expect_err("no file").to_string();
        assert!(missing.contains("token") && missing.contains("may read"), "{missing}");
        for text in ["", "secretly", "secretly spaced and long enough", &"secretly".repeat(1000)] {
            std::fs::write(&path, text).expect("a file");
            let error = Token::read(&path).expect_err("no token").to_string();
            assert!(error.contains("16 to 256") && !error.contains("secretly"), "{error}");
        }
        std::fs::write(&path, "0123456789abcdef\n").expect("a file");
        for (mode, warned) in [(0o600, false), (0o640, false), (0o644, true)] {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, permissions).expect("mine");
            let token = Token::read(&path).expect("a token");
            assert!(token.is_in("Bearer 0123456789abcdef"));
            assert_eq!(token.warning().is_some(), warned, "{mode:o}");
        }
    }
}
