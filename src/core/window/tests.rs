use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::core::event::{Actor, Outcome};
use crate::core::notification::EventCard;
use crate::core::pattern::{Node, Pattern};

const BOUNDS: Bounds = Bounds { lateness: SignedDuration::from_hours(24), grace: SignedDuration::from_mins(15) };

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).unwrap()
}

fn never() -> Pattern {
    Pattern::compile(&Node::from_json(&json!({ "source": ["x"] }))).unwrap()
}

fn evaluation(id: &str, at: Timestamp) -> Evaluation {
    Evaluation {
        id: EventId(id.to_owned()),
        event: EventCard {
            id: id.to_owned(),
            name: "DisableKey".to_owned(),
            source: "aws.kms".to_owned(),
            time: at,
            account: None,
            region: None,
            outcome: Outcome::Success,
            denied_by: None,
            error_code: None,
            error_message: None,
            actor: Actor::default(),
            details: BTreeMap::new(),
            late: None,
        },
        key: None,
        said: String::new(),
        undo: None,
        links: vec![],
        marks: vec![],
        incomplete: false,
        same: None,
        refused: None,
        in_use: None,
        alerts: vec![],
        steps: vec![],
        clears: vec![],
        states: None,
        observed: false,
    }
}

fn mark(part: Part, seconds: i64, value: &str) -> Mark {
    let id = format!("{part:?}-{seconds}-{value}");
    let waiting = (part == Part::Match).then(|| {
        Box::new(Waiting {
            severity: Severity::High,
            watching: vec![],
            texts: Texts::default(),
            evaluation: evaluation(&id, at(seconds)),
        })
    });
    Mark { at: at(seconds), id: EventId(id), part, seen: None, value: Some(value.to_owned()), told: false, waiting }
}

/// Feeds marks one by one; gives the seconds of what became an alert, sorted.
fn alerts(window: &Window, marks: impl IntoIterator<Item = Mark>, now: Timestamp) -> Vec<i64> {
    let mut state = WindowState::default();
    let mut told = Vec::new();
    for mark in marks {
        state.add(window, mark, BOUNDS);
        told.extend(
            state.ripe(window, BOUNDS, now).into_iter().map(|w| w.evaluation.event.time.as_second() - 1_790_000_000),
        );
    }
    told.sort_unstable();
    told
}

fn burst(count: usize, within: i64, distinct: bool) -> Window {
    let distinct = distinct.then(|| "key.arn".to_owned());
    Window::Threshold { count, within: SignedDuration::from_secs(within), distinct }
}

#[test]
fn a_burst_makes_alerts_of_all_its_events() {
    let events = |seconds: &[i64]| seconds.iter().map(|s| mark(Part::Match, *s, "a")).collect::<Vec<_>>();
    assert_eq!(alerts(&burst(3, 60, false), events(&[0, 30]), at(99)), Vec::<i64>::new());
    assert_eq!(alerts(&burst(3, 60, false), events(&[0, 30, 60]), at(99)), [0, 30, 60], "the window is closed");
    assert_eq!(alerts(&burst(3, 60, false), events(&[0, 30, 61, 90]), at(199)), [30, 61, 90], "not the first");
    assert_eq!(
        alerts(&burst(3, 60, false), events(&[0, 90, 30, 61]), at(199)),
        [30, 61, 90],
        "the late one completes it"
    );
}

#[test]
fn different_values_are_counted_once_each() {
    let marks = |list: &[(i64, &str)]| list.iter().map(|(s, v)| mark(Part::Match, *s, v)).collect::<Vec<_>>();
    let window = burst(2, 60, true);
    assert_eq!(alerts(&window, marks(&[(0, "a"), (1, "a"), (2, "a")]), at(99)), Vec::<i64>::new());
    assert_eq!(alerts(&window, marks(&[(0, "a"), (1, "a"), (50, "b")]), at(99)), [0, 1, 50]);
    assert_eq!(alerts(&window, marks(&[(0, "a"), (70, "b"), (100, "a")]), at(199)), [70, 100]);
}

