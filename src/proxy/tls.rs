//! TLS towards clients: the certificate and its key, read at the start and whenever they were
//! renewed, and handshakes. It must not know what is spoken inside.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use config::edge::TlsFiles;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The largest file that is read for a certificate or a key; chains are a few KiB.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// HTTP/2 and HTTP/1.1 in ALPN (RFC 7301 §6).
const ALPN_H2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// Why TLS cannot be spoken with these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read.
    #[error("[tls] {key} = \"{}\": {source}; name a PEM file that this process may read", file.display())]
    Unreadable {
        /// "cert" or "key".
        key: &'static str,
        /// The file of the configuration.
        file: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file was read, but there is no such thing in it.
    #[error("[tls] {key} = \"{}\": {reason}; it must hold {wanted}", file.display())]
    Content {
        /// "cert" or "key".
        key: &'static str,
        /// The file of the configuration.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What should be in it.
        wanted: &'static str,
    },
    /// Both files are well, but not for each other.
    #[error(
        "[tls] key = \"{}\" is not the key of the first certificate in cert = \"{}\"; \
         name the key that the certificate was made for",
        key.display(), cert.display()
    )]
    Mismatch {
        /// The certificate chain's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The certificate or the key cannot be used.
    #[error(
        "[tls] cert = \"{}\", key = \"{}\": {source}; \
         use a certificate of version 3 with an RSA, ECDSA or Ed25519 key",
        cert.display(), key.display()
    )]
    Unusable {
        /// The certificate chain's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// The library's reason.
        source: rustls::Error,
    },
}

/// TLS with the certificate of the moment.
pub(crate) struct Tls {
    files: TlsFiles,
    h2: bool,
    current: Mutex<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files; `h2` offers HTTP/2.
    pub(crate) fn new(files: &TlsFiles, h2: bool) -> Result<Self, TlsError> {
        let current = Mutex::new(Arc::new(read(files, h2)?));
        Ok(Self { files: files.clone(), h2, current })
    }

    /// Reads the files again. New connections get what is in them; those that are open stay as they
    /// are, and after an error everything does.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        self.install(self.fresh()?);
        Ok(())
    }

    /// What is in the files now, for [`Tls::install`].
    pub(crate) fn fresh(&self) -> Result<Arc<ServerConfig>, TlsError> {
        Ok(Arc::new(read(&self.files, self.h2)?))
    }

    /// Serves the connections to come with it.
    pub(crate) fn install(&self, fresh: Arc<ServerConfig>) {
        *self.lock() = fresh;
    }

    /// Shakes hands with a client. How long that may take is its caller's to limit.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.lock()));
        acceptor.accept(stream).await
    }

    fn lock(&self) -> MutexGuard<'_, Arc<ServerConfig>> {
        // Nothing that could panic is done under it.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether client and proxy have agreed on HTTP/2.
pub(crate) fn is_http2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(ALPN_H2)
}

fn read(files: &TlsFiles, h2: bool) -> Result<ServerConfig, TlsError> {
    const CHAIN: &str = "the certificate and those between it and the root, PEM";
    const KEY: &str = "one unencrypted private key, PEM (PKCS#8, PKCS#1 or SEC1)";
    let content = |key, file: &Path, error: &pem::Error, wanted| {
        let (file, reason) = (file.into(), in_words(error));
        TlsError::Content { key, file, reason, wanted }
    };
    let text = read_file("cert", &files.cert)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain
        .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(|error| content("cert", &files.cert, &error, CHAIN))?;
    let text = read_file("key", &files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|error| content("key", &files.key, &error, KEY))?;
    let (cert_file, key_file) = (files.cert.clone(), files.key.clone());
    let mut config = with_certificate(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch) => {
            TlsError::Mismatch { cert: cert_file, key: key_file }
        }
        source => TlsError::Unusable { cert: cert_file, key: key_file, source },
    })?;
    config.alpn_protocols = match h2 {
        true => vec![ALPN_H2.into(), ALPN_HTTP1.into()],
        false => vec![ALPN_HTTP1.into()],
    };
    Ok(config)
}

/// TLS 1.2 and 1.3 without certificates of clients; sessions are resumed within this process.
fn with_certificate(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    // Named here, and not the process's default: with two providers in a tree that one panics.
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
}

