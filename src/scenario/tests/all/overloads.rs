//! Which loads are said to be more than their backends can serve, and which are not.

use scenario::Scenario;

use crate::common::parse;

/// Two backends of 40 and 10 requests/s (mean 0.1 s).
const TEXT: &str = r#"name = "x"
question = "x?"
engine = "sim"
[proxy]
strategy = "STRATEGY"
EXTRA
[[backends]]
name = "fast"
concurrency = 4
service = { distribution = "exponential", mean = "100ms" }
[[backends]]
name = "slow"
weight = WEIGHT
service = { distribution = "constant", value = "100ms" }
concurrency = 1
[load]
[[load.phases]]
name = "calm"
duration = "5s"
rate = 1
[[load.phases]]
name = "high"
duration = "5s"
rate = RATE
"#;

fn scenario(text: &str) -> Scenario {
    parse(text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
}

fn overloads(strategy: &str, weight: &str, rate: &str, extra: &str) -> Vec<String> {
    let text = TEXT
        .replace("STRATEGY", strategy)
        .replace("WEIGHT", weight)
        .replace("RATE", rate)
        .replace("EXTRA", extra);
    scenario(&text).overloads()
}

#[test]
fn load_is_held_against_what_backends_can_serve() {
    let together = "offers 50.0 requests/s and the backends together can serve 50.0";
    let crash = "[[faults]]\nat = \"1s\"\nbackend = \"slow-1\"\nkind = \"crash\"";
    for (strategy, weight, rate, extra, wanted) in [
        ("p2c", "1", "49.9", "", ""),
        ("p2c", "1", "50", "", together),
        ("p2c", "1", "5\nto = 50", "", "offers up to 50.0 requests/s"),
        ("random", "1", "50", "", together),
        ("random", "1", "19", "", ""),
        (
            "random",
            "1",
            "20",
            "",
            "by weight whatever the backends' load: slow-1 gets 10.0 of them and can serve 10.0 (",
        ),
        ("round_robin", "1", "30", "", "slow-1 gets 15.0 of them and can serve 10.0 ("),
        ("round_robin", "9", "44", "", "slow-1 gets 39.6"),
        ("p2c", "9", "44", "", ""),
        ("least_request", "1", "44", "", ""),
        // In turns, whatever the weights say.
        (
            "p2c",
            "9",
            "30",
            "kind = \"direct\"",
            "in turns whatever the backends' load: slow-1 gets 15.0",
        ),
        // What changes the arithmetic silences it.
        ("round_robin", "1", "30", "[proxy.ejection]", ""),
        (
            "round_robin",
            "1",
            "60",
            "[proxy.ejection]",
            "offers 60.0 requests/s and the backends together",
        ),
        ("p2c", "1", "60", "[proxy.limits]", ""),
        ("p2c", "1", "60", crash, ""),
        ("p2c", "1", "60", "[proxy.retry]", "offers 60.0 requests/s and the backends together"),
    ] {
        let found = overloads(strategy, weight, rate, extra);
        let case = format!("{strategy}, weight {weight}, rate {rate}, {extra}: {found:?}");
        match wanted {
            "" => assert!(found.is_empty(), "{case}"),
            wanted => {
                assert_eq!(found.len(), 1, "{case}");
                assert!(
                    found[0].contains(wanted) && found[0].starts_with("phase \"high\""),
                    "{case}"
                );
            }
        }
    }
}

#[test]
fn whose_services_have_no_mean_can_serve_no_rate() {
    let pareto = "{ distribution = \"pareto\", min = \"1ms\", shape = 1 }";
    let fast = "{ distribution = \"exponential\", mean = \"100ms\" }";
    let slow = "{ distribution = \"constant\", value = \"100ms\" }";
    for (strategy, replaced, rate, wanted) in [
        (
            "p2c",
            &[fast, slow][..],
            "1",
            "together can serve none (their mean service time is infinite)",
        ),
        ("p2c", &[slow], "41", "together can serve 40.0 (concurrency / mean service time)"),
        (
            "random",
            &[slow],
            "2",
            "gets 1.0 of them and can serve none (its mean service time is infinite)",
        ),
    ] {
        let text = TEXT
            .replace("STRATEGY", strategy)
            .replace("WEIGHT", "1")
            .replace("RATE", rate)
            .replace("EXTRA", "");
        let text = replaced.iter().fold(text, |text, service| text.replace(service, pareto));
        let found = scenario(&text).overloads();
        assert!(found.len() == 1 && found[0].contains(wanted), "{found:?}\nand not\n{wanted}");
    }
}

#[test]
fn variants_with_the_same_overload_share_a_note() {
    let text = TEXT
        .replace("STRATEGY", "p2c")
        .replace("WEIGHT", "1")
        .replace("RATE", "30")
        .replace("EXTRA", "");
    let vary = "[vary]\n\"proxy.strategy\" = [\"p2c\", \"random\", \"round_robin\"]\n";
    let found = scenario(&format!("{text}{vary}")).overloads();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("random; round_robin: phase \"high\" offers 30.0"), "{found:?}");
}