#[test]
fn a_sequence_wants_its_order_and_its_time() {
    let window = Window::Sequence { after: vec![never(), never()], within: SignedDuration::from_secs(100) };
    let (a, b, last) = (|s| mark(Part::Step(0), s, ""), |s| mark(Part::Step(1), s, ""), |s| mark(Part::Match, s, ""));
    assert_eq!(alerts(&window, [a(0), b(10), last(20)], at(99)), [20]);
    assert_eq!(alerts(&window, [last(20), b(10), a(0)], at(99)), [20], "whatever the order of arrival");
    assert_eq!(alerts(&window, [b(0), a(10), last(20)], at(99)), Vec::<i64>::new());
    assert_eq!(alerts(&window, [a(0), b(10), last(101)], at(999)), Vec::<i64>::new(), "too long");
    assert_eq!(alerts(&window, [a(0), a(50), b(60), last(120)], at(999)), [120], "the later start counts");
    assert_eq!(alerts(&window, [a(5), b(5), last(5)], at(99)), [5], "whole seconds: the worse reading wins");
}

#[test]
fn how_far_it_is_is_said_of_the_steps_too() {
    let sequence = Window::Sequence { after: vec![never(), never()], within: SignedDuration::from_hours(1) };
    let mut state = WindowState::default();
    state.add(&sequence, mark(Part::Step(1), 4, ""), BOUNDS);
    state.add(&sequence, mark(Part::Step(1), 9, ""), BOUNDS);
    assert_eq!(
        state.in_words(&sequence),
        format!(
            "step 2 of 2 before it was seen at {}, 0 remembered, 0 of them told; it asks for 2 other events before it, within 1h",
            at(9)
        )
    );
    let absent = Window::Absent { expect: never(), within: SignedDuration::from_hours(1) };
    let mut state = WindowState::default();
    state.add(&absent, mark(Part::Match, 0, ""), BOUNDS);
    assert!(state.in_words(&absent).starts_with("none of the events beside it was seen, 1 remembered"));
    state.add(&absent, mark(Part::Step(0), 5, ""), BOUNDS);
    assert!(state.in_words(&absent).starts_with(&format!("the expected event was seen at {}, 1 remembered", at(5))));
    assert!(WindowState::default().in_words(&burst(3, 60, false)).starts_with("0 remembered"));
}

#[test]
fn events_of_one_second_take_whatever_steps_there_are_for_them() {
    let window = |steps| Window::Sequence {
        after: (0..steps).map(|_| never()).collect(),
        within: SignedDuration::from_secs(100),
    };
    let named = |id: &str, part, seconds| Mark { id: EventId(id.to_owned()), ..mark(part, seconds, "") };
    let marks = |list: &[(&str, u8, i64)]| {
        let steps = list.iter().map(|(id, step, seconds)| named(id, Part::Step(*step), *seconds));
        steps.chain([mark(Part::Match, 20, "")]).collect::<Vec<_>>()
    };
    // Only "b" is the first step, and it is the second too.
    for seconds in [5, 20] {
        let tie = [("a", 1, seconds), ("b", 0, seconds), ("b", 1, seconds)];
        assert_eq!(alerts(&window(2), marks(&tie), at(99)), [20], "{seconds}");
    }
    assert_eq!(
        alerts(&window(2), marks(&[("b", 0, 5), ("b", 1, 5)]), at(99)),
        Vec::<i64>::new(),
        "one event, two steps"
    );
    assert_eq!(
        alerts(&window(2), marks(&[("b", 0, 6), ("b", 1, 6), ("a", 1, 5)]), at(99)),
        Vec::<i64>::new(),
        "out of order"
    );
    // Each of the three has to move on for the next.
    let chain = [("a", 2, 5), ("b", 2, 5), ("b", 1, 5), ("c", 1, 5), ("c", 0, 5), ("d", 2, 9)];
    assert_eq!(alerts(&window(3), marks(&chain), at(99)), [20]);
    assert_eq!(alerts(&window(3), marks(&chain[1..5]), at(99)), Vec::<i64>::new(), "two events, three steps");
    // Many of one second, and the step that is missing: it is known at once.
    let many: Vec<String> = (0..50).map(|n| format!("e{n}")).collect();
    let flood: Vec<(&str, u8, i64)> =
        many.iter().flat_map(|id| (1..8).map(move |step| (id.as_str(), step, 5))).collect();
    assert_eq!(alerts(&window(8), marks(&flood), at(99)), Vec::<i64>::new());
}

#[test]
fn one_event_does_not_play_two_parts() {
    let window = Window::Sequence { after: vec![never()], within: SignedDuration::from_secs(100) };
    let mut both = [mark(Part::Step(0), 5, "x"), mark(Part::Match, 5, "x")];
    for mark in &mut both {
        mark.id = EventId("one".to_owned());
    }
    assert_eq!(alerts(&window, both, at(99)), Vec::<i64>::new());
}

