//! What bad input gets: the exact messages, with place, value and remedy.

use crate::common::{EXAMPLE, SHORT, messages, parse, parse_with, set, vary};

/// Parts of the shortest scenario, what is written instead, and the messages (joined by "|").
fn check(cases: &[(&str, &str, &str)]) {
    let mut wrong = String::new();
    for (from, to, expected) in cases {
        let text = SHORT.replacen(from, to, 1);
        assert_ne!(text, SHORT, "{from:?} is not in the scenario");
        let found = messages(parse(&text)).join("|");
        if found != *expected {
            wrong.push_str(&format!("\n{to}\n  gave     {found}\n  expected {expected}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn one_wrong_value_gets_one_message() {
    check(&[
        // The whole file.
        (
            "name = \"x\"\nq",
            "name = \"a b\"\nq",
            "x.toml:1:8: name must be a name of 1 to 64 letters, digits, \"-\" and \"_\", not \"a b\"",
        ),
        ("name = \"x\"\nq", "q", "x.toml:1:1: the scenario needs name: write name = \"failover\""),
        (
            "question = \"?\"",
            "question = \" \"",
            "x.toml:2:12: question must be text of 1 to 500 characters, not \" \"",
        ),
        (
            "question = \"?\"",
            "question = 5",
            "x.toml:2:12: question must be text of 1 to 500 characters, not 5",
        ),
        (
            "question = \"?\"",
            "question = \"?\"\nengin = 'sim'",
            "x.toml:3:1: unknown key \"engin\" in the scenario; did you mean engine?",
        ),
        (
            "question = \"?\"",
            "question = \"?\"\nengine = 'simulated'",
            "x.toml:3:10: unknown engine \"simulated\"; one of live, sim",
        ),
        (
            "question = \"?\"",
            "question = \"?\"\nseed = -1",
            "x.toml:3:8: seed must be a whole number of at least 0, not -1",
        ),
        (
            "question = \"?\"",
            "question = \"?\"\nrounds = 0",
            "x.toml:3:10: rounds must be a whole number from 1 to 10000, not 0",
        ),
        (
            "question = \"?\"",
            "question = \"?\"\nrounds = \"3\"",
            "x.toml:3:10: rounds must be a whole number from 1 to 10000, not \"3\": write it without quotes",
        ),
        (
            "question = \"?\"",
            "question = \"?\"\nquestion = \"?\"",
            "x.toml:3:1: this key is already there: keep one of the two",
        ),
        // The proxy.
        (
            "strategy = \"random\"",
            "",
            "x.toml:3:1: [proxy] needs strategy: write strategy = \"least_request\"",
        ),
        (
            "strategy = \"random\"",
            "strategy = \"p2\"",
            "x.toml:4:12: unknown strategy \"p2\"; one of least_request, p2c, random, round_robin",
        ),
        (
            "strategy = \"random\"",
            "strategy = 2",
            "x.toml:4:12: strategy must be the name of a strategy, or a table such as { name = \"p2c\", choices = 2 }, not 2",
        ),
        (
            "strategy = \"random\"",
            "strategy = { choices = 2 }",
            "x.toml:4:12: the name of a strategy is missing: write the name of a strategy, or a table such as { name = \"p2c\", choices = 2 }",
        ),
        (
            "strategy = \"random\"",
            "strategy = { name = \"p2c\", choices = 0 }",
            "x.toml:4:38: p2c: choices must be from 1 to 16, not 0",
        ),
        (
            "strategy = \"random\"",
            "strategy = { name = \"random\", choices = 2 }",
            "x.toml:4:41: random has no parameter \"choices\"; it has none",
        ),
        (
            "strategy = \"random\"",
            "strategy = { name = \"p2c\", choices = [2] }",
            "x.toml:4:38: \"choices\" must be a number, true, false or a duration, not a list",
        ),
        (
            "[proxy]",
            "[proxy]\nkind = \"nginx\"",
            "x.toml:4:8: kind \"nginx\" is not available yet; this version knows lab and direct",
        ),
        (
            "[proxy]",
            "[proxy]\nkind = \"apache\"",
            "x.toml:4:8: unknown kind \"apache\"; one of lab, direct",
        ),
        (
            "[proxy]",
            "[proxy]\nworkers = 0",
            "x.toml:4:11: workers must be a whole number from 1 to 256, not 0",
        ),
        ("[proxy]", "[proxy]\nbalancers = 2", "x.toml:4:13: balancers must be 1, not 2"),
        (
            "[proxy]",
            "[proxy]\nremove_after = \"30s\"",
            "x.toml:4:1: unknown key \"remove_after\" in [proxy]; there is kind, workers, balancers, strategy, health, retry, timeout",
        ),
        (
            "[proxy]",
            "[proxy]\nhealth = true",
            "x.toml:4:10: health must be a table: write [health], not true",
        ),
        (
            "[proxy]",
            "[proxy]\nhealth.interval = \"0s\"",
            "x.toml:4:19: interval must be a duration above zero such as \"500ms\", not \"0s\"",
        ),
        (
            "[proxy]",
            "[proxy]\nhealth.interval = 500",
            "x.toml:4:19: interval must be a duration above zero such as \"500ms\", not 500: write the unit",
        ),
        (
            "[proxy]",
            "[proxy]\nhealth.interval = \"500\"",
            "x.toml:4:19: interval = \"500\" is not a duration: write a number and ns, us, ms, s, m or h, such as \"250ms\"",
        ),
        (
            "[proxy]",
            "[proxy]\nhealth.path = \"health\"",
            "x.toml:4:15: path must be a path such as \"/\" or \"/search?q=1\", without spaces, not \"health\"",
        ),
        (
            "[proxy]",
            "[proxy]\nretry.statuses = [200]",
            "x.toml:4:18: statuses must be a list of at most 64 whole numbers from 400 to 599",
        ),
        (
            "[proxy]",
            "[proxy]\ntimeout.total = \"never\"",
            "x.toml:4:17: total = \"never\" is not a duration: write a number and ns, us, ms, s, m or h, such as \"250ms\"",
        ),
        ("[proxy]\nstrategy = \"random\"\n", "", "x.toml:1:1: the scenario needs [proxy]"),
        ("[proxy]", "[[proxy]]", "x.toml:3:1: proxy must be a table: write [proxy], not a list"),
    ]);
}

#[test]
fn one_wrong_value_of_backends_gets_one_message() {
    check(&[
        (
            "[[backends]]\nname = \"a\"",
            "[backends]\nname = \"a\"",
            "x.toml:5:1: backends must be a list of tables: write [[backends]], not a table",
        ),
        ("name = \"a\"", "", "x.toml:5:1: [[backends]] needs name: write name = \"a\""),
        (
            "name = \"a\"",
            "name = \"a.b\"",
            "x.toml:6:8: name must be a name of 1 to 64 letters, digits, \"-\" and \"_\", not \"a.b\"",
        ),
        (
            "name = \"a\"",
            "name = \"a\"\ncount = 100001",
            "x.toml:7:9: count must be a whole number from 1 to 100000, not 100001",
        ),
        (
            "name = \"a\"",
            "name = \"a\"\nweight = 0",
            "x.toml:7:10: weight must be a whole number from 1 to 65536, not 0",
        ),
        (
            "name = \"a\"",
            "name = \"a\"\nqueue = \"endless\"",
            "x.toml:7:9: queue must be a whole number from 0 to 10000000, or \"unlimited\", not \"endless\"",
        ),
        (
            "name = \"a\"",
            "name = \"a\"\nresponse = \"17MiB\"",
            "x.toml:7:12: response must be bytes such as 128 or \"64KiB\", at most 16777216, not \"17MiB\"",
        ),
        (
            "name = \"a\"",
            "name = \"a\"\nresponse = \"17 MiB\"",
            "x.toml:7:12: response = \"17 MiB\" is not a size: write bytes as a number, or such as \"64KiB\"",
        ),
        (
            "name = \"a\"",
            "name = \"a\"\ndiscipline = \"lifo\"",
            "x.toml:7:14: unknown discipline \"lifo\"; one of fifo, ps",
        ),
        (
            "[load]",
            "[[backends]]\nname = \"a\"\nservice = { distribution = \"constant\", value = \"1s\" }\n[load]",
            "x.toml:9:8: there are backends \"a\" already: rename one",
        ),
        (
            "{ distribution = \"constant\", value = \"20ms\" }",
            "\"20ms\"",
            "x.toml:7:11: service must be a table such as { distribution = \"lognormal\", median = \"20ms\", p99 = \"80ms\" }, not \"20ms\"",
        ),
        (
            "distribution = \"constant\", ",
            "",
            "x.toml:7:11: a distribution needs distribution; one of constant, uniform, exponential, erlang, hyperexponential, normal, lognormal, pareto, weibull, bimodal, empirical",
        ),
        (
            "constant",
            "gamma",
            "x.toml:7:28: unknown distribution \"gamma\"; one of constant, uniform, exponential, erlang, hyperexponential, normal, lognormal, pareto, weibull, bimodal, empirical",
        ),
        (
            "value =",
            "mean =",
            "x.toml:7:11: a constant distribution needs value: write value = \"20ms\"|x.toml:7:40: unknown key \"mean\" in a constant distribution; there is distribution, value",
        ),
        (
            "\"constant\", value = \"20ms\"",
            "\"exponential\", mean = \"0s\"",
            "x.toml:7:50: mean must be above zero",
        ),
        (
            "\"constant\", value = \"20ms\"",
            "\"uniform\", min = \"2s\", max = \"1s\"",
            "x.toml:7:57: max = 1s is below min = 2s: exchange them",
        ),
        (
            "\"constant\", value = \"20ms\"",
            "\"lognormal\", median = \"2s\", p99 = \"1s\"",
            "x.toml:7:62: p99 = 1s is below median = 2s: exchange them",
        ),
        (
            "\"constant\", value = \"20ms\"",
            "\"hyperexponential\", mean = \"1s\", scv = 0.5",
            "x.toml:7:67: scv must be a number from 1 to 1000000, not 0.5",
        ),
        (
            "\"constant\", value = \"20ms\"",
            "\"erlang\", mean = \"1s\", k = 0",
            "x.toml:7:55: k must be a whole number from 1 to 1000, not 0",
        ),
        (
            "\"constant\", value = \"20ms\"",
            "\"pareto\", min = \"1s\", shape = nan",
            "x.toml:7:58: shape must be a number from 0.1 to 1000, not nan",
        ),
        (
            "\"constant\", value = \"20ms\"",
            "\"bimodal\", a = \"1s\", b = \"1s\", share_b = 1.5",
            "x.toml:7:69: share_b must be a number from 0 to 1, not 1.5",
        ),
        (
            "\"constant\", value = \"20ms\"",
            "\"empirical\", file = \"none.csv\", column = \"ms\", unit = \"ms\"",
            "x.toml:7:48: \"none.csv\" cannot be read: no such file",
        ),
        (
            "\"constant\", value = \"20ms\"",
            "\"empirical\", file = \"measured.csv\", column = \"s\", unit = \"s\"",
            "x.toml:7:48: \"measured.csv\" has no column \"s\"; there is t, ms",
        ),
        (
            "\"constant\", value = \"20ms\"",
            "\"empirical\", file = \"broken.csv\", column = \"ms\", unit = \"ms\"",
            "x.toml:7:48: \"broken.csv\" holds \"fast\" in line 3, which is no time in ms",
        ),
        (
            "\"constant\", value = \"20ms\"",
            "\"empirical\", file = \"measured.csv\", unit = \"ms\"",
            "x.toml:7:11: an empirical distribution needs column, or values",
        ),
        (
            "\"constant\", value = \"20ms\"",
            "\"empirical\", unit = \"ms\", values = [1]",
            "x.toml:7:48: unit and values exclude each other: keep one of them",
        ),
        (
            "\"constant\", value = \"20ms\"",
            "\"empirical\", values = [-1]",
            "x.toml:7:50: values must be a list of 1 to 1000000 times in seconds",
        ),
    ]);
}

#[test]
fn one_wrong_value_of_the_load_gets_one_message() {
    check(&[
        (
            "duration = \"10s\"",
            "duration = \"0s\"",
            "x.toml:10:12: duration must be a duration above zero such as \"500ms\", not \"0s\"",
        ),
        (
            "duration = \"10s\"",
            "",
            "x.toml:9:1: [[load.phases]] needs duration: write duration = \"30s\"",
        ),
        (
            "duration = \"10s\"",
            "duration = \"1e3s\"",
            "x.toml:10:12: duration = \"1e3s\" is not a duration: write a number and ns, us, ms, s, m or h, such as \"250ms\"",
        ),
        (
            "duration = \"10s\"",
            "duration = \"3000h\"",
            "x.toml:10:12: duration = \"3000h\" is too long: at most 10000000s",
        ),
        (
            "duration = \"10s\"",
            "duration = \"9999999s\"",
            "x.toml:9:1: the load lasts more than 10000000s",
        ),
        (
            "rate = 100",
            "rate = 0",
            "x.toml:11:8: rate must not be 0: write requests/s above 0; only one end of a ramp may be 0",
        ),
        (
            "rate = 100",
            "rate = 0\nto = 0.0",
            "x.toml:11:8: rate must not be 0: write requests/s above 0; only one end of a ramp may be 0",
        ),
        (
            "rate = 100",
            "rate = -5",
            "x.toml:11:8: rate must be a number from 0 to 100000000, not -5",
        ),
        (
            "rate = 100",
            "rate = inf",
            "x.toml:11:8: rate must be a number from 0 to 100000000, not inf",
        ),
        (
            "rate = 100",
            "rate = 1e9",
            "x.toml:11:8: rate must be a number from 0 to 100000000, not 1e9",
        ),
        (
            "rate = 100",
            "rate = \"100\"",
            "x.toml:11:8: rate must be a number from 0 to 100000000, not \"100\": write it without quotes",
        ),
        (
            "rate = 100",
            "rate = 100\n[[load.phases]]\nname = \"phase-1\"\nduration = \"1s\"\nrate = 1",
            "x.toml:13:8: there is a phase \"phase-1\" already: rename one",
        ),
        (
            "[load]",
            "[load]\nconnections = 10\nmax_connections = 9",
            "x.toml:10:19: max_connections = 9 is below connections = 10: raise it",
        ),
        (
            "[load]",
            "[load]\ngenerator = \"artillery\"",
            "x.toml:9:13: generator \"artillery\" is not available yet; this version knows builtin",
        ),
        (
            "[load]",
            "[load]\narrivals = \"bursty\"",
            "x.toml:9:12: unknown arrivals \"bursty\"; one of poisson, constant",
        ),
        (
            "[load]",
            "[load]\nmethod = \"get\"",
            "x.toml:9:10: unknown method \"get\"; one of GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE",
        ),
        (
            "[load]",
            "[load]\npath = \"/a b\"",
            "x.toml:9:8: path must be a path such as \"/\" or \"/search?q=1\", without spaces, not \"/a b\"",
        ),
        (
            "[load]",
            "[network]\ndelay = \"1ms\"\n[load]",
            "x.toml:9:9: network.delay = \"1ms\" works in the simulator only: write engine = \"sim\", or delay = \"0ms\"",
        ),
        (
            "[[load.phases]]\nduration = \"10s\"\nrate = 100\n",
            "",
            "x.toml:8:1: [load] needs [[load.phases]]: write at least one",
        ),
        (
            "[[load.phases]]\nduration = \"10s\"\nrate = 100\n",
            "phases = []",
            "x.toml:9:10: no phases: write at least one [[load.phases]]",
        ),
    ]);
}

#[test]
fn one_wrong_value_of_faults_and_expectations_gets_one_message() {
    // The tables begin at line 12.
    let mut wrong = String::new();
    for (table, expected) in [
        (
            "[[faults]]\nat = '1s'\nbackend = 'b-1'\nkind = 'crash'",
            "x.toml:14:11: no backend \"b-1\"; there is a-1",
        ),
        (
            "[[faults]]\nat = '1s'\nbackend = 'a'\nkind = 'crash'",
            "x.toml:14:11: no backend \"a\"; there is a-1",
        ),
        (
            "[[faults]]\nat = '1s'\nbackend = 'a-2'\nkind = 'crash'",
            "x.toml:14:11: no backend \"a-2\"; there is a-1",
        ),
        (
            "[[faults]]\nat = '1s'\nbackend = 'a-1'",
            "x.toml:12:1: [[faults]] needs kind; one of crash, refuse, hang, reset, slow, errors, flap",
        ),
        (
            "[[faults]]\nat = '1s'\nbackend = 'a-1'\nkind = 'crsh'",
            "x.toml:15:8: unknown kind \"crsh\"; one of crash, refuse, hang, reset, slow, errors, flap",
        ),
        (
            "[[faults]]\nbackend = 'a-1'\nkind = 'crash'",
            "x.toml:12:1: a fault of kind crash needs at: write at = \"10s\"",
        ),
        (
            "[[faults]]\nat = '10s'\nbackend = 'a-1'\nkind = 'crash'",
            "x.toml:13:6: at = \"10s\" is behind the load, which ends at 10s",
        ),
        (
            "[[faults]]\nat = '1s'\nbackend = 'a-1'\nkind = 'crash'\nfor = '0s'",
            "x.toml:16:7: for must be a duration above zero such as \"500ms\", not \"0s\"",
        ),
        (
            "[[faults]]\nat = '1s'\nbackend = 'a-1'\nkind = 'crash'\nfactor = 3",
            "x.toml:16:1: unknown key \"factor\" in a fault of kind crash; there is kind, at, backend, for",
        ),
        (
            "[[faults]]\nat = '1s'\nbackend = 'a-1'\nkind = 'slow'\nfactor = 0",
            "x.toml:16:10: factor must be a number above 0, at most 1000000, not 0",
        ),
        (
            "[[faults]]\nat = '1s'\nbackend = 'a-1'\nkind = 'errors'\nstatus = 200",
            "x.toml:16:10: status must be a whole number from 400 to 599, not 200",
        ),
        (
            "[[faults]]\nat = '1s'\nbackend = 'a-1'\nkind = 'flap'\nperiod = '1s'\nduty = 1",
            "x.toml:17:8: duty must be below 1: a backend that is always down has crashed",
        ),
        (
            "[[faults]]\nat = '1s'\nbackend = 'a-1'\nkind = 'flap'\nperiod = '1ns'\nduty = 0.5",
            "x.toml:16:10: more than 1000000 beginnings and ends of faults in all",
        ),
        (
            "[[expect]]\nmetric = 'failed_ratio'",
            "x.toml:12:1: [[expect]] needs a limit: write below = 0.01, or above",
        ),
        (
            "[[expect]]\nmetric = 'latency.p99'",
            "x.toml:12:1: [[expect]] needs a limit: write below = \"250ms\", or above",
        ),
        (
            "[[expect]]\nmetric = 'failed_ratio'\nbelow = 1\nabove = 2",
            "x.toml:15:9: below and above exclude each other: write two [[expect]]",
        ),
        (
            "[[expect]]\nmetric = 'latency.p99'\nbelow = 250",
            "x.toml:14:9: below of latency.p99 must be a duration such as \"250ms\", not 250",
        ),
        (
            "[[expect]]\nmetric = 'failed_ratio'\nbelow = '1ms'",
            "x.toml:14:9: below of failed_ratio must be a number such as 0.01, not \"1ms\"",
        ),
        (
            "[[expect]]\nmetric = 'ok'\nabove = 1\nfrom = '5s'\nto = '5s'",
            "x.toml:16:6: to = \"5s\" is not behind from = \"5s\"",
        ),
        (
            "[[expect]]\nmetric = 'ok'\nabove = 1\nfrom = '10s'",
            "x.toml:15:8: from = \"10s\" is behind the load, which ends at 10s",
        ),
        (
            "[[expect]]\nmetric = 'ok'\nabove = 1\nto = '11s'",
            "x.toml:15:6: to = \"11s\" is behind the load, which ends at 10s",
        ),
        (
            "[[expect]]\nmetric = 'ok'\nabove = 1\nfrom = '1'",
            "x.toml:15:8: from = \"1\" is not a duration: write a number and ns, us, ms, s, m or h, such as \"250ms\"",
        ),
        (
            "[[expect]]\nmetric = 'ok'\nabove = 1\nphase = 'burst'",
            "x.toml:15:9: no phase \"burst\"; there is phase-1",
        ),
        (
            "[[expect]]\nmetric = 'ok'\nabove = 1\nphase = 'phase-1'\nto = '1s'",
            "x.toml:15:9: phase excludes from and to: keep one of the two",
        ),
        (
            "[[expect]]\nmetric = 'ok'\nabove = 1\nvariant = 'p2c'",
            "x.toml:15:11: no variant \"p2c\"; there is default",
        ),
        (
            "[vary]\n'proxy.strategy' = 'p2c'",
            "x.toml:13:20: proxy.strategy must be a list of values, not \"p2c\"",
        ),
        (
            "[vary]\n'proxy.strategy' = []",
            "x.toml:13:1: proxy.strategy has no values: write at least one",
        ),
        (
            "[vary]\n'proxy.strategy' = ['p2c', 'p2']",
            "x.toml:13:28: unknown strategy \"p2\"; one of least_request, p2c, random, round_robin",
        ),
        (
            "[vary]\n'proxy.strategy' = ['p2c', 'p2c']",
            "x.toml:13:1: two variants would be called \"p2c\": make the values differ",
        ),
        (
            "[vary]\nproxy.strategy = ['p2c']\n'proxy.strategy' = ['random']",
            "x.toml:14:1: proxy.strategy is varied already: keep one of the two",
        ),
        (
            "[vary]\n'seed' = [1, 2]",
            "x.toml:13:1: seed cannot vary, only what is in proxy, backends, network, load, faults, expect can",
        ),
        (
            "[vary]\n'load.phases.burst.rate' = [1, 2]",
            "x.toml:13:1: load.phases has no \"burst\"; its one element is 0",
        ),
        (
            "[vary]\n'proxy.worker' = [1, 2]",
            "x.toml:13:1: unknown key \"worker\" in [proxy]; did you mean workers?",
        ),
        (
            "[vary]\n'proxy.strategy' = ['']",
            "x.toml:13:21: \"\" cannot name a variant: use 1 to 200 characters on one line|x.toml:13:21: unknown strategy \"\"; one of least_request, p2c, random, round_robin",
        ),
        (
            "[[faults]]\nat = '1s'\nbackend = 'a-2'\nkind = 'crash'\n[vary]\n'backends.a.count' = [1, 2, 3]",
            "x.toml:14:11: no backend \"a-2\"; there is a-1 (in variant \"1\")",
        ),
    ] {
        let text = format!("{SHORT}{table}\n");
        let found = messages(parse(&text)).join("|");
        if found != expected {
            wrong.push_str(&format!(
                "
{table}
  gave     {found}
  expected {expected}
"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    let metric = format!("{SHORT}[[expect]]\nmetric = 'latency.p95th'\nbelow = 1\n");
    let found = messages(parse(&metric));
    assert!(
        found[0].starts_with(
            "x.toml:13:10: unknown metric \"latency.p95th\"; did you mean \"latency.p95\"?"
        ),
        "{found:?}"
    );
}

#[test]
fn all_errors_of_a_file_come_at_once_in_the_order_of_the_text() {
    let text = EXAMPLE
        .replace("strategy = \"least_request\"", "strategy = \"p2\"")
        .replace("interval = \"500ms\"", "intervall = \"500ms\"")
        .replace("count = 4", "count = \"four\"")
        .replace("rate = 120", "rate = 0 #")
        .replace("below = 0.01", "below = \"1s\"")
        .replace("[vary]", "[varied]");
    let found = messages(parse(&text));
    let lines: Vec<usize> =
        found.iter().map(|m| m.split(':').nth(1).unwrap().parse().unwrap()).collect();
    assert!(lines.is_sorted(), "{found:#?}");
    for part in [
        "unknown strategy \"p2\"",
        "unknown key \"intervall\" in [health]; did you mean interval?",
        "count must be a whole number from 1 to 100000, not \"four\"",
        "rate must not be 0",
        "below of failed_ratio must be a number",
        "unknown key \"varied\" in the scenario",
    ] {
        assert!(found.iter().any(|m| m.contains(part)), "{part}: {found:#?}");
    }
    // The number of backends is unknown, so nothing is said of the faults on them.
    assert_eq!(found.len(), 6, "{found:#?}");
}

#[test]
fn errors_of_syntax_come_alone_but_all_of_them() {
    let found = messages(parse("name = \nquestion = 'x\n[proxy\n"));
    assert_eq!(found.len(), 3, "{found:#?}");
    for (line, message) in (1..).zip(&found) {
        assert!(message.starts_with(&format!("x.toml:{line}:")), "{found:#?}");
    }
}

#[test]
fn errors_of_options_name_the_option() {
    for (overrides, expected) in [
        (
            set(&[("proxy.strategy", "p2")]),
            "--set proxy.strategy=p2: unknown strategy \"p2\"; one of least_request, p2c, random, round_robin",
        ),
        (
            set(&[("proxy.helth.fall", "2")]),
            "--set proxy.helth.fall=2: unknown key \"helth\" in [proxy]; did you mean health?",
        ),
        (
            set(&[("backends.b.count", "2")]),
            "--set backends.b.count=2: backends has no \"b\"; there is a",
        ),
        (
            set(&[("name.x", "2")]),
            "--set name.x=2: name is \"x\", which has no key \"x\": give the whole value of name",
        ),
        (
            vary(&[("proxy.strategy", &["p2c", "p2"])]),
            "--vary proxy.strategy=p2: unknown strategy \"p2\"; one of least_request, p2c, random, round_robin",
        ),
        (
            vary(&[("proxy.strategy", &[])]),
            "--vary proxy.strategy: proxy.strategy has no values: write at least one",
        ),
        (
            vary(&[("rounds", &["1", "2"])]),
            "--vary rounds: rounds cannot vary, only what is in proxy, backends, network, load, faults, expect can",
        ),
    ] {
        assert_eq!(messages(parse_with(SHORT, &overrides)), [expected]);
    }
    let mut overrides = set(&[]);
    overrides.engine = Some("dead".into());
    overrides.proxy = Some("envoy".into());
    overrides.load = Some("artillery".into());
    overrides.rounds = Some(0);
    assert_eq!(
        messages(parse_with(SHORT, &overrides)),
        [
            "--engine dead: unknown engine \"dead\"; one of live, sim",
            "--load artillery: generator \"artillery\" is not available yet; this version knows builtin",
            "--proxy envoy: kind \"envoy\" is not available yet; this version knows lab and direct",
            "--rounds 0: rounds must be a whole number from 1 to 10000, not 0",
        ]
    );
}

#[test]
fn what_is_too_much_is_refused_at_once() {
    let many: Vec<String> = (0..101).map(|i| format!("'{i}ms'")).collect();
    let many = many.join(", ");
    let text = format!("{SHORT}[vary]\n'load.timeout' = [{many}]\n'load.warmup' = [{many}]\n");
    let found = messages(parse(&text));
    assert!(
        found.contains(&"x.toml:13:1: 101 × 101 variants are too many: at most 10000".to_string()),
        "{found:#?}"
    );
    let text = format!("{SHORT}[vary]\n'load.timeout' = ['1s', '2s']\n");
    let found = messages(parse_with(&text, &set(&[("rounds", "5001")])));
    assert_eq!(
        found,
        ["--set rounds=5001: 2 variants × 5001 rounds are too many: at most 10000 in all"]
    );
    let text = SHORT.replace("name = \"a\"", "name = \"a\"\ncount = 100000");
    let found = messages(parse(&format!(
        "{text}[[backends]]\nname = 'b'\nservice = {{ distribution = 'constant', value = '1s' }}\n"
    )));
    assert_eq!(found, ["x.toml:13:1: more than 100000 backends in all"]);
    let found = messages(parse(&" ".repeat((1 << 20) + 1)));
    assert_eq!(found, ["x.toml: 1048577 bytes are too many: at most 1048576"]);
}
