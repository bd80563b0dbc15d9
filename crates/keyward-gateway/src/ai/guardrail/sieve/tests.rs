use super::super::rule::Place;
use super::*;
use keyward_model::resource::guardrail::{KeywordsCheck, PiiCheck, RegexCheck};
use proptest::prelude::*;

fn rules(action: GuardAction) -> Rules {
    let mut rules = Rules::default();
    let place = |guard, name| Place {
        guard,
        action,
        name,
        of_answers: true,
    };
    let kinds = vec![PiiKind::Email, PiiKind::Card, PiiKind::Phone];
    rules.add_pii(
        &place(0, "pii"),
        &PiiCheck {
            kinds,
            reversible: true,
            normalise: false,
        },
    );
    let regex = RegexCheck {
        patterns: vec![r"sk-[a-z0-9]{4,20}\b".into()],
        ignore_case: true,
        normalise: true,
    };
    rules.add_regex(&place(1, "keys"), &regex).unwrap();
    let words = KeywordsCheck {
        words: vec!["secret plan".into(), "plan b".into()],
        ignore_case: true,
        whole_words: true,
        normalise: true,
    };
    rules.add_words(&place(2, "words"), &words).unwrap();
    rules
}

fn sift(pieces: &[&str], json: bool, rules: &Rules) -> Result<String, Stopped> {
    let (mut vault, mut fired) = (Vault::default(), Fired::default());
    let mut looking = Looking {
        rules,
        vault: &mut vault,
        fired: &mut fired,
        gives_back: false,
    };
    let mut sieve = Sieve::new(json);
    let mut out = String::new();
    for (place, piece) in pieces.iter().enumerate() {
        sieve.push(piece, place + 1 == pieces.len(), &mut looking, &mut out)?;
    }
    Ok(out)
}

const PLAIN: &str = "Mail a.b@c.example, (SK-abcd1234) or 4111 1111 1111 1111; the S\u{200b}ecret Plan B is off. a.b@c.example!";
const PLAIN_MASKED: &str =
    "Mail [EMAIL_1], ([KEYS_1]) or [CARD_1]; the [WORDS_1] is off. [EMAIL_1]!";

#[test]
fn what_is_found_is_masked_and_what_lies_in_each_other_goes_as_one() {
    let rules = rules(GuardAction::Mask);
    assert_eq!(sift(&[PLAIN], false, &rules).unwrap(), PLAIN_MASKED);
}

#[test]
fn the_places_where_a_text_is_cut_make_no_difference() {
    let rules = rules(GuardAction::Mask);
    let json = r#"{"to":"a\u0040b.example","card":4111111111111111,"n":[1.5,true],"x":"s\u006b-abcd1234 \"q\""}"#;
    let masked = r#"{"to":"[EMAIL_1]","card":"[CARD_1]","n":[1.5,true],"x":"[KEYS_1] \"q\""}"#;
    for (text, is_json, expected) in [(PLAIN, false, PLAIN_MASKED), (json, true, masked)] {
        assert_eq!(sift(&[text], is_json, &rules).unwrap(), expected);
        let places: Vec<usize> = (0..=text.len())
            .filter(|at| text.is_char_boundary(*at))
            .collect();
        for at in &places {
            let (one, two) = text.split_at(*at);
            assert_eq!(
                sift(&[one, two], is_json, &rules).unwrap(),
                expected,
                "{at}"
            );
            assert_eq!(
                sift(&[one, "", two, ""], is_json, &rules).unwrap(),
                expected
            );
        }
        let each: Vec<&str> = places
            .windows(2)
            .map(|pair| &text[pair[0]..pair[1]])
            .collect();
        assert_eq!(sift(&each, is_json, &rules).unwrap(), expected);
    }
}

#[test]
fn nothing_that_is_blocked_has_left_before() {
    let rules = rules(GuardAction::Block);
    let text = "so much before it, and a lot of other words. ".repeat(20) + "sk-abcd1234 and on";
    let (mut vault, mut fired) = (Vault::default(), Fired::default());
    let mut looking = Looking {
        rules: &rules,
        vault: &mut vault,
        fired: &mut fired,
        gives_back: false,
    };
    let (mut sieve, mut out) = (Sieve::new(false), String::new());
    let mut stopped = None;
    for (at, character) in text.char_indices() {
        let last = at + 1 == text.len();
        let piece = character.to_string();
        if let Err(why) = sieve.push(&piece, last, &mut looking, &mut out) {
            stopped = Some(why);
            break;
        }
    }
    assert_eq!(stopped, Some(Stopped::By(1)));
    assert!(text.starts_with(&out) && out.len() > 100, "{out}");
    assert!(!out.contains("sk-"), "{out}");
}

