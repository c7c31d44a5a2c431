//! Statements that travel together. A trip to the database costs more than most statements: it wakes a thread or crosses a network.

use std::fmt::Write as _;

use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;
use sqlx::{Any, AnyConnection};

use crate::store::StoreError;

/// Statements and their values, run one after the other; the first that fails is the last that runs.
#[derive(Default)]
pub(super) struct Script {
    sql: String,
    values: Vec<Value>,
}

pub(super) enum Value {
    Text(String),
    Number(i64),
    Null,
}

impl Script {
    /// Adds a statement, whose own values are bound next: its placeholders `$1`, `$2`, … come to stand behind those that are there.
    pub(super) fn add(&mut self, statement: &str) -> &mut Self {
        let before = self.values.len();
        let mut parts = statement.split('$');
        self.sql.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            let (place, rest) = part.split_at_checked(digits).unwrap_or(("", part));
            let place = place.parse::<usize>().map_or(0, |place| before + place);
            // Writing to a string does not fail.
            let _written = write!(self.sql, "${place}{rest}");
        }
        self.sql.push(';');
        self
    }

    pub(super) fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        self
    }

    /// Runs it in one trip, and gives all rows that its statements answer.
    pub(super) async fn run(self, on: &mut AnyConnection) -> Result<Vec<AnyRow>, StoreError> {
        let query = sqlx::query::<Any>(AssertSqlSafe(self.sql));
        let query = self.values.into_iter().fold(query, |query, value| match value {
            Value::Text(text) => query.bind(text),
            Value::Number(number) => query.bind(number),
            Value::Null => query.bind(None::<String>),
        });
        Ok(query.fetch_all(on).await?)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_follow_those_of_the_statements_before() {
        let mut script = Script::default();
        script.add("BEGIN").add("SELECT a FROM t WHERE b = $1 OR c = $1 LIMIT $2").bind("b").bind(2);
        script.add("DELETE FROM t WHERE a IN ($1, $2)").bind(None::<i64>).bind("c".to_owned());
        assert_eq!(
            script.sql,
            "BEGIN;SELECT a FROM t WHERE b = $1 OR c = $1 LIMIT $2;DELETE FROM t WHERE a IN ($3, $4);"
        );
        assert_eq!(script.values.len(), 4);
    }
}
