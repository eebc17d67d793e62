//! The field names that an intermediary must know. It must not know what it does about them.

/// A field by its name, as far as a proxy must know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "each is the field of its name")]
pub enum Kind {
    /// Any other name.
    #[default]
    Other,
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    KeepAlive,
    ProxyConnection,
    ProxyAuthenticate,
    ProxyAuthorization,
    Te,
    Trailer,
    Upgrade,
    Expect,
    XForwardedFor,
    XForwardedProto,
    XForwardedHost,
    Forwarded,
    Via,
    XRequestId,
    Cookie,
    MaxForwards,
    /// The proxy's own `X-Attempt-Count`.
    XAttemptCount,
}

/// The longest name that [`Kind::of`] knows, in bytes.
pub(super) const LONGEST_NAME: usize = "proxy-authorization".len();

impl Kind {
    /// The kind of a field's name, in whatever case.
    pub const fn of(name: &[u8]) -> Self {
        // The length sorts out nearly all other names at the price of one comparison, and the
        // first letter tells those of one length apart.
        let first = if name.is_empty() { 0 } else { name[0] | 0x20 };
        let (known, kind): (&[u8], Self) = match (name.len(), first) {
            (2, b't') => (b"te", Self::Te),
            (3, b'v') => (b"via", Self::Via),
            (4, b'h') => (b"host", Self::Host),
            (6, b'c') => (b"cookie", Self::Cookie),
            (6, b'e') => (b"expect", Self::Expect),
            (7, b't') => (b"trailer", Self::Trailer),
            (7, b'u') => (b"upgrade", Self::Upgrade),
            (9, b'f') => (b"forwarded", Self::Forwarded),
            (10, b'c') => (b"connection", Self::Connection),
            (10, b'k') => (b"keep-alive", Self::KeepAlive),
            (12, b'x') => (b"x-request-id", Self::XRequestId),
            (12, b'm') => (b"max-forwards", Self::MaxForwards),
            (14, b'c') => (b"content-length", Self::ContentLength),
            (15, b'x') if name[2] | 0x20 == b'f' => (b"x-forwarded-for", Self::XForwardedFor),
            (15, b'x') => (b"x-attempt-count", Self::XAttemptCount),
            (16, b'x') => (b"x-forwarded-host", Self::XForwardedHost),
            (16, b'p') => (b"proxy-connection", Self::ProxyConnection),
            (17, b't') => (b"transfer-encoding", Self::TransferEncoding),
            (17, b'x') => (b"x-forwarded-proto", Self::XForwardedProto),
            (18, b'p') => (b"proxy-authenticate", Self::ProxyAuthenticate),
            (19, b'p') => (b"proxy-authorization", Self::ProxyAuthorization),
            _ => return Self::Other,
        };
        if name.eq_ignore_ascii_case(known) { kind } else { Self::Other }
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u32);

impl Kinds {
    /// No kind.
    pub const NONE: Self = Self(0);

    /// What concerns one connection alone (RFC 9110 §7.6.1) and does not say how long the message
    /// is, the proxy's own `X-Attempt-Count` included.
    pub const OF_THIS_HOP: Self = Self::of(&[
        Kind::Connection,
        Kind::KeepAlive,
        Kind::ProxyConnection,
        Kind::ProxyAuthenticate,
        Kind::ProxyAuthorization,
        Kind::Te,
        Kind::Upgrade,
        Kind::XAttemptCount,
    ]);

    /// Fields for which it makes no difference whether Connection lists them: whoever lists the first
    /// three would change what the message says or how long it is, and the others stay or go by
    /// their kind.
    pub(super) const NEVER_LISTED: Self =
        Self::of(&[Kind::Host, Kind::ContentLength, Kind::TransferEncoding]).and(Self::OF_THIS_HOP);

    /// The set of these kinds.
    pub const fn of(kinds: &[Kind]) -> Self {
        let (mut set, mut at) = (0, 0);
        while at < kinds.len() {
            set |= 1 << kinds[at] as u32;
            at += 1;
        }
        Self(set)
    }

    /// Both sets together.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without those of the other.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the kind is in it.
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u32) != 0
    }

    /// Whether both have a kind in common.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}