#[test]
fn a_mask_that_would_break_json_is_a_block() {
    let mut rules = Rules::default();
    let place = Place {
        guard: 7,
        action: GuardAction::Mask,
        name: "x",
        of_answers: true,
    };
    let check = RegexCheck {
        patterns: vec!["a.{1,5}b".into()],
        ignore_case: false,
        normalise: false,
    };
    rules.add_regex(&place, &check).unwrap();
    assert_eq!(
        sift(&[r#"{"k":"a-b"}"#], true, &rules).unwrap(),
        r#"{"k":"[X_1]"}"#
    );
    assert_eq!(sift(&[r#"{"a":"b"}"#], true, &rules), Err(Stopped::By(7)));
}

#[test]
fn what_would_take_too_long_is_not_looked_at_to_its_end() {
    let mut rules = Rules::default();
    let place = Place {
        guard: 0,
        action: GuardAction::Mask,
        name: "x",
        of_answers: false,
    };
    let check = |pattern: &str| RegexCheck {
        patterns: vec![pattern.into()],
        ignore_case: false,
        normalise: false,
    };
    rules.add_regex(&place, &check("xy")).unwrap();
    let (mut vault, mut fired) = (Vault::default(), Fired::default());
    let mut look = |rules: &Rules, text: &str| {
        let mut looking = Looking {
            rules,
            vault: &mut vault,
            fired: &mut fired,
            gives_back: false,
        };
        whole(text, true, &mut looking)
    };
    // In one string of JSON: the time of each match does not grow with those before it.
    let many = |count: usize| format!("\"{}\"", "xy".repeat(count));
    let masked = look(&rules, &many(50_000)).unwrap().unwrap();
    assert_eq!(masked, format!("\"{}\"", "[X_1]".repeat(50_000)));
    assert_eq!(
        look(&rules, &many(50_001)),
        Err(Stopped::Unreadable),
        "it is counted over all texts of a call"
    );
    // An expression without bounds sees a text as a whole or not at all.
    rules.add_regex(&place, &check("a.*b")).unwrap();
    let mut fresh = Fired::default();
    let mut looking = Looking {
        rules: &rules,
        vault: &mut Vault::default(),
        fired: &mut fresh,
        gives_back: false,
    };
    let long = "-".repeat(WHOLE_MAX + 1);
    assert_eq!(whole(&long, false, &mut looking), Err(Stopped::Unreadable));
}

#[test]
fn a_flood_of_invisible_characters_is_not_held_without_end() {
    let rules = rules(GuardAction::Mask);
    let flood = format!("s{}", "\u{200b}".repeat(HELD_MAX));
    assert_eq!(
        sift(&[&flood, "x"], false, &rules),
        Err(Stopped::Unreadable)
    );
}

proptest! {
    #[test]
    fn any_cut_of_any_text_gives_the_same(
        parts in prop::collection::vec(
            prop_oneof![
                Just("a.b@c.example".to_owned()), Just("sk-abcd".to_owned()), Just("plan b".to_owned()),
                Just("secret plan".to_owned()), Just("4111111111111111".to_owned()), Just("\u{200b}".to_owned()),
                Just("\\u0040".to_owned()), Just("\"".to_owned()), "[a-z0-9@. {}:,\\\\-]{0,6}",
            ],
            0..12,
        ),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        json in any::<bool>(),
    ) {
        let text = parts.concat();
        let rules = rules(GuardAction::Mask);
        let mut places: Vec<usize> = cuts
            .iter()
            .map(|cut| floor(&text, cut.index(text.len() + 1)))
            .chain([0, text.len()])
            .collect();
        places.sort_unstable();
        let pieces: Vec<&str> = places.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
        prop_assert_eq!(sift(&pieces, json, &rules), sift(&[&text], json, &rules));
    }
}
