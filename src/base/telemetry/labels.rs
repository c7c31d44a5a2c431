//! Bounds on label values: whatever happens, a label has so many values and no more, and each is short.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use metrics::SharedString;

/// Values per label; more become [`OTHER`]. Rules, sinks and queues are written by people, so this is far away.
pub(super) const VALUES_MAX: usize = 500;

/// Longer values are cut.
const LENGTH_MAX: usize = 100;

pub(super) const OTHER: &str = "other";

type Known = HashMap<&'static str, HashSet<Arc<str>>>;

static KNOWN: LazyLock<RwLock<Known>> = LazyLock::new(RwLock::default);

/// The value to use for `label`: the same text, shared, or `other` when the label has too many already.
pub(super) fn bounded(label: &'static str, value: &str) -> SharedString {
    let value: &str = match value.char_indices().nth(LENGTH_MAX) {
        Some((end, _)) => value.get(..end).unwrap_or(OTHER),
        None => value,
    };
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = known.get(label).and_then(|values| values.get(value)) {
        return found.clone().into();
    }
    drop(known);
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    let values = known.entry(label).or_default();
    if values.len() >= VALUES_MAX {
        return OTHER.into();
    }
    let value: Arc<str> = value.into();
    values.insert(value.clone());
    value.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_only_so_many_values() {
        let values: HashSet<String> =
            (0..VALUES_MAX * 2).map(|n| bounded("test_label", &format!("value-{n}")).to_string()).collect();
        assert_eq!(values.len(), VALUES_MAX + 1);
        assert!(values.contains(OTHER));
        assert_eq!(&*bounded("test_label", "value-0"), "value-0", "known ones keep their name");
    }

    #[test]
    fn a_value_is_short() {
        assert_eq!(bounded("test_length", &"ä".repeat(10_000)).chars().count(), LENGTH_MAX);
    }
}
