//! What is written as TOML reads back as the same configuration, whatever it is.

mod generated;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use base::Distribution;
use config::backends::BackendConfig;
use config::edge::{AccessLog, AdminToken, Forwarded, Secret, TlsFiles};
use config::proxy::ProxyBackend;
use config::{BackendsConfig, ProxyConfig};
use policy::{Registry, Settings};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use workload::{Abandoned, BackendModel, Discipline};

use crate::generated::{duration, settings};

fn no_file(_: &str) -> std::io::Result<String> {
    panic!("no file is named")
}

/// Seconds as distributions hold them, tiny and huge ones included.
fn time() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.02), 0.0..1.0, 1e-12..1e-6, 0.0..1e7]
}

fn above_zero() -> impl Strategy<Value = f64> {
    // Below half a nanosecond a time counts as zero.
    time().prop_map(|t| t.max(1e-9))
}

fn distribution() -> impl Strategy<Value = Distribution> {
    let ordered = |(a, b): (f64, f64)| (a.min(b), a.max(b));
    prop_oneof![
        time().prop_map(|value| Distribution::Constant { value }),
        (time(), time())
            .prop_map(ordered)
            .prop_map(|(min, max)| Distribution::Uniform { min, max }),
        above_zero().prop_map(|mean| Distribution::Exponential { mean }),
        (above_zero(), 1_u32..=1_000).prop_map(|(mean, k)| Distribution::Erlang { mean, k }),
        (above_zero(), 1.0..1e6)
            .prop_map(|(mean, scv)| Distribution::Hyperexponential { mean, scv }),
        (time(), time()).prop_map(|(mean, sd)| Distribution::Normal { mean, sd }),
        (above_zero(), above_zero())
            .prop_map(ordered)
            .prop_map(|(median, p99)| Distribution::Lognormal { median, p99 }),
        (above_zero(), 0.1..1e3).prop_map(|(min, shape)| Distribution::Pareto { min, shape }),
        (above_zero(), 0.1..1e3).prop_map(|(scale, shape)| Distribution::Weibull { scale, shape }),
        (time(), time(), 0.0..=1.0).prop_map(|(a, b, share_b)| Distribution::Bimodal {
            a,
            b,
            share_b
        }),
        vec(time(), 1..20).prop_map(|v| Distribution::Empirical { values: Arc::from(v) }),
    ]
}

fn model() -> impl Strategy<Value = BackendModel> {
    (
        1_u32..=1_000_000,
        option::of(0_u32..=10_000_000),
        any::<(bool, bool)>(),
        distribution(),
        0_u32..=16_777_216,
    )
        .prop_map(|(concurrency, queue, (ps, drop), service, response_bytes)| BackendModel {
            concurrency,
            queue,
            discipline: if ps { Discipline::Ps } else { Discipline::Fifo },
            abandoned: if drop { Abandoned::Drop } else { Abandoned::Finish },
            service,
            response_bytes,
        })
}

fn address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        any::<(Ipv4Addr, u16)>().prop_map(|(ip, port)| SocketAddr::new(IpAddr::V4(ip), port)),
        any::<(u128, u16)>().prop_map(|(ip, port)| SocketAddr::new(IpAddr::V6(ip.into()), port)),
    ]
}

fn name() -> impl Strategy<Value = String> {
    "[A-Za-z0-9_-]{1,64}"
}