#[test]
fn what_does_not_follow_is_told_when_its_time_is_up() {
    let window = Window::Absent { expect: never(), within: SignedDuration::from_hours(1) };
    let asked = || mark(Part::Match, 0, "");
    let came = |s| mark(Part::Step(0), s, "");
    assert_eq!(alerts(&window, [asked()], at(3600)), Vec::<i64>::new(), "it may come late");
    assert_eq!(alerts(&window, [asked()], at(3600 + 900)), [0]);
    assert_eq!(alerts(&window, [came(3600), asked()], at(9999)), Vec::<i64>::new());
    assert_eq!(alerts(&window, [came(100), asked()], at(9999)), Vec::<i64>::new());
    let mut state = WindowState::default();
    state.add(&window, asked(), BOUNDS);
    assert!(state.ripe(&window, BOUNDS, at(10)).is_empty());
    assert_eq!(state.due, Some(at(3600 + 900)));
    assert_eq!(state.ripe(&window, BOUNDS, at(3600 + 900)).len(), 1);
    assert_eq!(state.due, None);
}

#[test]
fn a_value_is_new_after_learning_and_again_after_a_long_absence() {
    let day = 86_400;
    let window = Window::NewValue {
        of: "actor.principal".to_owned(),
        within: SignedDuration::from_secs(30 * day),
        learn: SignedDuration::from_secs(7 * day),
    };
    let seen = |s, v: &str| mark(Part::Match, s, v);
    let now = at(999 * day);
    assert_eq!(alerts(&window, [seen(0, "a"), seen(day, "b")], now), Vec::<i64>::new(), "it learns");
    assert_eq!(alerts(&window, [seen(0, "a"), seen(8 * day, "b"), seen(9 * day, "b")], now), [8 * day]);
    assert_eq!(alerts(&window, [seen(0, "a"), seen(8 * day, "a"), seen(39 * day, "a")], now), [39 * day]);
    assert_eq!(
        alerts(&window, [seen(0, "a"), seen(8 * day + 60, "b"), seen(8 * day, "b")], now),
        [8 * day, 8 * day + 60]
    );
    let mut state = WindowState::default();
    for s in 0..500 {
        state.add(&window, seen(8 * day + s * 60, "a"), BOUNDS);
    }
    assert!(state.marks.is_empty(), "a known value leaves no mark");
}

#[test]
fn a_flood_of_one_value_does_not_push_out_the_others() {
    let window = burst(3, 600, true);
    let flood = (1..200).map(|s| mark(Part::Match, s, "loud"));
    let marks = std::iter::once(mark(Part::Match, 0, "first")).chain(flood).chain([mark(Part::Match, 300, "last")]);
    let told = alerts(&window, marks, at(999));
    assert!(told.contains(&0) && told.contains(&300), "{told:?}");
}

#[test]
fn what_is_read_late_is_given_time_to_be_followed() {
    let window = Window::Absent { expect: never(), within: SignedDuration::from_hours(1) };
    let read = at(500_000);
    let mut state = WindowState::default();
    state.add(&window, Mark { seen: Some(read), ..mark(Part::Match, 0, "") }, BOUNDS);
    assert!(state.ripe(&window, BOUNDS, read).is_empty(), "the rest of the backlog is not read yet");
    assert_eq!(state.due, Some(read + BOUNDS.grace));
    state.add(&window, mark(Part::Step(0), 60, ""), BOUNDS);
    assert!(state.ripe(&window, BOUNDS, at(900_000)).is_empty());
}

#[test]
fn memory_is_bounded_and_says_so() {
    let window = burst(500, 60, false);
    let mut state = WindowState::default();
    for s in 0..3_000 {
        state.add(&window, mark(Part::Match, s / 100, &format!("{s}")), BOUNDS);
        state.ripe(&window, BOUNDS, at(9_999));
    }
    assert!(state.marks.len() <= MARKS_MAX);
    let window = burst(3, 60, false);
    let mut state = WindowState::default();
    for s in 0..1_000 {
        state.add(&window, mark(Part::Match, s * 61, "x"), BOUNDS);
        state.ripe(&window, BOUNDS, at(999_999));
    }
    assert!(state.marks.len() <= WAITING_MAX, "{}", state.marks.len());
    assert_eq!(state.dropped, 0, "none of them could still have been a part of a burst");
    let window = Window::Sequence { after: vec![never()], within: SignedDuration::from_hours(1) };
    let mut state = WindowState::default();
    for s in 0..100 {
        state.add(&window, mark(Part::Match, s, "x"), BOUNDS);
    }
    assert_eq!(state.dropped, 36, "what should have come before them may still come");
}

