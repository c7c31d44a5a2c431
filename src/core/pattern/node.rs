//! A pattern as somebody wrote it: a tree of plain values that know where in the file they stand.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_spanned::Spanned;

use super::json::{self, Fault};

/// One value of a TOML (or JSON) pattern with the byte range it has in its file; `0..0` where there is no file.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub span: Range<usize>,
    pub kind: NodeKind,
}

#[derive(Debug, Clone, PartialEq)]
pub enum NodeKind {
    /// Members in the order written; each name with its own range.
    Table(Vec<(Name, Node)>),
    Array(Vec<Node>),
    String(String),
    /// As large as JSON has them: from the least signed to the greatest unsigned of 64 bits.
    Integer(i128),
    Float(f64),
    Boolean(bool),
    /// JSON's null; TOML has none and spells it `{ is-null = true }`.
    Null,
}

/// A member's name and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Name {
    pub text: String,
    pub span: Range<usize>,
}

impl Node {
    /// The same pattern without places, as JSON: what an incident keeps of the resolve pattern it opened with.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.kind {
            NodeKind::Table(members) => {
                Value::Object(members.iter().map(|(n, v)| (n.text.clone(), v.to_json())).collect())
            }
            NodeKind::Array(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            NodeKind::String(s) => Value::String(s.clone()),
            NodeKind::Integer(i) => {
                i64::try_from(*i).map(Value::from).or_else(|_| u64::try_from(*i).map(Value::from)).unwrap_or_default()
            }
            NodeKind::Float(f) => Value::from(*f),
            NodeKind::Boolean(b) => Value::Bool(*b),
            NodeKind::Null => Value::Null,
        }
    }

    /// The pattern itself: where a pattern stands as a text, that text is read as JSON, as pasted from `EventBridge`. The
    /// places of its parts are then those in the text: see [`Problem::within`](crate::base::diagnostic::Problem::within).
    ///
    /// # Errors
    /// The text is no JSON.
    pub fn opened(&self) -> Result<Cow<'_, Self>, Fault> {
        match &self.kind {
            NodeKind::String(text) => json::read(text).map(Cow::Owned),
            _ => Ok(Cow::Borrowed(self)),
        }
    }

    /// A pattern that came as JSON; it has no places.
    pub fn from_json(value: &serde_json::Value) -> Self {
        use serde_json::Value;
        let kind = match value {
            Value::Null => NodeKind::Null,
            Value::Bool(b) => NodeKind::Boolean(*b),
            Value::Number(n) => {
                let whole = n.as_i64().map(i128::from).or_else(|| n.as_u64().map(i128::from));
                whole.map_or_else(|| NodeKind::Float(n.as_f64().unwrap_or(f64::NAN)), NodeKind::Integer)
            }
            Value::String(s) => NodeKind::String(s.clone()),
            Value::Array(items) => NodeKind::Array(items.iter().map(Self::from_json).collect()),
            Value::Object(members) => NodeKind::Table(
                members.iter().map(|(name, v)| (Name { text: name.clone(), span: 0..0 }, Self::from_json(v))).collect(),
            ),
        };
        Self { span: 0..0, kind }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Kind>::deserialize(deserializer)?;
        Ok(Self { span: spanned.span(), kind: spanned.into_inner().0 })
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<String>::deserialize(deserializer)?;
        Ok(Self { span: spanned.span(), text: spanned.into_inner() })
    }
}

pub(super) struct Kind(pub(super) NodeKind);

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a table, list, string, number or boolean")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Kind, E> {
        Ok(Kind(NodeKind::Boolean(v)))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Kind, E> {
        Ok(Kind(NodeKind::Integer(v.into())))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Kind, E> {
        Ok(Kind(NodeKind::Integer(v.into())))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Kind, E> {
        Ok(Kind(NodeKind::Float(v)))
    }

    fn visit_str<E>(self, v: &str) -> Result<Kind, E> {
        Ok(Kind(NodeKind::String(v.to_owned())))
    }

    fn visit_string<E>(self, v: String) -> Result<Kind, E> {
        Ok(Kind(NodeKind::String(v)))
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind(NodeKind::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Kind(NodeKind::Array(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry().map_err(without_dates)? {
            members.push(member);
        }
        Ok(Kind(NodeKind::Table(members)))
    }
}

/// TOML hands a date over as a table with one secret name, which has no place in the file.
fn without_dates<E: serde::de::Error>(error: E) -> E {
    let date = error.to_string().contains("$__toml_private_datetime");
    if date { E::custom("a date is no value of an event: write it as a string, in quotes") } else { error }
}

impl schemars::JsonSchema for Node {
    fn schema_name() -> Cow<'static, str> {
        "Pattern".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["object", "string"],
            "description": "An EventBridge event pattern over the event document: a table, or a text that holds its JSON.",
            "minProperties": 1
        })
    }
}
