//! Statements over many values. Each statement costs a trip to the database, so values travel together; the texts are made once,
//! for a few sizes only, so that prepared statements are found again.

/// Largest first. A list of any length is cut greedily: 11 values are 8 + 2 + 1.
const SIZES: [usize; 6] = [32, 16, 8, 4, 2, 1];

/// A statement with `($1, $2), ($3, $4), …` in it: one group of `columns` placeholders for each row.
pub(super) struct Rows([String; SIZES.len()]);

impl Rows {
    /// `fixed`: how many placeholders `head` has of its own; they come first.
    pub(super) fn new(head: &str, fixed: usize, columns: usize, tail: &str) -> Self {
        Self(SIZES.map(|size| {
            let group = |row: usize| {
                let first = fixed + row * columns + 1;
                let places: Vec<String> = (first..first + columns).map(|place| format!("${place}")).collect();
                format!("({})", places.join(", "))
            };
            let groups: Vec<String> = (0..size).map(group).collect();
            format!("{head} {} {tail}", groups.join(", "))
        }))
    }

    /// Cuts `items` and gives each part its statement.
    pub(super) fn cut<'a, T>(&'static self, items: &'a [T]) -> impl Iterator<Item = (&'static str, &'a [T])> {
        let mut rest = items;
        std::iter::from_fn(move || {
            let (size, sql) = SIZES.iter().zip(&self.0).find(|(size, _)| **size <= rest.len())?;
            let (part, left) = rest.split_at(*size);
            rest = left;
            Some((sql.as_str(), part))
        })
    }
}

/// A statement with `($1, $2, …)` in it, for `IN`. A part that is not full repeats its last value.
pub(super) struct List([String; SIZES.len()]);

impl List {
    /// `fixed`: how many placeholders `head` has of its own; they come first.
    pub(super) fn new(head: &str, fixed: usize, tail: &str) -> Self {
        Self(SIZES.map(|size| {
            let places: Vec<String> = (fixed + 1..=fixed + size).map(|place| format!("${place}")).collect();
            format!("{head} ({}) {tail}", places.join(", "))
        }))
    }

    /// Cuts `items` and gives each part its statement and its values.
    pub(super) fn cut<'a, T>(
        &'static self,
        items: &'a [T],
    ) -> impl Iterator<Item = (&'static str, impl Iterator<Item = &'a T> + use<'a, T>)> {
        items.chunks(SIZES[0]).filter_map(|part| {
            let (size, sql) = SIZES.iter().zip(&self.0).rev().find(|(size, _)| **size >= part.len())?;
            let last = part.last()?;
            Some((sql.as_str(), part.iter().chain(std::iter::repeat_n(last, size - part.len()))))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    static ROWS: LazyLock<Rows> = LazyLock::new(|| Rows::new("INSERT INTO t (a, b) VALUES", 1, 2, "RETURNING a"));
    static LIST: LazyLock<List> = LazyLock::new(|| List::new("SELECT a FROM t WHERE b = $1 AND a IN", 1, "LIMIT 1"));

    #[test]
    fn rows_are_cut_into_few_statements_without_a_gap() {
        let items: Vec<u32> = (0..75).collect();
        let parts: Vec<_> = ROWS.cut(&items).collect();
        assert_eq!(parts.iter().map(|(_, part)| part.len()).collect::<Vec<_>>(), [32, 32, 8, 2, 1]);
        let all: Vec<u32> = parts.iter().flat_map(|(_, part)| part.iter().copied()).collect();
        assert_eq!(all, items);
        assert_eq!(parts[3].0, "INSERT INTO t (a, b) VALUES ($2, $3), ($4, $5) RETURNING a");
        assert_eq!(ROWS.cut::<u32>(&[]).count(), 0);
    }

    #[test]
    fn lists_are_filled_with_their_last_value() {
        let items = [7, 8, 9];
        let mut parts = LIST.cut(&items);
        let (sql, values) = parts.next().unwrap();
        assert_eq!(sql, "SELECT a FROM t WHERE b = $1 AND a IN ($2, $3, $4, $5) LIMIT 1");
        assert_eq!(values.copied().collect::<Vec<_>>(), [7, 8, 9, 9]);
        assert!(parts.next().is_none());
        assert_eq!(LIST.cut(&[0; 70]).count(), 3);
        assert_eq!(LIST.cut::<u32>(&[]).count(), 0);
    }
}