#[test]
fn a_note_says_what_ends_the_growth_of_queues() {
    let (unlimited, drop) = ("queue = \"unlimited\"\n", "abandoned = \"drop\"\n");
    for (strategy, model, wanted) in [
        ("p2c", String::new(), "queues grow for as long as it lasts, until they are full"),
        ("p2c", drop.to_owned(), "as it lasts, until they are full or requests time out"),
        ("p2c", format!("{unlimited}{drop}"), "as it lasts, until requests time out"),
        (
            "p2c",
            unlimited.to_owned(),
            "at fast-1 without end, as what is abandoned is finished and waits on",
        ),
        ("random", String::new(), "its queue grows for as long as it lasts, until it is full"),
        (
            "random",
            unlimited.to_owned(),
            "lasts, without end, as what is abandoned is finished and waits on",
        ),
    ] {
        let text = TEXT
            .replace("STRATEGY", strategy)
            .replace("WEIGHT", "1")
            .replace("RATE", if strategy == "p2c" { "60" } else { "30" })
            .replace("EXTRA", "")
            .replace("concurrency =", &format!("{model}concurrency ="));
        let found = scenario(&text).overloads();
        assert!(found.len() == 1 && found[0].ends_with(wanted), "{found:?}\nand not\n{wanted}");
    }
}

/// A burst, and a pause before the usual phases.
const BURST: &str = "timeout = \"1000s\"\n[[load.phases]]\nduration = \"10s\"\nrate = 100\n\
                     [[load.phases]]\nduration = \"1s\"\nrate = 1\n[[load.phases]]";

/// Where one finishes what is abandoned and the other drops it, all that is too much may be at the other.
#[test]
fn of_backends_that_differ_the_least_is_known() {
    let text = TEXT
        .replace("STRATEGY", "random")
        .replace("WEIGHT", "1")
        .replace("RATE", "150")
        .replace("EXTRA", "")
        .replacen("[[load.phases]]", "timeout = \"2s\"\n[[load.phases]]", 1)
        .replace("concurrency = 4", "queue = \"unlimited\"\nconcurrency = 4")
        .replace("concurrency = 1", "queue = \"unlimited\"\nabandoned = \"drop\"\nconcurrency = 1");
    let scenario = scenario(&text);
    assert!((scenario.variants[0].backlog() - 200.0).abs() < 1e-6);
    let note = scenario.overloads().concat();
    assert!(note.contains("at fast-1 without end"), "{note}");
}

/// Capacity 50/s; the high phase lasts 5 s. Full queues bound what waits, and timeouts do at backends
/// that drop what is abandoned: those that finish it hold it whoever has gone.
#[test]
fn what_must_pile_up_is_known_before() {
    let endless = ("timeout = \"1000s\"\n[[load.phases]]", "queue = \"unlimited\"\n");
    let short = "timeout = \"2s\"\n[[load.phases]]";
    let dropped = "queue = \"unlimited\"\nabandoned = \"drop\"\n";
    for (rate, load, queue, extra, wanted) in [
        ("49", endless.0, endless.1, "", 0.0),
        ("150", endless.0, endless.1, "", 500.0),
        ("50\nto = 250", endless.0, endless.1, "", 500.0),
        ("150", short, endless.1, "", 500.0),
        ("150", short, dropped, "", 200.0),
        ("150", endless.0, endless.1, "timeout = { attempt = \"1s\" }", 500.0),
        ("150", endless.0, dropped, "timeout = { attempt = \"1s\" }", 100.0),
        ("150", endless.0, "queue = 20\n", "", 45.0),
        ("150", short, "queue = 20\n", "", 45.0),
        ("150", endless.0, "queue = 20\nabandoned = \"drop\"\n", "", 45.0),
        ("150", endless.0, endless.1, "limits = { max_in_flight = 1 }", 0.0),
        // After a burst, 500, and a pause, 206 are left: another burst makes it more, or not.
        ("150", BURST, endless.1, "", 706.0),
        ("90", BURST, endless.1, "", 500.0),
    ] {
        let text = TEXT
            .replace("STRATEGY", "random")
            .replace("WEIGHT", "1")
            .replace("RATE", rate)
            .replace("EXTRA", extra)
            .replacen("[[load.phases]]", load, 1)
            .replace("concurrency =", &format!("{queue}concurrency ="));
        let found = scenario(&text).variants[0].backlog();
        assert!((found - wanted).abs() < 1e-6, "{rate} {load} {queue} {extra}: {found}");
    }
}
