//! The `detection` part of a Sigma rule as a formula over fields.

use super::condition::{self, Condition, Parsed};
use super::item::Range;
use super::names::Path;
use super::value::{self, Glob};
use super::yaml::{Fault, Kind, Yaml, shortened};
use crate::base::diagnostic::did_you_mean;

/// What a Sigma rule asks.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Formula {
    All(Vec<Formula>),
    Any(Vec<Formula>),
    Not(Box<Formula>),
    Field(Field),
    /// Something that patterns have no word for, and why.
    Unknown {
        line: usize,
        why: String,
    },
}

/// One field that must be one of these.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    pub(super) line: usize,
    pub(super) path: Path,
    pub(super) wanted: Vec<Wanted>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wanted {
    Glob { glob: Glob, cased: bool },
    Number(String, serde_json::Number),
    Bool(bool),
    Null,
    Exists(bool),
    Range(Range),
    Network(String),
}

/// A detection: its formula, and the old aggregation behind the condition's `|`.
#[derive(Debug)]
pub(super) struct Detection {
    pub(super) formula: Formula,
    /// Its text, and the line of the condition.
    pub(super) aggregation: Option<(usize, String)>,
    pub(super) timeframe: Option<String>,
    /// Fields that `CloudTrail`'s record does not have.
    pub(super) strangers: Vec<String>,
}

/// Members of `detection` that are no search identifiers.
const RESERVED: &[&str] = &["condition", "timeframe"];

/// Reads a detection.
pub(super) fn read(detection: &Yaml) -> Result<Detection, Fault> {
    let condition =
        detection.get("condition").ok_or_else(|| Fault::at(detection.line, "the detection has no `condition`"))?;
    let mut reader = Reader { detection, strangers: vec![] };
    let mut aggregation = None;
    let mut all = vec![];
    for item in condition.items() {
        let text = item.text().ok_or_else(|| Fault::at(item.line, "a condition is text"))?;
        let parsed = condition::parse(&text).map_err(|message| Fault::at(item.line, message))?;
        let Parsed { condition, aggregation: behind } = parsed;
        if let Some(behind) = behind {
            aggregation = Some((item.line, behind));
        }
        all.push(reader.condition(&condition, item.line)?);
    }
    if all.is_empty() || (all.len() > 1 && aggregation.is_some()) {
        return Err(Fault::at(condition.line, "the condition is empty, or a list of conditions that count"));
    }
    let mut strangers = reader.strangers;
    strangers.sort();
    strangers.dedup();
    Ok(Detection {
        formula: if all.len() == 1 { all.remove(0) } else { Formula::Any(all) },
        aggregation,
        timeframe: detection.get("timeframe").and_then(Yaml::text),
        strangers,
    })
}

struct Reader<'y> {
    detection: &'y Yaml,
    strangers: Vec<String>,
}

impl<'y> Reader<'y> {
    fn names(&self) -> impl Iterator<Item = &'y str> + use<'y> {
        self.detection.members().iter().map(|(name, _)| name.as_str()).filter(|name| !RESERVED.contains(name))
    }

    fn condition(&mut self, condition: &Condition, line: usize) -> Result<Formula, Fault> {
        let mut each = |parts: &[Condition]| -> Result<Vec<Formula>, Fault> {
            parts.iter().map(|part| self.condition(part, line)).collect()
        };
        Ok(match condition {
            Condition::And(parts) => Formula::All(each(parts)?),
            Condition::Or(parts) => Formula::Any(each(parts)?),
            Condition::Not(inner) => Formula::Not(Box::new(self.condition(inner, line)?)),
            Condition::Name(name) => self.identifier(name, line)?,
            Condition::Of { all, pattern } => {
                let fitting: Vec<&str> = match pattern {
                    Some(pattern) => self.names().filter(|name| condition::fits(pattern, name)).collect(),
                    None => self.names().filter(|name| !name.starts_with('_')).collect(),
                };
                if fitting.is_empty() {
                    let what = pattern.as_deref().unwrap_or("them");
                    return Err(Fault::at(line, format!("no search identifier fits `{}`", shortened(what))));
                }
                let parts = fitting.iter().map(|name| self.identifier(name, line)).collect::<Result<_, _>>()?;
                if *all { Formula::All(parts) } else { Formula::Any(parts) }
            }
        })
    }

    fn identifier(&mut self, name: &str, line: usize) -> Result<Formula, Fault> {
        if let Some(search) = self.detection.get(name).filter(|_| !RESERVED.contains(&name)) {
            return self.search(search);
        }
        let known: Vec<&str> = self.names().collect();
        let hint = did_you_mean(name, &known, "search identifiers");
        Err(Fault::at(line, format!("there is no search identifier `{}` ({hint})", shortened(name))))
    }

