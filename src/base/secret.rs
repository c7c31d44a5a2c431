//! Secrets: the configuration names where one is kept, never the secret itself.
//!
//! `{ env = "NAME" }` is read once, when the part is built. `{ file = "/path" }` is read again whenever the
//! file changes, so that a rotated secret needs no restart. No value appears in `Debug`, errors or logs.

use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::de::{self, Deserializer, MapAccess, Visitor};

pub use secrecy::{ExposeSecret, SecretString};

use super::diagnostic::Problem;

/// Where a secret is kept: `{ env = "NAME" }` or `{ file = "/path" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// An environment variable, read once at the start.
    Env(String),
    /// A file, read again when it changes.
    File(PathBuf),
}

/// A configured text that may be kept apart as a secret: `"plain"`, `{ env = … }` or `{ file = … }`.
#[derive(Clone, PartialEq, Eq)]
pub enum Text {
    Plain(String),
    Secret(SecretRef),
}

/// An opened [`SecretRef`].
pub struct Secret {
    place: SecretRef,
    cached: Mutex<Cached>,
}

/// An opened [`Text`].
#[derive(Debug)]
pub enum OpenText {
    Plain(SecretString),
    Secret(Secret),
}

/// Why a secret could not be had. Names the place, never the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("the environment variable `{0}` is not set")]
    Unset(String),
    #[error("the environment variable `{0}` is not UTF-8")]
    NotText(String),
    #[error("{0} is empty")]
    Empty(String),
    #[error("the file `{path}` could not be read: {why}")]
    File { path: String, why: String },
}

/// No key, token or address is longer than this many bytes.
pub const SECRET_MAX: u64 = 64 * 1024;

const HINT: &str = "secrets are not written into the file; use { env = \"NAME\" } or { file = \"/path\" }";

impl SecretRef {
    /// Reports what is wrong with the reference itself; touches neither the environment nor the file.
    pub fn check(&self, span: Range<usize>, problems: &mut Vec<Problem>) {
        match self {
            Self::Env(name) if !is_variable_name(name) => {
                problems.push(Problem::error(span, "`env` is not the name of an environment variable").hint(
                    "write the variable's name, such as { env = \"SLACK_TOKEN\" }; the value stays outside the file",
                ));
            }
            Self::File(path) if !path.is_absolute() => problems.push(
                Problem::error(span, format!("the secret's file `{}` is not an absolute path", path.display()))
                    .hint("a relative path depends on where the daemon is started; write it from `/` on"),
            ),
            _ => {}
        }
    }

    /// Reads the secret for the first time.
    ///
    /// # Errors
    /// When the variable or the file is missing, empty, too long or not UTF-8.
    #[expect(clippy::disallowed_methods, reason = "secrets are one of the two things the environment is read for")]
    pub fn open(&self) -> Result<Secret, SecretError> {
        let cached = match self {
            Self::Env(name) => {
                let value = std::env::var(name).map_err(|error| match error {
                    std::env::VarError::NotPresent => SecretError::Unset(name.clone()),
                    std::env::VarError::NotUnicode(_) => SecretError::NotText(name.clone()),
                })?;
                Cached { stamp: None, value: accept(&value, || format!("the environment variable `{name}`"))? }
            }
            Self::File(path) => {
                let stamp = stamp(path)?;
                Cached { stamp: Some(stamp), value: read(path)? }
            }
        };
        Ok(Secret { place: self.clone(), cached: Mutex::new(cached) })
    }
}

impl Secret {
    /// The value now. A file that changed is read again; while the new content cannot be read or is empty, the
    /// last good value stays in force and the trouble is logged once per change.
    pub fn current(&self) -> SecretString {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let SecretRef::File(path) = &self.place {
            let now = stamp(path).ok();
            if now != cached.stamp {
                // The stamp is taken before the read: a write in between is seen next time.
                cached.stamp = now;
                match read(path) {
                    Ok(value) => cached.value = value,
                    Err(error) => {
                        tracing::warn!(%error, "a secret's file changed and cannot be used; the last value stays");
                    }
                }
            }
        }
        cached.value.clone()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Secret").field(&self.place).finish()
    }
}

