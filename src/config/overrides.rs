//! The environment's layer: `KMSWATCH__SINKS__ONCALL__MAX_PER_MINUTE=10` sets `sinks.oncall.max_per_minute`.
//!
//! The `config` crate reads names and types; the values are then laid over the parsed file, so that one pass
//! reads both and every error knows whether the file or which variable it comes from.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;

use config::{Environment, Source, ValueKind};
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use crate::base::diagnostic::Problem;

/// What every variable starts with that sets a value.
pub(super) const PREFIX: &str = "KMSWATCH__";

/// One variable. Its value has a range behind the end of the file, by which errors find back to it.
#[derive(Debug)]
pub(super) struct Override {
    variable: String,
    path: Vec<String>,
    value: Typed,
    /// The TOML form of the value, at its range.
    source: String,
    pub(super) span: Range<usize>,
}

#[derive(Debug)]
enum Typed {
    Text(String),
    /// Something else; with the text as it was written.
    Other(String),
}

/// The process's environment. Variables that are not Unicode are none of ours.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Reads the layer; ranges start behind `file_length`. Variables that do not start with [`PREFIX`] are none of ours.
pub(super) fn read(env: impl IntoIterator<Item = (String, String)>, file_length: usize) -> Vec<Override> {
    let mut variables: Vec<(String, String)> =
        env.into_iter().filter(|(name, value)| name.to_uppercase().starts_with(PREFIX) && !value.is_empty()).collect();
    variables.sort();
    let mut start = file_length + NAME.len() + 1;
    let mut layers = Vec::new();
    for (variable, text) in variables {
        let Some((path, kind)) = typed(&variable, &text) else { continue };
        let (literal, value) = literal(&kind, text);
        let span = start..start + literal.len();
        let source = format!("{}{NAME}{literal}", "\n".repeat(start - NAME.len()));
        start = span.end + NAME.len() + 1;
        layers.push(Override { variable, path, value, source, span });
    }
    layers
}

const NAME: &str = "v=";

/// What the `config` crate makes of one variable.
fn typed(variable: &str, text: &str) -> Option<(Vec<String>, ValueKind)> {
    let source = HashMap::from([(variable.to_owned(), text.to_owned())]);
    let layer = Environment::with_prefix(PREFIX.trim_end_matches('_'))
        .prefix_separator("__")
        .separator("__")
        .try_parsing(true)
        .source(Some(source));
    let (key, value) = layer.collect().ok()?.into_iter().next()?;
    Some((key.split('.').map(str::to_owned).collect(), value.kind))
}

