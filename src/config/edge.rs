//! How a proxy meets its clients and its operators: TLS, forwarding, ids, logs, the admin API's
//! guards. Keys of proxy.toml alone; it must not know policies, nor open a file that it names.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::backends::push;
use crate::reader::Reader;
use crate::schema::{Key, Kind, Presence, Schema};
use crate::value::quote;

/// The fewest characters of the admin API's token: 16 of 64 kinds are 96 bits.
const TOKEN_MIN: usize = 16;

/// The most characters of it; a header field should not grow without limit.
const TOKEN_MAX: usize = 256;

/// How many origins may be allowed besides the admin API's own.
const ORIGINS: usize = 64;

/// What meets the clients.
pub const CLIENT_KEYS: &[Key] = &[
    Key {
        name: "h2",
        kind: Kind::Flag,
        presence: Presence::Default("true"),
        summary: "HTTP/2 too: by prior knowledge on a plain connection, by ALPN on TLS.",
    },
    Key {
        name: "tls",
        kind: Kind::Table(&TLS),
        presence: Presence::Absent("plain connections"),
        summary: "TLS towards clients.",
    },
    Key {
        name: "max_connections",
        kind: Kind::Whole { min: 1, max: 1_000_000 },
        presence: Presence::Default("65536"),
        summary: "Connections of clients that a worker holds at once; never more than half of the \
                  descriptors that the process may open. When all are taken, idle ones make way.",
    },
    Key {
        name: "trusted_hops",
        kind: Kind::Whole { min: 0, max: 16 },
        presence: Presence::Default("0"),
        summary: "How many proxies in front are trusted: so many entries of X-Forwarded-For or \
                  Forwarded, from the right, are believed. With 0 the client is who connects.",
    },
    Key {
        name: "forwarded",
        kind: Kind::Word(&["x-forwarded", "forwarded", "both", "off"]),
        presence: Presence::Default("x-forwarded"),
        summary: "What backends are told of the client: X-Forwarded-For, -Proto and -Host, \
                  Forwarded (RFC 7239), both, or nothing.",
    },
    Key {
        name: "request_id",
        kind: Kind::Flag,
        presence: Presence::Default("true"),
        summary: "Every request upstream has an X-Request-Id: that of a trusted hop, else a new \
                  one.",
    },
    Key {
        name: "explain",
        kind: Kind::Flag,
        presence: Presence::Default("false"),
        summary: "Answers to requests with `X-Lab-Explain: 1` show the candidates and their \
                  scores.",
    },
    Key {
        name: "access_log",
        kind: Kind::Table(&ACCESS_LOG),
        presence: Presence::Absent("no access log"),
        summary: "One line of JSON for each request.",
    },
];

/// What meets the operators.
pub const OPERATOR_KEYS: &[Key] = &[
    Key {
        name: "admin_token",
        kind: Kind::Secret { min: TOKEN_MIN, max: TOKEN_MAX },
        presence: Presence::Absent("no token is asked for"),
        summary: "The bearer token that the admin API asks for.",
    },
    Key {
        name: "admin_token_file",
        kind: Kind::File,
        presence: Presence::Absent("no token is asked for"),
        summary: "A file that holds the token, instead of `admin_token`.",
    },
    Key {
        name: "admin_origins",
        kind: Kind::Origins(ORIGINS),
        presence: Presence::Default("[]"),
        summary: "Origins of web pages that may change things by the admin API, besides its own.",
    },
    Key {
        name: "state_file",
        kind: Kind::File,
        presence: Presence::Absent("changes by the admin API end with the process"),
        summary: "Where changes by the admin API are kept over a restart.",
    },
];

static TLS: Schema = Schema {
    title: "[tls]",
    summary: "TLS towards clients. Relative paths start in the folder of this file.",
    groups: &[&[
        Key {
            name: "cert",
            kind: Kind::File,
            presence: Presence::Required("\"cert.pem\""),
            summary: "The certificate and those between it and the root, PEM.",
        },
        Key {
            name: "key",
            kind: Kind::File,
            presence: Presence::Required("\"key.pem\""),
            summary: "Its private key, PEM.",
        },
    ]],
};

static ACCESS_LOG: Schema = Schema {
    title: "[access_log]",
    summary: "One line of JSON for each request. An empty table takes the defaults; without the \
              table there is no log.",
    groups: &[&[Key {
        name: "path",
        kind: Kind::File,
        presence: Presence::Default("stdout"),
        summary: "The file that lines are added to, or \"stdout\".",
    }]],
};

/// The files of TLS towards clients, not yet opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// What backends are told of the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forwarded {
    /// X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host.
    #[default]
    XForwarded,
    /// Forwarded (RFC 7239).
    Standard,
    /// All of them.
    Both,
    /// None of them.
    Off,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// Standard output.
    Stdout,
    /// Added to this file, which is made when it is missing.
    File(PathBuf),
}