impl Text {
    /// Like [`SecretRef::check`]; a plain text is always fine here.
    pub fn check(&self, span: Range<usize>, problems: &mut Vec<Problem>) {
        if let Self::Secret(secret) = self {
            secret.check(span, problems);
        }
    }

    /// # Errors
    /// As for [`SecretRef::open`].
    pub fn open(&self) -> Result<OpenText, SecretError> {
        Ok(match self {
            Self::Plain(text) => OpenText::Plain(text.clone().into()),
            Self::Secret(secret) => OpenText::Secret(secret.open()?),
        })
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // An address or a header may be as good as a secret, whatever its author thought.
            Self::Plain(_) => f.write_str("Plain(…)"),
            Self::Secret(place) => f.debug_tuple("Secret").field(place).finish(),
        }
    }
}

impl OpenText {
    pub fn current(&self) -> SecretString {
        match self {
            Self::Plain(text) => text.clone(),
            Self::Secret(secret) => secret.current(),
        }
    }
}

struct Cached {
    stamp: Option<Stamp>,
    value: SecretString,
}

/// Changes when the file is written or replaced (a Kubernetes secret is a symbolic link that moves).
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    length: u64,
    inode: u64,
}

fn stamp(path: &Path) -> Result<Stamp, SecretError> {
    let data = fs::metadata(path).map_err(|error| unreadable(path, &error.to_string()))?;
    Ok(Stamp { modified: (data.mtime(), data.mtime_nsec()), length: data.len(), inode: data.ino() })
}

fn read(path: &Path) -> Result<SecretString, SecretError> {
    let fail = |error: std::io::Error| unreadable(path, &error.to_string());
    let mut text = String::new();
    File::open(path).map_err(fail)?.take(SECRET_MAX + 1).read_to_string(&mut text).map_err(fail)?;
    if text.len() as u64 > SECRET_MAX {
        return Err(unreadable(path, "it is longer than any secret (64 KiB)"));
    }
    accept(&text, || format!("the file `{}`", path.display()))
}

fn unreadable(path: &Path, why: &str) -> SecretError {
    SecretError::File { path: path.display().to_string(), why: why.to_owned() }
}

fn accept(text: &str, place: impl Fn() -> String) -> Result<SecretString, SecretError> {
    let text = text.trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() { Err(SecretError::Empty(place())) } else { Ok(text.to_owned().into()) }
}

fn is_variable_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Reads the table form; the string form is refused or taken by the caller.
fn from_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<SecretRef, A::Error> {
    const WANTED: &str = "a secret is named by exactly one of `env` and `file`";
    let mut found = None;
    while let Some(name) = map.next_key::<String>()? {
        let place = match name.as_str() {
            "env" => SecretRef::Env(map.next_value()?),
            "file" => SecretRef::File(map.next_value()?),
            other => return Err(de::Error::unknown_field(other, &["env", "file"])),
        };
        if found.replace(place).is_some() {
            return Err(de::Error::custom(WANTED));
        }
    }
    found.ok_or_else(|| de::Error::custom(WANTED))
}

impl<'de> de::Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;
        impl<'de> Visitor<'de> for Table {
            type Value = SecretRef;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{ env = \"NAME\" } or { file = \"/path\" }")
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<SecretRef, E> {
                Err(E::custom(HINT))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretRef, A::Error> {
                from_map(map)
            }
        }
        deserializer.deserialize_any(Table)
    }
}

impl<'de> de::Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, { env = \"NAME\" } or { file = \"/path\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text::Plain(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Text, A::Error> {
                from_map(map).map(Text::Secret)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl schemars::JsonSchema for SecretRef {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretRef".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Where a secret is kept: { env = \"NAME\" }, read at the start, or { file = \"/path\" }, read again when it changes.",
            "oneOf": [
                { "type": "object", "properties": { "env": { "type": "string" } }, "required": ["env"], "additionalProperties": false },
                { "type": "object", "properties": { "file": { "type": "string" } }, "required": ["file"], "additionalProperties": false }
            ]
        })
    }
}

impl schemars::JsonSchema for Text {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let secret = generator.subschema_for::<SecretRef>();
        schemars::json_schema!({
            "description": "A text, or where it is kept if it is a secret.",
            "anyOf": [{ "type": "string" }, secret]
        })
    }
}

#[cfg(test)]
#[path = "secret_tests.rs"]
mod tests;
