use proptest::prelude::*;

use super::*;
use crate::core::decode::decode;
use crate::core::rule::{RuleSet, RuleSpec, compile};

const SETTLE: SignedDuration = SignedDuration::from_secs(300);

fn fact(at: i64, state: KeyState, by: Witness) -> Fact {
    Fact { at: Timestamp::from_second(at).unwrap(), state, by }
}

fn state(facts: &[Fact]) -> KeyState {
    let mut record = KeyRecord::default();
    for fact in facts {
        record.learn(*fact, None, SETTLE);
    }
    record.state(SETTLE)
}

/// Facts about materials with an id, or without.
fn record(facts: &[(Fact, Option<&str>)]) -> KeyRecord {
    let mut record = KeyRecord::default();
    for (fact, material) in facts {
        record.learn(*fact, *material, SETTLE);
    }
    record
}

fn lost(at: i64) -> Fact {
    fact(at, PendingImport, Witness::Material)
}

fn imported(at: i64) -> Fact {
    fact(at, Enabled, Witness::Material)
}

fn life(at: i64, state: KeyState) -> Fact {
    fact(at, state, Witness::Life)
}

fn kms(at: i64, state: KeyState) -> Fact {
    fact(at, state, Witness::Kms)
}

fn refused(at: i64, state: KeyState) -> Fact {
    fact(at, state, Witness::Refusal)
}

use KeyState::{Deleted, Disabled, Enabled, PendingDeletion, PendingImport, Unknown};

#[test]
fn the_newest_event_counts() {
    assert_eq!(state(&[]), Unknown);
    assert_eq!(state(&[life(10, Disabled)]), Disabled);
    assert_eq!(state(&[life(20, Enabled), life(10, Disabled)]), Enabled);
    assert_eq!(state(&[life(30, Disabled), life(20, PendingDeletion)]), Disabled, "cancelled");
}

#[test]
fn of_one_second_the_worse_counts_until_kms_says_otherwise() {
    let same = [life(10, Enabled), life(10, Disabled)];
    assert_eq!(state(&same), Disabled);
    assert_eq!(state(&[same[0], same[1], kms(11, Enabled)]), Disabled, "too soon");
    assert_eq!(state(&[same[0], same[1], kms(310, Enabled)]), Enabled);
}

#[test]
fn kms_counts_once_it_has_settled_and_until_the_next_event() {
    assert_eq!(state(&[kms(10, Disabled)]), Disabled, "no event ever came");
    assert_eq!(state(&[life(10, Disabled), kms(309, Enabled)]), Disabled);
    assert_eq!(state(&[life(10, Disabled), kms(310, Enabled)]), Enabled);
    assert_eq!(state(&[life(10, Disabled), kms(310, Enabled), life(400, PendingDeletion)]), PendingDeletion);
    assert_eq!(state(&[life(10, PendingDeletion), kms(900, Deleted)]), Deleted);
    assert_eq!(state(&[kms(900, Deleted), life(1000, Enabled)]), Enabled, "KMS did not know it yet");
}

#[test]
fn what_is_destroyed_stays_so() {
    assert_eq!(state(&[life(10, Deleted), life(20, Enabled), kms(9000, Enabled)]), Deleted);
}

#[test]
fn material_that_is_lost_does_not_change_a_scheduled_deletion() {
    let lost = fact(20, PendingImport, Witness::Material);
    assert_eq!(state(&[life(10, PendingDeletion), lost]), PendingDeletion);
    assert_eq!(state(&[life(10, Disabled), lost]), PendingImport);
    assert_eq!(state(&[lost, fact(30, Enabled, Witness::Material)]), Enabled);
    assert_eq!(state(&[lost, life(30, Disabled)]), Disabled);
}