    fn search(&mut self, search: &Yaml) -> Result<Formula, Fault> {
        match &search.kind {
            Kind::Map(members) if !members.is_empty() => {
                let parts = members.iter().map(|(key, value)| self.field(key, value));
                Ok(Formula::All(parts.collect::<Result<_, _>>()?))
            }
            Kind::List(items) if !items.is_empty() => {
                let parts = items.iter().map(|item| self.search(item));
                Ok(Formula::Any(parts.collect::<Result<_, _>>()?))
            }
            Kind::Map(_) | Kind::List(_) | Kind::Null => Err(Fault::at(search.line, "a search identifier is empty")),
            Kind::Bool(_) | Kind::Number(..) | Kind::Text(_) => Ok(keyword(search)),
        }
    }

    /// One `field|modifier: value` of a map.
    fn field(&mut self, key: &str, value: &Yaml) -> Result<Formula, Fault> {
        let line = value.line;
        let mut parts = key.split('|');
        let name = parts.next().unwrap_or_default().trim();
        if name.is_empty() {
            return Ok(keyword(value));
        }
        let Some((path, known)) = Path::of_field(name) else {
            return Err(Fault::at(line, format!("`{}` is no name of a field", shortened(name))));
        };
        if !known {
            self.strangers.push(shortened(name));
        }
        let unknown = |why: String| Ok(Formula::Unknown { line, why });
        let modifiers = match Modifiers::read(parts) {
            Ok(modifiers) => modifiers,
            Err(why) => return unknown(format!("`{}`: {why}", shortened(key))),
        };
        let values: &[Yaml] = match &value.kind {
            Kind::List(items) if items.is_empty() => {
                return Err(Fault::at(line, format!("`{}` has an empty list of values", shortened(key))));
            }
            Kind::Map(_) => {
                return unknown(format!("`{}` holds a map, which Sigma has no meaning for", shortened(key)));
            }
            Kind::List(items) => items,
            _ => std::slice::from_ref(value),
        };
        // Each value by itself, so that `all` can ask for every one of them.
        let mut fields: Vec<Formula> = vec![];
        for value in values {
            fields.push(match modifiers.wanted(value) {
                Ok(wanted) => Formula::Field(Field { line: value.line, path: path.clone(), wanted }),
                Err(why) => Formula::Unknown { line: value.line, why: format!("`{}`: {why}", shortened(key)) },
            });
        }
        let formula = if modifiers.all { Formula::All(fields) } else { joined(fields) };
        Ok(if modifiers.differs { Formula::Not(Box::new(formula)) } else { formula })
    }
}

/// One of several values of one field.
fn joined(fields: Vec<Formula>) -> Formula {
    let mut others = vec![];
    let mut one: Option<Field> = None;
    for field in fields {
        match (field, &mut one) {
            (Formula::Field(field), Some(one)) => one.wanted.extend(field.wanted),
            (Formula::Field(field), None) => one = Some(field),
            (other, _) => others.push(other),
        }
    }
    match one {
        Some(one) if others.is_empty() => Formula::Field(one),
        one => Formula::Any(one.map(Formula::Field).into_iter().chain(others).collect()),
    }
}

fn keyword(value: &Yaml) -> Formula {
    let words: Vec<String> = value.items().iter().filter_map(Yaml::text).map(|text| shortened(&text)).collect();
    let why =
        format!("a search for the words `{}` anywhere in the event; patterns compare named fields", words.join("`, `"));
    Formula::Unknown { line: value.line, why }
}

