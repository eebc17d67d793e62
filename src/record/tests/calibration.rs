//! calibration.json, written and read again: what is damaged or another's is refused, with the place.

use std::fs;

use record::calibration::{Calibration, CalibrationLoad, Table, Tables};

const LAB: &str = "lab 0.1.0 (abc)";

fn host() -> Vec<(String, String)> {
    [
        ("os", "Linux"),
        ("kernel", "6.1"),
        ("architecture", "x86_64"),
        ("cpu", "one"),
        ("cores", "2"),
        ("memory_bytes", "17"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

fn calibration() -> Calibration {
    let table = |base: u64| Table::of((0..1_000).map(|n| base + n * 100).collect()).expect("some");
    let load =
        CalibrationLoad { rate: 250.0, service_ms: 10.0, rounds: 3, left_out: 1, seconds: 2.0 };
    let [direct, backend, kept, fresh] = [100_000, 80_000, 300_000, 500_000].map(table);
    let tables = Tables { direct, backend, kept, fresh };
    let measured = "2026-01-02T03:04:05Z".to_owned();
    Calibration::new(LAB.to_owned(), host(), measured, vec![], load, tables)
}

#[test]
fn what_was_written_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    // Its folders are made.
    let path = folder.path().join("a/b/calibration.json");
    calibration().write(&path).expect("written");
    let found = Calibration::load(&path, LAB, &host()).expect("whole");
    assert_eq!(found, calibration());
    assert_eq!(found.verdict, "valid");
    assert_eq!(found.tables.kept.samples, 1_000);
    assert_eq!(found.tables.kept.mean_ns, 349_950);
    let overhead = found.overhead().expect("in order");
    // All tables are of one shape, so each leg takes what they are apart.
    assert_eq!(overhead.backend.ns().first(), Some(&80_200));
    for (leg, wanted) in
        [(overhead.client, 220_000), (overhead.generator, 20_000), (overhead.connection, 200_000)]
    {
        assert!(leg.ns().iter().all(|ns| *ns == wanted), "{leg:?}");
    }
    assert!(found.sentence().contains("less than 0.35 ms through the proxy, 0.55 ms over a new"));
    // More memory is the same machine.
    let mut larger = host();
    larger[5].1 = "34".to_owned();
    assert!(Calibration::load(&path, LAB, &larger).is_ok());
}

#[test]
fn what_is_missing_damaged_or_anothers_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("calibration.json");
    calibration().write(&path).expect("written");
    let text = fs::read_to_string(&path).expect("there");
    let whole = text.as_str();
    let cut = &whole[..whole.len() / 2];
    // The number of the line after the half.
    let place =
        format!("calibration.json:{}: it is no calibration or damaged", cut.lines().count());
    let falls = whole.replacen("300200,", "999999,", 1);
    let huge = whole.replacen("599800", "10000000001", 1);
    let empty = r#"{"kind": "lab calibration", "schema": 2}"#;
    let typed = whole.replacen("\"samples\": 1000", "\"samples\": \"many\"", 1);
    let unknown = whole.replacen("\"rounds\"", "\"runds\"", 1);
    let other = whole.replacen("lab calibration", "lab run", 1);
    let never = whole.replacen("250.0", "-1e308", 1);
    let later = whole.replacen("\"schema\": 2", "\"schema\": 1", 1);
    for (text, wanted) in [
        (cut, place.as_str()),
        ("", "calibration.json:1: it is no calibration or damaged: EOF"),
        ("[1, 2]", "calibration.json:1: it is no calibration or damaged"),
        (empty, "calibration.json:1: it is damaged: missing field"),
        (&falls, "tables.kept.quantiles_ns[1] is 300600, less than the 999999 before it"),
        (&huge, "tables.fresh.quantiles_ns[249] is 10000000001, more than ten seconds"),
        (&typed, "it is damaged: invalid type: string \"many\""),
        (&unknown, "it is damaged: unknown field `runds`"),
        ("{}", "it is no calibration: it names no kind"),
        (&never, "it is damaged: load.rate is -1"),
        (&other, "its kind is \"lab run\" and not \"lab calibration\""),
        (&later, "schema 1 is not the one that this lab reads (2)"),
    ] {
        fs::write(&path, text).expect("written");
        let error = Calibration::load(&path, LAB, &host()).expect_err(wanted).to_string();
        assert!(error.contains(wanted), "{error}\nand not\n{wanted}");
        // What may be something else is not to be written over.
        let lost = error.contains("it is no calibration") || error.contains("its kind is");
        let remedy = if lost { "; give a file of `lab" } else { "; measure with `lab calibrate" };
        assert!(error.contains(remedy), "{error}");
    }
    fs::write(&path, whole).expect("written");
    let error = Calibration::load(&path, "lab 0.2.0", &host()).expect_err("another version");
    assert!(error.to_string().contains("measured with lab 0.1.0 (abc), and this is lab 0.2.0"));
    for (index, key) in ["os", "kernel", "architecture", "cpu", "cores"].into_iter().enumerate() {
        let mut there = host();
        there[index].1 = "else".to_owned();
        let error = Calibration::load(&path, LAB, &there).expect_err(key).to_string();
        assert!(error.contains(&format!("host.{key} is ")), "{error}");
        assert!(error.contains("here it is \"else\""), "{error}");
    }
    let mut fewer = host();
    fewer.push(("machine_cores".to_owned(), "8".to_owned()));
    fewer[4].1 = "1".to_owned();
    let error = Calibration::load(&path, LAB, &fewer).expect_err("fewer cores").to_string();
    assert!(error.contains("here it is \"1\" of the machine's 8: taskset or a control"), "{error}");
    fs::remove_file(&path).expect("removed");
    let error = Calibration::load(&path, LAB, &host()).expect_err("nothing").to_string();
    assert!(error.contains("calibration.json: there is no calibration here; measure"), "{error}");
}

#[test]
fn only_another_calibration_is_written_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("calibration.json");
    calibration().write(&path).expect("nothing is there");
    calibration().write(&path).expect("another one is there");
    let large = "x".repeat((1 << 20) + 1);
    for (name, text) in [
        ("scenario.toml", "name = \"mine\""),
        ("other.json", "{\"kind\": \"x\"}"),
        ("large.log", &large),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        let error = calibration().write(&path).expect_err(name).to_string();
        assert!(error.contains(name) && error.contains("no calibration, which would be lost"));
        assert_eq!(fs::read_to_string(&path).expect("there"), text);
    }
    let error = calibration().write(folder.path()).expect_err("a folder").to_string();
    assert!(error.contains("there is a folder or a device here"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 4, "nothing is left behind");
}

#[cfg(target_os = "linux")]
#[test]
fn no_file_is_read_without_end() {
    let error = Calibration::load(std::path::Path::new("/dev/zero"), LAB, &host());
    assert!(error.expect_err("no end").to_string().contains("more than 1048576 bytes"));
}

#[test]
fn a_suspect_measurement_is_told_of() {
    let mut doubtful = calibration();
    (doubtful.verdict, doubtful.reasons) = ("suspect".into(), vec!["steal 9 %".into()]);
    assert!(doubtful.sentence().ends_with("(a measurement that is suspect: steal 9 %)"));
}