#[test]
fn a_key_needs_all_of_its_materials() {
    let (one, other) = (Some("aa11"), Some("bb22"));
    let both = [(lost(10), one), (lost(20), other)];
    let back = record(&[both[0], both[1], (imported(30), one)]);
    assert_eq!((back.state(SETTLE), back.lacks_material()), (PendingImport, true));
    let back = record(&[both[0], both[1], (imported(30), other), (imported(40), one)]);
    assert_eq!((back.state(SETTLE), back.lacks_material()), (Enabled, false));
    let again = record(&[(lost(10), one), (imported(20), one), (lost(30), one)]);
    assert_eq!((again.state(SETTLE), again.lacks_material()), (PendingImport, true));
    assert!(record(&[(lost(10), one), (imported(10), one)]).lacks_material(), "of one second, the worse");
}

#[test]
fn what_proves_that_all_material_is_there_ends_every_loss_before() {
    let (one, other) = (Some("aa11"), Some("bb22"));
    let both = [(lost(10), one), (lost(20), other)];
    for proof in [life(30, Enabled), kms(321, Enabled)] {
        assert!(!record(&[both[0], both[1], (proof, None)]).lacks_material(), "{proof:?}");
        assert!(record(&[both[0], both[1], (proof, None), (lost(400), one)]).lacks_material(), "{proof:?}");
    }
    for none in [life(15, Enabled), kms(310, Enabled), kms(900, Disabled), life(30, Disabled)] {
        assert!(record(&[both[0], both[1], (none, None)]).lacks_material(), "{none:?}");
    }
}

#[test]
fn events_that_name_no_material_are_of_a_key_that_has_one() {
    let one = Some("aa11");
    assert!(!record(&[(lost(10), one), (imported(20), None)]).lacks_material());
    assert!(!record(&[(lost(10), None), (imported(20), one)]).lacks_material());
    assert_eq!(record(&[(lost(10), None), (imported(20), None)]).state(SETTLE), Enabled);
    assert!(record(&[(lost(10), None), (imported(20), one), (lost(30), None)]).lacks_material());
}

#[test]
fn what_kms_misses_is_there_again_when_kms_says_so() {
    let one = Some("aa11");
    let said = |facts: &[(Fact, Option<&str>)]| {
        let record = record(facts);
        (record.state(SETTLE), record.lacks_material())
    };
    let (missing, back) = ((kms(1000, PendingImport), None), (imported(2000), one));
    assert_eq!(said(&[missing, back]), (PendingImport, true), "it did not say which");
    assert_eq!(said(&[missing, back, (kms(2400, Enabled), None)]), (Enabled, false));
    assert_eq!(said(&[missing, back, (life(2400, Enabled), None)]), (Enabled, false));
    assert_eq!(said(&[missing, (imported(2000), None)]), (Enabled, false), "a key of which there is one material");
    assert_eq!(said(&[(lost(500), one), missing, back]), (PendingImport, true));
    // Who is refused may never be able to ask: the import is all that will be heard.
    assert_eq!(said(&[(refused(1000, PendingImport), None), back]), (Enabled, false));
    assert_eq!(said(&[(lost(100), one), (imported(700), one), missing]), (PendingImport, true), "another one");
    let just = |at| {
        record(&[(lost(100), one), (imported(800), one)])
            .usable_just_before(Timestamp::from_second(at).unwrap(), SETTLE)
    };
    assert_eq!([799, 800, 1099, 1100].map(just), [false, true, true, false]);
}

#[test]
fn material_that_is_there_changes_nothing_when_it_is_imported_again() {
    let again = imported(2000);
    for (before, after) in [
        (vec![], Unknown),
        (vec![life(10, Disabled)], Disabled),
        (vec![life(10, PendingDeletion)], PendingDeletion),
        (vec![kms(10, Disabled)], Disabled),
        (vec![lost(10), life(20, Enabled), life(30, Disabled)], Disabled),
        (vec![lost(10), kms(700, Disabled)], Disabled),
        (vec![refused(10, Disabled)], Disabled),
        // Here it was missing.
        (vec![life(10, Disabled), lost(20)], Enabled),
        (vec![life(10, Enabled), refused(900, PendingImport)], Enabled),
        (vec![life(10, PendingDeletion), lost(20)], PendingDeletion),
    ] {
        let facts: Vec<_> = before.iter().chain([&again]).map(|fact| (*fact, Some("aa11"))).collect();
        assert_eq!(record(&facts).state(SETTLE), after, "{before:?}");
    }
}

