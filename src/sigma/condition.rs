//! Sigma's condition language: `and`, `or`, `not`, parentheses, `1 of name*`, `all of them`, and what may stand behind `|`.

use super::yaml::shortened;

/// Longest condition and deepest nesting that anybody writes by hand, and some.
const WORDS_MAX: usize = 1_000;
const DEPTH_MAX: usize = 50;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    Name(String),
    /// `1 of …` or `all of …`; no pattern is `them`.
    Of {
        all: bool,
        pattern: Option<String>,
    },
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
}

/// A condition, and the old aggregation behind its `|`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parsed {
    pub(super) condition: Condition,
    pub(super) aggregation: Option<String>,
}

/// Reads a condition.
pub(super) fn parse(text: &str) -> Result<Parsed, String> {
    let (condition, aggregation) = match text.split_once('|') {
        Some((condition, behind)) => (condition, Some(behind.trim().to_owned())),
        None => (text, None),
    };
    let words = words(condition)?;
    let mut reader = Reader { words: &words, depth: 0 };
    let condition = reader.or()?;
    match reader.words.first() {
        None => Ok(Parsed { condition, aggregation }),
        Some(word) => Err(format!("`{}` cannot stand where it stands in the condition", shortened(word))),
    }
}

/// Whether a name fits a pattern in which `*` stands for any characters.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let head = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(tail) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(tail)
}

fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = vec![];
    let mut word = String::new();
    for c in text.chars().chain([' ']) {
        if c.is_whitespace() || c == '(' || c == ')' {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            if !c.is_whitespace() {
                words.push(c.to_string());
            }
        } else if c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '*') {
            word.push(c);
        } else {
            return Err(format!("`{}` is no part of a condition", c.escape_debug()));
        }
        if words.len() > WORDS_MAX {
            return Err(format!("the condition has more than {WORDS_MAX} words"));
        }
    }
    Ok(words)
}

struct Reader<'w> {
    words: &'w [String],
    depth: usize,
}

impl Reader<'_> {
    fn next_is(&self, word: &str) -> bool {
        self.words.first().is_some_and(|next| next.eq_ignore_ascii_case(word))
    }

    fn take(&mut self) -> Result<String, String> {
        let (word, rest) = self.words.split_first().ok_or("the condition ends too early")?;
        self.words = rest;
        Ok(word.clone())
    }

    /// Takes the word if it is the next one.
    fn skip(&mut self, word: &str) -> bool {
        let is = self.next_is(word);
        if is {
            self.words = self.words.get(1..).unwrap_or_default();
        }
        is
    }

    fn or(&mut self) -> Result<Condition, String> {
        self.chain("or", Self::and, Condition::Or)
    }

    fn and(&mut self) -> Result<Condition, String> {
        self.chain("and", Self::not, Condition::And)
    }

    fn chain(
        &mut self,
        word: &str,
        part: fn(&mut Self) -> Result<Condition, String>,
        join: fn(Vec<Condition>) -> Condition,
    ) -> Result<Condition, String> {
        let first = part(self)?;
        let mut all = vec![first];
        while self.skip(word) {
            all.push(part(self)?);
        }
        Ok(match all.len() {
            1 => all.remove(0),
            _ => join(all),
        })
    }

    fn not(&mut self) -> Result<Condition, String> {
        let mut negated = false;
        while self.skip("not") {
            negated = !negated;
        }
        let inner = self.atom()?;
        Ok(if negated { Condition::Not(Box::new(inner)) } else { inner })
    }

    fn atom(&mut self) -> Result<Condition, String> {
        if self.skip("(") {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(format!("parentheses are nested deeper than {DEPTH_MAX} levels"));
            }
            let inner = self.or()?;
            self.depth -= 1;
            return if self.skip(")") { Ok(inner) } else { Err("a parenthesis is not closed".into()) };
        }
        let word = self.take()?;
        if self.next_is("of") {
            return self.of(&word);
        }
        let keyword = ["and", "or", "not", "of", "them"].iter().any(|known| word.eq_ignore_ascii_case(known));
        match word.as_str() {
            ")" => Err("a parenthesis closes that was not opened".into()),
            _ if keyword => Err(format!("`{word}` cannot stand where it stands in the condition")),
            _ if word.contains('*') => Err(format!("`{}` needs `1 of` or `all of` before it", shortened(&word))),
            _ => Ok(Condition::Name(word)),
        }
    }

    fn of(&mut self, number: &str) -> Result<Condition, String> {
        let all = match number.to_ascii_lowercase().as_str() {
            "1" | "any" => false,
            "all" => true,
            _ => return Err(format!("`{} of` is not known; it is `1 of` or `all of`", shortened(number))),
        };
        self.take()?;
        let pattern = self.take().map_err(|_| "`of` needs a name, a name with `*`, or `them` behind it")?;
        let pattern = (!pattern.eq_ignore_ascii_case("them")).then_some(pattern);
        Ok(Condition::Of { all, pattern })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Condition {
        parse(text).unwrap().condition
    }

    fn name(text: &str) -> Condition {
        Condition::Name(text.into())
    }

    #[test]
    fn and_binds_closer_than_or_and_not_closest() {
        let expected =
            Condition::Or(vec![name("a"), Condition::And(vec![name("b"), Condition::Not(Box::new(name("c")))])]);
        assert_eq!(read("a or b and not c"), expected);
        assert_eq!(read("a OR (b AND NOT c)"), expected);
        assert_eq!(read("not not a"), name("a"));
        assert_eq!(
            read("(a or b) and 1 of sel* and all of them"),
            Condition::And(vec![
                Condition::Or(vec![name("a"), name("b")]),
                Condition::Of { all: false, pattern: Some("sel*".into()) },
                Condition::Of { all: true, pattern: None },
            ])
        );
    }

    #[test]
    fn the_aggregation_is_kept_as_text() {
        let parsed = parse("a | count() by x > 3").unwrap();
        assert_eq!(parsed.aggregation.as_deref(), Some("count() by x > 3"));
    }

    #[test]
    fn mistakes_are_said() {
        for wrong in ["", "a and", "(a", "a)", "a b", "2 of x*", "sel*", "1 of", "a ? b", "and", &"(".repeat(99)] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_fit() {
        assert!(fits("sel*", "selection") && fits("*", "x") && fits("a*b*c", "a-b-c") && fits("a", "a"));
        assert!(!fits("sel*", "filter") && !fits("a", "ab") && !fits("a*b", "a"));
    }
}
