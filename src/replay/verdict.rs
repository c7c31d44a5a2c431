//! Remembers what was said of records that look the same at a glance. An archive has millions of records and a few hundred
//! of these looks.

use std::collections::HashMap;

use crate::core::decode::{Brief, Glance};
use crate::core::peek::Peek;

/// Looks remembered. Names in records are anybody's: more than these are judged each time.
const KEPT_MAX: usize = 4096;

/// Whether anything may be concerned, by look.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    known: HashMap<Brief<'static>, bool>,
}

impl Verdicts {
    /// What `judge` says of what is known at a glance, asked once for each look. It must depend on nothing else.
    pub(super) fn of(&mut self, glance: &Glance<'_>, judge: impl Fn(&Peek<'_>) -> bool) -> bool {
        let judged = || glance.peek().is_none_or(|peek| judge(&peek));
        let Some(brief) = glance.brief() else { return judged() };
        if let Some(verdict) = self.known.get(brief) {
            return *verdict;
        }
        let verdict = judged();
        if self.known.len() < KEPT_MAX {
            self.known.insert(brief.clone().into_owned(), verdict);
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::core::decode::{Scan, scan};

    fn glance(text: &str) -> Glance<'_> {
        match scan(text.as_bytes()) {
            Scan::Value { event: Some(glance), .. } => glance,
            other => panic!("{other:?}"),
        }
    }

    fn record(name: &str, code: &str) -> String {
        format!(
            r#"{{"eventSource":"kms.amazonaws.com","eventName":"{name}","eventTime":"2026-03-02T10:15:31Z"{code}}}"#
        )
    }

    #[test]
    fn each_look_is_judged_once() {
        let (mut verdicts, asked) = (Verdicts::default(), Cell::new(0));
        let mut of = |text: &str| {
            verdicts.of(&glance(text), |peek| {
                asked.set(asked.get() + 1);
                peek.text(&["detail", "eventName"]) == Some("DisableKey")
                    && peek.text(&["detail", "errorCode"]).is_none()
            })
        };
        for _ in 0..3 {
            assert!(of(&record("DisableKey", "")));
            assert!(of(&record("DisableKey", r#","errorCode":null"#)));
            assert!(!of(&record("DisableKey", r#","errorCode":"AccessDenied""#)));
            assert!(!of(&record("EnableKey", "")));
        }
        assert_eq!(asked.get(), 4, "no code and null are two looks");
        for n in 0..2 * KEPT_MAX {
            of(&record(&format!("Name{n}"), ""));
        }
        assert_eq!(verdicts.known.len(), KEPT_MAX, "made-up names fill no memory");
    }
}