#[test]
fn what_is_remembered_of_materials_is_bounded_and_a_loss_is_forgotten_last() {
    let mut known = record(&[(lost(1), Some("aa11"))]);
    for n in 0..200 {
        known.learn(imported(10 + n), Some(&format!("other-{n}")), SETTLE);
    }
    assert_eq!((known.materials.len(), known.lacks_material()), (MATERIALS_MAX, true));
    let text = serde_json::to_string(&known).unwrap();
    assert_eq!(serde_json::from_str::<KeyRecord>(&text).unwrap(), known);
}

#[test]
fn words_of_kms_are_read_and_written() {
    for state in KeyState::ALL {
        assert_eq!(KeyState::of(state.as_str()), state);
    }
    assert_eq!(KeyState::of("Hibernating"), Unknown);
    assert!(!Enabled.is_danger() && Disabled.is_danger() && Deleted.is_danger());
}

proptest! {
    /// Facts in any order, any number of times.
    #[test]
    fn order_and_repetition_make_no_difference(
        facts in prop::collection::vec((0..2_000_i64, 0..10_usize, 0..4_u8, 0..4_usize), 0..16),
        seed in any::<u64>(),
    ) {
        let facts: Vec<(Fact, Option<&str>)> = facts
            .into_iter()
            .map(|(at, state, by, material)| {
                let by = match by {
                    0 => Witness::Life,
                    1 => Witness::Material,
                    2 => Witness::Refusal,
                    _ => Witness::Kms,
                };
                (fact(at, KeyState::ALL[state], by), [None, Some("aa11"), Some("bb22"), Some("cc33")][material])
            })
            .collect();
        let mut shuffled: Vec<(Fact, Option<&str>)> = facts.iter().chain(&facts).copied().collect();
        let mut random = seed;
        for at in (1..shuffled.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(at, usize::try_from(random >> 33).unwrap() % (at + 1));
        }
        prop_assert_eq!(record(&facts), record(&shuffled));
    }
}

#[test]
fn what_changes_a_key_matters_whatever_rules_ask_for() {
    let rule = "id = 'a'\ntitle = 'A'\nseverity = 'high'\nincident = 'key-unusable'\nresolve_after = '1d'\nmatch = { detail.eventName = ['X'] }";
    let spec: RuleSpec = toml::from_str(rule).unwrap();
    let rules = RuleSet::new(vec![std::sync::Arc::new(compile(&spec).unwrap())]);
    let body = |name: &str, code: Option<&str>| {
        let mut detail = serde_json::json!({ "eventName": name, "eventSource": "kms.amazonaws.com" });
        if let Some(code) = code {
            detail["errorCode"] = code.into();
        }
        serde_json::json!({
            "source": "aws.kms", "detail-type": "AWS API Call via CloudTrail", "time": "2026-01-02T03:04:05Z",
            "account": "111122223333", "region": "eu-central-1", "detail": detail
        })
        .to_string()
    };
    let concerned = |body: &str| rules.concerned(&rules.peek(body).unwrap());
    assert!(concerned(&body("CancelKeyDeletion", None)) && concerned(&body("EnableKey", None)));
    assert!(!concerned(&body("CancelKeyDeletion", Some("AccessDenied"))) && !concerned(&body("Decrypt", None)));
    let event = decode(&body("CancelKeyDeletion", None)).events.remove(0);
    assert!(rules.concern(&event.document) && rules.candidates(&event.document).count() == 0);
}
