//! Property: every field that goes on is byte for byte as it came, in its place, and no other goes.

use proptest::prelude::*;

use crate::http1::*;

/// A field's line in the way some sender writes it.
fn any_line() -> impl Strategy<Value = (String, String)> {
    let name = prop_oneof![
        "[!#-'*+.^_`|~0-9A-Za-z-]{1,12}",
        prop::sample::select(vec![
            "Accept",
            "COOKIE",
            "x-listed",
            "X-Listed",
            "Keep-Alive",
            "TE",
            "Te",
            "Via",
            "Expect",
            "Proxy-Authorization",
            "x-attempt-count",
            "User-Agent",
            "Content-Type",
            "Upgrade",
        ])
        .prop_map(String::from),
        Just("Connection".to_owned()),
    ];
    let value = prop_oneof![
        "[ \t]{0,2}[!-~\u{80}-\u{2fff}]([ -~\t]{0,30}[!-~])?[ \t]{0,2}",
        Just(String::new()),
        Just(" close, x-listed".to_owned()),
    ];
    (name, value).prop_filter("fields that have a grammar of their own", |(name, value)| {
        let of = |others: &[&str]| others.iter().any(|other| name.eq_ignore_ascii_case(other));
        let plain = value.is_empty() || value.contains("x-listed");
        !of(&["host", "content-length", "transfer-encoding", "expect"])
            && (!of(&["connection"]) || plain)
    })
}

/// What goes on, by the rules of RFC 9110 §7.6.1 told line by line.
fn expected(lines: &[(String, String)]) -> String {
    let listed = lines
        .iter()
        .any(|(name, value)| name.eq_ignore_ascii_case("connection") && value.contains("x-listed"));
    let ends_here = |name: &str| {
        let name = name.to_ascii_lowercase();
        let of_hop = [
            "connection",
            "keep-alive",
            "proxy-connection",
            "te",
            "upgrade",
            "proxy-authenticate",
            "proxy-authorization",
            "x-attempt-count",
        ];
        of_hop.contains(&&*name) || (listed && name == "x-listed")
    };
    let kept = lines.iter().filter(|(name, _)| !ends_here(name));
    kept.map(|(name, value)| format!("{name}:{value}\r\n")).collect()
}

/// Both legs' heads with these lines, written on.
fn relayed(lines: &[(String, String)]) -> (Vec<u8>, Vec<u8>) {
    let fields: String = lines.iter().map(|(name, value)| format!("{name}:{value}\r\n")).collect();
    let (mut up, mut down) = (vec![], vec![]);
    let text = format!("GET / HTTP/1.1\r\n{fields}Host: h\r\n\r\n");
    let mut request = RequestHead::new();
    assert_eq!(request.parse(text.as_bytes()), Ok(Some(text.len())), "{text:?}");
    request.render_upstream(text.as_bytes(), Kinds::of(&[Kind::Host]), &mut up);
    let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    let mut response = ResponseHead::new();
    assert_eq!(response.parse(text.as_bytes(), Method::Get), Ok(Some(text.len())), "{text:?}");
    let to = Receiver { version: Version::Http11, keep_alive: true };
    response.render_downstream(text.as_bytes(), to, Kinds::NONE, &mut down);
    (up, down)
}

/// The named wrong implementation: it writes each field anew from its name and value.
fn rebuilt(lines: &[(String, String)]) -> String {
    let fields = lines
        .iter()
        .map(|(name, value)| format!("{}: {}\r\n", name.to_ascii_lowercase(), value.trim_ascii()));
    fields.collect()
}

proptest! {
    #[test]
    fn what_goes_on_is_as_it_came(lines in prop::collection::vec(any_line(), 0..12)) {
        let fields = expected(&lines);
        let (up, down) = relayed(&lines);
        prop_assert_eq!(String::from_utf8_lossy(&up), format!("GET / HTTP/1.1\r\n{fields}"));
        prop_assert_eq!(String::from_utf8_lossy(&down), format!("HTTP/1.1 200 OK\r\n{fields}"));
    }
}

#[test]
fn the_property_finds_a_proxy_that_writes_fields_anew() {
    let lines = [("User-Agent".to_owned(), "x \t".to_owned())];
    assert_ne!(rebuilt(&lines), expected(&lines));
    assert_eq!(relayed(&lines).1, format!("HTTP/1.1 200 OK\r\n{}", expected(&lines)).into_bytes());
}