/// The value as TOML writes it. A list or table may be given in TOML's own words.
fn literal(kind: &ValueKind, text: String) -> (String, Typed) {
    match kind {
        ValueKind::Boolean(value) => (value.to_string(), Typed::Other(text)),
        ValueKind::I64(value) => (value.to_string(), Typed::Other(text)),
        ValueKind::Float(value) => (format!("{value:?}"), Typed::Other(text)),
        _ if text.starts_with(['[', '{']) && DeValue::parse(&text).is_ok() => (text.clone(), Typed::Other(text)),
        _ => (quoted(&text), Typed::Text(text)),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

impl Override {
    /// What stands where a file's name would.
    pub(super) fn origin(&self) -> PathBuf {
        PathBuf::from(format!("environment variable {}", self.variable))
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self.value, Typed::Text(_))
    }

    pub(super) fn holds(&self, place: &Range<usize>) -> bool {
        self.span.start <= place.start && place.start < self.span.end
    }

    /// The value as text, whatever it looks like.
    pub(super) fn as_text<'t>(&self) -> Spanned<DeValue<'t>> {
        let (Typed::Text(text) | Typed::Other(text)) = &self.value;
        Spanned::new(self.span.clone(), DeValue::String(text.clone().into()))
    }

    fn value(&self) -> Spanned<DeValue<'_>> {
        let parsed = DeTable::parse(&self.source).ok().and_then(|mut table| table.get_mut().remove("v"));
        parsed.unwrap_or_else(|| self.as_text())
    }

    /// Sets the value. Names are compared without regard to case, and `_` stands for `-` as well.
    pub(super) fn apply<'t>(&'t self, table: &mut DeTable<'t>) -> Result<(), Problem> {
        let Some((last, tables)) = self.path.split_last() else { return Ok(()) };
        let mut inside = table;
        for name in tables {
            let key = self.existing(inside, name);
            let entry = inside.entry(key);
            let value = entry.or_insert_with(|| Spanned::new(self.span.clone(), DeValue::Table(DeTable::new())));
            let DeValue::Table(members) = value.get_mut() else {
                return Err(Problem::error(self.span.clone(), format!("`{name}` is not a table in the file"))
                    .hint("a variable sets one value of a table; lists and what is in them are set in the file"));
            };
            inside = members;
        }
        let key = self.existing(inside, last);
        inside.insert(key, self.value());
        Ok(())
    }

    fn existing<'t>(&self, table: &DeTable<'t>, name: &str) -> Spanned<toml::de::DeString<'t>> {
        let folded = |text: &str| text.to_lowercase().replace('-', "_");
        let found = table.keys().find(|key| folded(key.get_ref()) == folded(name)).cloned();
        found.unwrap_or_else(|| Spanned::new(self.span.clone(), name.to_owned().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid_over(file: &str, env: &[(&str, &str)]) -> (toml::Table, Vec<Problem>) {
        let layers = read(env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())), file.len());
        let mut table = DeTable::parse(file).unwrap().into_inner();
        let problems = layers.iter().filter_map(|layer| layer.apply(&mut table).err()).collect();
        let root = toml::de::ValueDeserializer::from(Spanned::new(0..0, DeValue::Table(table)));
        (serde::Deserialize::deserialize(root).unwrap(), problems)
    }

    #[test]
    fn a_variable_sets_a_value_whatever_its_case_and_dashes() {
        let file = "[sinks.On-Call]\nmax_per_minute = 3\n[sinks.On-Call.slack]\nchannel = 'C1'\n";
        let (table, problems) = laid_over(
            file,
            &[("KMSWATCH__SINKS__ON_CALL__MAX_PER_MINUTE", "10"), ("kmswatch__sinks__on_call__slack__channel", "C2")],
        );
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(
            table.to_string(),
            "[sinks.On-Call]\nmax_per_minute = 10\n\n[sinks.On-Call.slack]\nchannel = \"C2\"\n"
        );
    }

    #[test]
    fn types_are_read_and_tables_made() {
        let (table, _) = laid_over(
            "",
            &[
                ("KMSWATCH__A__B", "true"),
                ("KMSWATCH__A__LIST", "[\"x\", 1]"),
                ("KMSWATCH__A__SECRET", "{ env = \"X\" }"),
                ("KMSWATCH__A__WORD", "[not toml"),
                ("KMSWATCH__A__PART", "1.5"),
                ("KMSWATCH__EMPTY", ""),
                ("KMSWATCH_CONFIG", "other.toml"),
                ("PATH", "/bin"),
            ],
        );
        assert_eq!(table.keys().collect::<Vec<_>>(), ["a"]);
        let a = table["a"].as_table().unwrap();
        assert_eq!((a["b"].as_bool(), a["part"].as_float()), (Some(true), Some(1.5)));
        assert_eq!(a["list"].as_array().unwrap().len(), 2);
        assert_eq!(a["secret"]["env"].as_str(), Some("X"));
        assert_eq!(a["word"].as_str(), Some("[not toml"));
    }

    #[test]
    fn ranges_lie_behind_the_file_and_apart() {
        let layers = read([("KMSWATCH__A".into(), "12345".into()), ("KMSWATCH__B".into(), "x".into())], 7);
        assert!(layers[0].span.start > 7 && layers[0].span.end < layers[1].span.start);
        assert_eq!(layers[0].value().span(), layers[0].span);
        assert_eq!(layers[1].value().span(), layers[1].span);
    }

    #[test]
    fn a_list_is_not_entered() {
        let (_, problems) = laid_over("[[routes]]\nsinks = []\n", &[("KMSWATCH__ROUTES__0__STOP", "true")]);
        assert_eq!(problems[0].message, "`routes` is not a table in the file");
    }
}
