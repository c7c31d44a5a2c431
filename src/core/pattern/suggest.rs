//! "Did you mean": the nearest of a few known words.

/// The word of `known` that `typed` most likely was meant to be; `None` where all are too far away.
pub(super) fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_ascii_lowercase().replace('_', "-");
    // A third of the letters may be wrong: more, and the suggestion is a guess.
    let allowed = (typed.chars().count() / 3).max(1);
    known.map(|word| (distance(&typed, word), word)).filter(|(d, _)| *d <= allowed).min().map(|(_, word)| word)
}

/// Edits (insert, delete, replace) that lead from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_slip_of_a_finger_and_no_more() {
        let known = ["prefix", "suffix", "anything-but", "equals-ignore-case"];
        let near = |typed| nearest(typed, known.into_iter());
        assert_eq!(near("prefx"), Some("prefix"));
        assert_eq!(near("Prefix"), Some("prefix"));
        assert_eq!(near("anything_but"), Some("anything-but"));
        assert_eq!(near("regex"), None);
        assert_eq!(near(""), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
