//! The scenarios that come with the lab are valid, for both engines unless they are for the simulator
//! alone, and expect something.

use std::path::PathBuf;

use policy::Registry;
use scenario::{Engine, Overrides};

#[test]
fn every_scenario_of_the_lab_is_valid() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("scenarios/ is there") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let file = path.display().to_string();
        let text = std::fs::read_to_string(&path).expect("UTF-8");
        let both = [("sim", Engine::Sim), ("live", Engine::Live)];
        let engines = if text.contains("\nengine = \"sim\"\n") { &both[..1] } else { &both[..] };
        for &(engine, expected) in engines {
            let overrides = Overrides { engine: Some(engine.into()), ..Overrides::default() };
            let read = |name: &str| std::fs::read_to_string(folder.join(name));
            let scenario = scenario::parse(&file, &text, &overrides, &Registry::standard(), &read)
                .unwrap_or_else(|problems| panic!("{problems:#?}"));
            assert_eq!(scenario.engine, expected);
            assert!(!scenario.expectations.is_empty(), "{file} expects nothing");
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            assert_eq!(Some(scenario.name.as_str()), stem, "a scenario is called as its file");
        }
        assert!(text.starts_with("#:schema ./scenario.schema.json\n#\n# "), "{file}: no opening");
        names.push(file);
    }
    assert!(names.len() >= 4, "{names:?}");
}