fn any_window() -> impl Strategy<Value = Window> {
    prop_oneof![
        (2..5_usize, 1..60_i64, any::<bool>()).prop_map(|(count, within, distinct)| burst(count, within, distinct)),
        (1..3_usize, 1..60_i64).prop_map(|(steps, within)| Window::Sequence {
            after: (0..steps).map(|_| never()).collect(),
            within: SignedDuration::from_secs(within),
        }),
        (1..60_i64).prop_map(|within| Window::Absent { expect: never(), within: SignedDuration::from_secs(within) }),
        (1..40_i64, 0..40_i64).prop_map(|(within, learn)| Window::NewValue {
            of: "x".to_owned(),
            within: SignedDuration::from_hours(within),
            learn: SignedDuration::from_secs(learn),
        }),
    ]
}

proptest! {
    /// Alerts of one instant are kept in a few marks only; what comes later is judged as if all were there.
    #[test]
    fn what_was_told_is_kept_in_few_marks(
        count in 2..4_usize,
        within in 1..8_i64,
        distinct in any::<bool>(),
        events in prop::collection::vec((0..20_i64, "[a-f]"), 0..60),
    ) {
        let window = burst(count, within, distinct);
        let marks: Vec<Mark> = events.iter().enumerate().map(|(n, (s, value))| {
            Mark { id: EventId(format!("{}", n * 7_919 % 1_000)), ..mark(Part::Match, *s, value) }
        }).collect();
        let now = at(100_000);
        let mut all = WindowState::default();
        for mark in &marks {
            all.add(&window, mark.clone(), BOUNDS);
        }
        let wanted = all.ripe(&window, BOUNDS, now).len();
        let (mut state, mut told) = (WindowState::default(), 0);
        for mark in marks {
            state.add(&window, mark, BOUNDS);
            told += state.ripe(&window, BOUNDS, now).len();
        }
        prop_assert_eq!(told, wanted);
        prop_assert_eq!(&state.marks, &all.marks, "what is left does not depend on the moments either");
        for second in 0..20 {
            let of_it = state.marks.iter().filter(|mark| mark.told && mark.at == at(second));
            prop_assert!(of_it.count() <= count);
        }
    }

    /// Order, repetition and the moments at which one looks make no difference to what becomes an alert.
    #[test]
    fn order_does_not_matter(
        window in any_window(),
        events in prop::collection::vec((0..3_u8, 0..120_i64, "[ab]"), 0..25),
        order in any::<prop::sample::Index>(),
    ) {
        let marks: Vec<Mark> = events.iter().map(|(part, s, v)| {
            let steps = u8::try_from(window.steps().count()).unwrap();
            let part = if *part == 0 || steps == 0 { Part::Match } else { Part::Step((part - 1) % steps) };
            mark(part, *s, v)
        }).collect();
        let now = at(100_000);
        let mut shuffled: Vec<Mark> = marks.iter().chain(&marks).cloned().collect();
        let by = order.index(shuffled.len().max(1));
        let by = by.min(shuffled.len());
        shuffled.rotate_left(by);
        shuffled.reverse();
        // All the expected ones are there before the time is up.
        let together = |marks: Vec<Mark>| {
            let mut state = WindowState::default();
            for mark in marks {
                state.add(&window, mark, BOUNDS);
            }
            let mut told: Vec<_> = state.ripe(&window, BOUNDS, now).into_iter().map(|w| w.evaluation.id).collect();
            told.sort();
            told
        };
        let wanted = together(marks.clone());
        prop_assert_eq!(&together(shuffled.clone()), &wanted);
        if !matches!(window, Window::Absent { .. }) {
            let mut one_by_one = Vec::new();
            let mut state = WindowState::default();
            for mark in shuffled {
                state.add(&window, mark, BOUNDS);
                one_by_one.extend(state.ripe(&window, BOUNDS, now).into_iter().map(|w| w.evaluation.id));
            }
            one_by_one.sort();
            prop_assert_eq!(one_by_one, wanted);
        }
    }
}
