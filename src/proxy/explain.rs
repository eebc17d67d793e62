//! What a request was picked from, as text for whoever asked by `X-Lab-Explain: 1`. It must not know
//! how a pick is made.

use std::fmt::Write as _;

use base::BackendId;
use policy::Explanation;

/// The field that asks, and that answers.
pub(crate) const NAME: &[u8] = b"x-lab-explain";

/// One line of JSON in ASCII. What a strategy does not compare by has no score.
pub(crate) fn in_words(explanation: &Explanation, picked: Option<BackendId>) -> String {
    let name_of = |id| explanation.backends.iter().find(|b| b.id == id).map(|b| b.name.as_str());
    let backends: Vec<_> = explanation
        .backends
        .iter()
        .map(|backend| {
            serde_json::json!({
                "id": backend.name,
                "state": backend.state.word(),
                "weight": backend.weight,
                "effective_weight": backend.effective_weight,
                "in_flight": backend.in_flight,
                "score": backend.score,
                "excluded": backend.excluded.map(|why| why.word()),
            })
        })
        .collect();
    let text = serde_json::json!({
        "strategy": explanation.strategy,
        "picked": picked.and_then(name_of),
        "queued": explanation.queued,
        "of": explanation.of,
        "backends": backends,
    });
    // A field's value is ASCII: names might not be.
    text.to_string().chars().fold(String::new(), |mut ascii, char| {
        match char {
            ' '..='~' => ascii.push(char),
            _ => {
                let mut units = [0; 2];
                for unit in char.encode_utf16(&mut units) {
                    // Writing to a String cannot fail.
                    let _ = write!(ascii, "\\u{unit:04x}");
                }
            }
        }
        ascii
    })
}

#[cfg(test)]
mod tests {
    use policy::{Excluded, Explained, State};

    use super::*;

    #[test]
    fn it_is_json_that_may_stand_in_a_field() {
        let id = |slot| BackendId { slot, generation: 0 };
        let backend = |slot, name: &str, score, excluded| Explained {
            id: id(slot),
            name: name.into(),
            state: State::Ready,
            weight: 2,
            effective_weight: 1.5,
            in_flight: 3,
            score,
            excluded,
        };
        let explanation = Explanation {
            strategy: "any",
            backends: vec![
                backend(0, "a", Some(0.25), None),
                backend(1, "ü𝄞\"", None, Some(Excluded::Full)),
            ],
            of: 2,
            queued: 1,
        };
        let text = in_words(&explanation, Some(id(1)));
        assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)), "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&value["picked"], &value["strategy"]), (&"ü𝄞\"".into(), &"any".into()));
        assert_eq!(value["backends"][0]["score"], 0.25);
        assert_eq!(value["backends"][1]["excluded"], "full");
        assert_eq!(in_words(&explanation, Some(id(9))), in_words(&explanation, None));
    }
}
