//! What an AWS Region's name looks like.

/// Whether this has the form of a region: `eu-central-1`, `us-gov-west-1`, `eusc-de-east-1`.
pub fn is_region(text: &str) -> bool {
    let mut parts: Vec<&str> = text.split('-').collect();
    let number = parts.pop().unwrap_or_default();
    text.len() <= 32
        && parts.len() >= 2
        && (1..=2).contains(&number.len())
        && number.bytes().all(|b| b.is_ascii_digit())
        && parts.iter().all(|part| part.len() >= 2 && part.bytes().all(|b| b.is_ascii_lowercase()))
}