/// Where the admin API's token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminToken {
    /// In the configuration.
    Written(Secret),
    /// In this file, which the proxy reads with [`Secret::parse`].
    File(PathBuf),
}

/// A text that is not shown: its `Debug` says only that there is one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A token: 16 to 256 visible ASCII characters. White space at the end, such as an editor's
    /// last line break, is no part of it.
    ///
    /// # Errors
    /// What to write instead, as the end of "must be …"; never the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        const KIND: Kind = Kind::Secret { min: TOKEN_MIN, max: TOKEN_MAX };
        let text = text.trim_end();
        let fits = (TOKEN_MIN..=TOKEN_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(text.to_string())) } else { Err(KIND.wanted()) }
    }

    /// The text, to be compared in constant time or written back.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Forwarded {
    const WORDS: [(&str, Self); 4] = [
        ("x-forwarded", Self::XForwarded),
        ("forwarded", Self::Standard),
        ("both", Self::Both),
        ("off", Self::Off),
    ];

    /// As it stands in proxy.toml.
    pub fn word(self) -> &'static str {
        let found = Self::WORDS.iter().find(|(_, value)| *value == self);
        found.expect("every value has its word").0
    }

    /// Whether X-Forwarded-For and its kin are sent.
    pub const fn sends_x_forwarded(self) -> bool {
        matches!(self, Self::XForwarded | Self::Both)
    }

    /// Whether Forwarded is sent.
    pub const fn sends_standard(self) -> bool {
        matches!(self, Self::Standard | Self::Both)
    }

    pub(crate) fn read(r: &Reader<'_>) -> Option<Self> {
        let word = r.text("forwarded")?;
        let found = Self::WORDS.iter().find(|(known, _)| *known == word);
        Some(found.expect("the reader lets no other word pass").1)
    }
}

impl TlsFiles {
    /// `None` within when there is no such table.
    pub(crate) fn read(r: &Reader<'_>, folder: &Path) -> Option<Option<Self>> {
        if !r.has("tls") {
            return Some(None);
        }
        let r = r.table("tls")?;
        let (cert, key) = (r.text("cert"), r.text("key"));
        Some(Some(Self { cert: folder.join(cert?), key: folder.join(key?) }))
    }

    pub(crate) fn push(&self, text: &mut String) {
        text.push_str("\n[tls]\n");
        push(text, "cert", &path_to_toml(&self.cert));
        push(text, "key", &path_to_toml(&self.key));
    }
}

impl AccessLog {
    /// `None` within when there is no such table.
    pub(crate) fn read(r: &Reader<'_>, folder: &Path) -> Option<Option<Self>> {
        if !r.has("access_log") {
            return Some(None);
        }
        let path = r.table("access_log")?.text("path")?;
        Some(Some(match path.as_str() {
            "stdout" => Self::Stdout,
            path => Self::File(folder.join(path)),
        }))
    }

    pub(crate) fn push(&self, text: &mut String) {
        text.push_str("\n[access_log]\n");
        let path = match self {
            Self::Stdout => quote("stdout"),
            // A file of that very name would read back as the other case.
            Self::File(path) if path == Path::new("stdout") => quote("./stdout"),
            Self::File(path) => path_to_toml(path),
        };
        push(text, "path", &path);
    }
}

impl AdminToken {
    pub(crate) fn read(r: &Reader<'_>, folder: &Path) -> Option<Self> {
        let (written, file) = (r.text("admin_token"), r.text("admin_token_file"));
        if r.has("admin_token") && r.has("admin_token_file") {
            let message = "admin_token and admin_token_file are both there: keep one of the two";
            r.problem("admin_token_file", message);
        }
        for key in ["admin_token", "admin_token_file", "admin_origins"] {
            if r.has(key) && !r.has("admin") {
                let message =
                    format!("{key} guards nothing: write admin = \"127.0.0.1:9900\" as well");
                r.problem(key, message);
            }
        }
        let written = written.and_then(|token| Secret::parse(&token).ok());
        written.map(Self::Written).or(file.map(|file| Self::File(folder.join(file))))
    }

    pub(crate) fn push(&self, text: &mut String) {
        match self {
            Self::Written(secret) => push(text, "admin_token", &quote(secret.expose())),
            Self::File(path) => push(text, "admin_token_file", &path_to_toml(path)),
        }
    }
}

/// The folder in which the relative paths of this file start.
pub(crate) fn folder_of(file: &str) -> &Path {
    Path::new(file).parent().unwrap_or(Path::new(""))
}

/// A path as a TOML string. Those that were read are UTF-8, as TOML is.
pub(crate) fn path_to_toml(path: &Path) -> String {
    quote(&path.to_string_lossy())
}