fn read_file(key: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    let read = || {
        let opened = File::open(file)?;
        if !opened.metadata()?.is_file() {
            return Err(io::Error::other("not a file"));
        }
        let mut text = vec![];
        opened.take(MAX_FILE_BYTES + 1).read_to_end(&mut text)?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(io::Error::other("larger than 1 MiB"));
        }
        Ok(text)
    };
    read().map_err(|source| TlsError::Unreadable { key, file: file.into(), source })
}

/// The library's own words would show a part of the file as a list of numbers.
fn in_words(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "nothing of the kind is in it".into(),
        pem::Error::MissingSectionEnd { .. } => "a section has no END line".into(),
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is malformed".into(),
        pem::Error::Base64Decode(reason) => format!("not Base64: {reason}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, KeyPair};

    use super::*;

    fn certificate() -> CertifiedKey<KeyPair> {
        rcgen::generate_simple_self_signed(["localhost".into()]).expect("a name that is one")
    }

    #[test]
    fn what_is_wrong_with_the_files_is_told_with_the_remedy() {
        let (ours, other) = (certificate(), certificate());
        let (cert, key) = (ours.cert.pem(), ours.signing_key.serialize_pem());
        let cut = &cert[..cert.len() / 2];
        let no_base64 = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        let no_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        // (certificate, key) → parts of the message; a missing text is a missing file
        let table: &[(Option<&str>, Option<&str>, &[&str])] = &[
            (None, Some(&key), &["cert = \"", "cert.pem", "No such file", "name a PEM file"]),
            (Some(&cert), None, &["key = \"", "key.pem", "No such file", "name a PEM file"]),
            (
                Some(""),
                Some(&key),
                &["cert.pem", "nothing of the kind", "must hold the certificate"],
            ),
            (Some("garbage"), Some(&key), &["cert.pem", "nothing of the kind"]),
            (Some(&key), Some(&key), &["cert.pem", "nothing of the kind"]),
            (Some(cut), Some(&key), &["cert.pem", "no END line"]),
            (Some(no_base64), Some(&key), &["cert.pem", "not Base64"]),
            (Some(no_der), Some(&key), &["cert.pem", "use a certificate"]),
            (Some(&cert), Some(&cert), &["key.pem", "nothing of the kind", "one unencrypted"]),
            (
                Some(&cert),
                Some(&other.signing_key.serialize_pem()),
                &["key.pem", "is not the key of the first certificate", "cert.pem"],
            ),
        ];
        for (cert, key, expected) in table {
            let folder = tempfile::tempdir().expect("a folder");
            let files = TlsFiles {
                cert: folder.path().join("cert.pem"),
                key: folder.path().join("key.pem"),
            };
            for (text, file) in [(cert, &files.cert), (key, &files.key)] {
                if let Some(text) = text {
                    std::fs::write(file, text).expect("a file of our own");
                }
            }
            let error = Tls::new(&files, true).err().expect("refused").to_string();
            for part in *expected {
                assert!(error.contains(part), "{part:?} is not in: {error}");
            }
        }
    }

    #[test]
    fn what_is_no_file_or_a_giant_one_is_not_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let giant = folder.path().join("giant.pem");
        let file = File::create(&giant).expect("a file of our own");
        file.set_len(MAX_FILE_BYTES + 1).expect("a sparse file");
        for (cert, expected) in [(folder.path(), "not a file"), (&giant, "larger than 1 MiB")] {
            let files = TlsFiles { cert: cert.into(), key: cert.into() };
            let error = Tls::new(&files, true).err().expect("refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn after_an_error_everything_stays_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let files =
            TlsFiles { cert: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
        let ours = certificate();
        std::fs::write(&files.cert, ours.cert.pem()).expect("a file of our own");
        std::fs::write(&files.key, ours.signing_key.serialize_pem()).expect("a file of our own");
        let tls = Tls::new(&files, true).expect("both are well");
        let before = Arc::clone(&tls.lock());
        std::fs::write(&files.cert, certificate().cert.pem()).expect("a file of our own");
        assert!(matches!(tls.reload(), Err(TlsError::Mismatch { .. })));
        assert!(Arc::ptr_eq(&before, &tls.lock()));
        std::fs::write(&files.cert, ours.cert.pem()).expect("a file of our own");
        tls.reload().expect("they fit again");
        assert!(!Arc::ptr_eq(&before, &tls.lock()));
    }
}