/// What stands in proxy.toml besides policies and backends.
fn edge() -> impl Strategy<Value = ProxyConfig> {
    let file = || "/[a-zé \"'./-]{1,20}".prop_map(PathBuf::from);
    let tls = (file(), file()).prop_map(|(cert, key)| TlsFiles { cert, key });
    let log = prop_oneof![Just(AccessLog::Stdout), file().prop_map(AccessLog::File)];
    let forwarded = prop_oneof![
        Just(Forwarded::XForwarded),
        Just(Forwarded::Standard),
        Just(Forwarded::Both),
        Just(Forwarded::Off)
    ];
    let token = prop_oneof![
        "[!-~]{16,256}"
            .prop_map(|text| AdminToken::Written(Secret::parse(&text).expect("of this shape"))),
        file().prop_map(AdminToken::File),
    ];
    let origins = vec("https?://[a-z]{1,9}(:5173)?", 0..4);
    (
        any::<(bool, bool, bool)>(),
        (1_u32..=1_000_000, 0_u32..=16, forwarded),
        (option::of(tls), option::of(log), option::of(token), option::of(file())),
        origins,
    )
        .prop_map(|((h2, request_id, explain), numbers, files, admin_origins)| {
            let (max_connections, trusted_hops, forwarded) = numbers;
            let (tls, access_log, admin_token, state_file) = files;
            ProxyConfig {
                h2,
                tls,
                max_connections,
                trusted_hops,
                forwarded,
                request_id,
                explain,
                access_log,
                admin_token,
                admin_origins,
                state_file,
                ..ProxyConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)), plain())
            }
        })
}

fn plain() -> Settings {
    let choice = Registry::standard().choose("random", &std::collections::BTreeMap::new());
    Settings::plain(choice.expect("it needs no parameters"))
}

fn proxy_config() -> impl Strategy<Value = ProxyConfig> {
    let backends = btree_map(1_u16.., (1_u32..=65_536, any::<bool>()), 0..5);
    let ends = (option::of(any::<u64>()), duration());
    (address(), 1_u32..=256, settings(), ends, backends, edge()).prop_map(
        |(listen, workers, settings, (seed, drain_timeout), backends, edge)| ProxyConfig {
            listen,
            admin: Some(SocketAddr::from(([127, 0, 0, 2], 0))),
            workers,
            settings,
            drain_timeout,
            backends: backends
                .into_iter()
                .map(|(port, (weight, named))| ProxyBackend {
                    address: SocketAddr::from(([127, 0, 0, 1], port)),
                    weight,
                    id: named.then(|| format!("a-{port}")),
                })
                .collect(),
            seed,
            ..edge
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn of_backends_toml(
        control in option::of(address()),
        workers in 1_u32..=256,
        seed: u64,
        backends in btree_map(name(), (address(), model()), 1..5),
    ) {
        let backends: Vec<_> = backends
            .into_iter()
            .enumerate()
            .map(|(i, (name, (mut listen, model)))| {
                // Ports of one address must differ, and any number of them may be 0.
                listen.set_port(if listen.port() % 2 == 0 { 0 } else { 9_000 + i as u16 });
                BackendConfig { name, listen, model }
            })
            .collect();
        let config = BackendsConfig { control, workers, seed, backends };
        let text = config.to_toml();
        prop_assert_eq!(BackendsConfig::parse("b.toml", &text, &no_file), Ok(config), "{}", text);
    }
}

/// WRONG on purpose: a writer that was not told of the latest key.
fn without_fast_interval(config: &ProxyConfig) -> String {
    let text = config.to_toml();
    let lines = text.lines().filter(|line| !line.starts_with("fast_interval"));
    lines.map(|line| format!("{line}\n")).collect()
}

fn reads_back(write: fn(&ProxyConfig) -> String) -> Result<(), String> {
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let result = runner.run(&proxy_config(), |config| {
        let text = write(&config);
        let read = ProxyConfig::parse("p.toml", &text, &Registry::standard());
        let read = read.map_err(|problems| TestCaseError::fail(format!("{problems:?}\n{text}")))?;
        // A registry's entries hold functions, which cannot be compared; their names can.
        prop_assert_eq!(format!("{read:?}"), format!("{config:?}"), "{}", text);
        // The one thing that is not shown.
        prop_assert_eq!(&read.admin_token, &config.admin_token);
        Ok(())
    });
    result.map_err(|error| error.to_string())
}

#[test]
fn of_proxy_toml() {
    assert!(reads_back(without_fast_interval).is_err(), "the test sees nothing");
    assert_eq!(reads_back(ProxyConfig::to_toml), Ok(()));
}
