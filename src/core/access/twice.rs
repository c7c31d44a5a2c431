//! Members that are there twice: JSON's readers differ in which of them counts, so that one could hide behind the other.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// The name of a member that one object of a JSON text has twice.
pub(super) fn twice(text: &str) -> Option<String> {
    serde_json::from_str::<Twice>(text).ok()?.0
}

struct Twice(Option<String>);

impl<'de> Deserialize<'de> for Twice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Look).map(Self)
    }
}

struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut names, mut found) = (BTreeSet::new(), None);
        while let Some(name) = map.next_key::<String>()? {
            // The readers of policies do not mind the case of an element's name.
            let again = !names.insert(name.to_ascii_lowercase());
            found = found.or(again.then_some(name));
            found = found.or(map.next_value::<Twice>()?.0);
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(item) = list.next_element::<Twice>()? {
            found = found.or(item.0);
        }
        Ok(found)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_there_twice_is_named() {
        for (text, expected) in [
            (r#"{"a":1,"b":[{"c":null},{"c":true}],"d":-1.5}"#, None),
            (r#"{"a":1,"a":2}"#, Some("a")),
            (r#"[{"x":{"Statement":[],"statement":"y"}}]"#, Some("statement")),
            (r#"{"a":1,"\u0061":2}"#, Some("a")),
            ("no JSON", None),
            ("7", None),
        ] {
            assert_eq!(twice(text).as_deref(), expected, "{text}");
        }
        assert_eq!(twice(&"[".repeat(100_000)), None);
    }
}