/// What stands behind a field's name, each after a `|`.
#[derive(Default)]
struct Modifiers {
    kind: Compare,
    all: bool,
    cased: bool,
    /// `neq`.
    differs: bool,
    /// `re|i`.
    folded: bool,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Compare {
    #[default]
    Equal,
    Contains,
    Starts,
    Ends,
    Regex,
    Network,
    Exists,
    Less {
        inclusive: bool,
    },
    More {
        inclusive: bool,
    },
}

impl Modifiers {
    fn read<'k>(words: impl Iterator<Item = &'k str>) -> Result<Self, String> {
        let mut read = Self::default();
        for word in words {
            let kind = match word.trim().to_ascii_lowercase().as_str() {
                "all" => {
                    read.all = true;
                    continue;
                }
                "cased" => {
                    read.cased = true;
                    continue;
                }
                "neq" => {
                    read.differs = true;
                    continue;
                }
                "i" if read.kind == Compare::Regex => {
                    read.folded = true;
                    continue;
                }
                // That a dot may be a line break changes nothing for `*`.
                "s" if read.kind == Compare::Regex => continue,
                "contains" => Compare::Contains,
                "startswith" => Compare::Starts,
                "endswith" => Compare::Ends,
                "re" => Compare::Regex,
                "cidr" => Compare::Network,
                "exists" => Compare::Exists,
                "lt" => Compare::Less { inclusive: false },
                "lte" => Compare::Less { inclusive: true },
                "gt" => Compare::More { inclusive: false },
                "gte" => Compare::More { inclusive: true },
                "fieldref" => return Err("patterns cannot compare one field with another".into()),
                "base64" | "base64offset" | "wide" | "utf16" | "utf16le" | "utf16be" => {
                    return Err("patterns do not look into encoded text".into());
                }
                "windash" => return Err("command lines of Windows are not in these events".into()),
                "expand" => return Err("placeholders have no value here".into()),
                "minute" | "hour" | "day" | "week" | "month" | "year" => {
                    return Err("patterns cannot take a time apart".into());
                }
                other => return Err(format!("the modifier `{}` has no counterpart", shortened(other))),
            };
            if read.kind != Compare::Equal {
                return Err("two modifiers that exclude each other".into());
            }
            read.kind = kind;
        }
        Ok(read)
    }

    /// One value; several where a regular expression has alternatives.
    fn wanted(&self, value: &Yaml) -> Result<Vec<Wanted>, String> {
        let text = || value.text().ok_or("it needs a plain value".to_owned());
        let glob = |glob: Glob| Ok(vec![Wanted::Glob { glob, cased: self.cased }]);
        match self.kind {
            Compare::Equal => Ok(vec![match &value.kind {
                Kind::Null => Wanted::Null,
                Kind::Bool(value) => Wanted::Bool(*value),
                Kind::Number(text, number) => Wanted::Number(text.clone(), number.clone()),
                Kind::Text(text) => Wanted::Glob { glob: Glob::parse(text), cased: self.cased },
                Kind::List(_) | Kind::Map(_) => return Err("a list or a map is no value".into()),
            }]),
            Compare::Contains => glob(Glob::parse(&text()?).widened(true, true)),
            Compare::Starts => glob(Glob::parse(&text()?).widened(false, true)),
            Compare::Ends => glob(Glob::parse(&text()?).widened(true, false)),
            Compare::Regex => {
                let text = text()?;
                let (globs, folded) = value::regex(&text)
                    .ok_or_else(|| format!("the regular expression `{}` is no mere wildcard", shortened(&text)))?;
                let cased = !(folded || self.folded);
                Ok(globs.into_iter().map(|glob| Wanted::Glob { glob, cased }).collect())
            }
            Compare::Network => network(&text()?).map(|wanted| vec![wanted]),
            Compare::Exists => match text()?.to_ascii_lowercase().as_str() {
                "true" | "yes" => Ok(vec![Wanted::Exists(true)]),
                "false" | "no" => Ok(vec![Wanted::Exists(false)]),
                _ => Err("`exists` is either true or false".into()),
            },
            Compare::Less { inclusive } => {
                Ok(vec![Wanted::Range(Range { low: None, high: Some((number(value)?, inclusive)) })])
            }
            Compare::More { inclusive } => {
                Ok(vec![Wanted::Range(Range { low: Some((number(value)?, inclusive)), high: None })])
            }
        }
    }
}

fn number(value: &Yaml) -> Result<serde_json::Number, String> {
    let number = match &value.kind {
        Kind::Number(_, number) => Some(number.clone()),
        Kind::Text(text) => text.parse::<i64>().ok().map(Into::into),
        _ => None,
    };
    number.ok_or_else(|| "it needs a number".into())
}

/// A network with the bits cleared that its mask leaves out; one address where it is no more than that.
fn network(text: &str) -> Result<Wanted, String> {
    let address = |ip: core::net::IpAddr| Wanted::Glob { glob: Glob::literal(&ip.to_string()), cased: true };
    if let Ok(ip) = text.parse() {
        return Ok(address(ip));
    }
    let network: ipnet::IpNet = text.parse().map_err(|_| format!("`{}` is no network", shortened(text)))?;
    if network.prefix_len() == network.max_prefix_len() {
        return Ok(address(network.addr()));
    }
    Ok(Wanted::Network(network.trunc().to_string()))
}
