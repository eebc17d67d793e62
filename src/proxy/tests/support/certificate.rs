//! A certificate in a folder that goes by itself, and a client that trusts it alone. It must not
//! know HTTP.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::PATIENCE;

/// A TLS connection of a client.
pub(crate) type Secret = StreamOwned<ClientConnection, TcpStream>;

/// The files of one certificate, which [`Certificate::renew`] changes.
pub(crate) struct Certificate {
    folder: tempfile::TempDir,
    der: CertificateDer<'static>,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let der = write(&folder);
        Self { folder, der }
    }

    /// Another one in the same files.
    pub(crate) fn renew(&mut self) {
        self.der = write(&self.folder);
    }

    /// The table for proxy.toml.
    pub(crate) fn table(&self) -> String {
        let folder = self.folder.path().display();
        format!("[tls]\ncert = \"{folder}/cert.pem\"\nkey = \"{folder}/key.pem\"\n")
    }

    pub(crate) fn break_key(&self) {
        std::fs::write(self.folder.path().join("key.pem"), "no key").expect("a file of our own");
    }

    pub(crate) fn client(&self, protocols: &[&str]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().into()).collect();
        config
    }

    /// A connection whose handshake is done, or the reason why not.
    pub(crate) fn connect(&self, to: SocketAddr, protocols: &[&str]) -> std::io::Result<Secret> {
        let stream = TcpStream::connect(to)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from("localhost").expect("a name");
        let client = ClientConnection::new(Arc::new(self.client(protocols)), name);
        let mut secret = StreamOwned::new(client.expect("a valid configuration"), stream);
        while secret.conn.is_handshaking() {
            secret.conn.complete_io(&mut secret.sock)?;
        }
        Ok(secret)
    }
}

fn write(folder: &tempfile::TempDir) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".into()]).expect("a name");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("cert.pem"), made.cert.pem()).expect("a file of our own");
    std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).expect("a file of our own");
    made.cert.der().clone()
}
