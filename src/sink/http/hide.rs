//! Keeps secrets out of what is told on of an answer: some servers and proxies repeat a request's headers or its address
//! when they refuse it, and a refusal ends up in the log and in the store.

use reqwest::{Request, Url};

/// Shorter ones are words that stand in many an answer.
const SECRET_MIN: usize = 6;
/// A part of an address that is this long is likely to be its secret, not a word.
const SEGMENT_MIN: usize = 20;

const HIDDEN: &str = "***";

/// What of a request must not be repeated: values of headers marked as sensitive, and the telling parts of its address.
pub(super) fn secrets(request: &Request) -> Vec<String> {
    let mut found = Vec::new();
    for value in request.headers().values().filter(|value| value.is_sensitive()) {
        if let Ok(text) = value.to_str() {
            found.push(text.to_owned());
            // `Bearer …`, `Basic …`
            found.extend(text.split_whitespace().last().map(str::to_owned));
        }
    }
    found.extend(of_address(request.url()));
    found
}

fn of_address(url: &Url) -> impl Iterator<Item = String> {
    let segments = url.path_segments().into_iter().flatten().filter(|segment| segment.len() >= SEGMENT_MIN);
    let mut found: Vec<String> = segments.map(str::to_owned).collect();
    found.extend(url.query().map(str::to_owned));
    found.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
    found.extend(url.password().map(str::to_owned));
    found.into_iter()
}

/// The text with each of these taken out.
pub(super) fn hide(text: &str, secrets: &[String]) -> String {
    let mut secrets: Vec<&String> = secrets.iter().filter(|secret| secret.len() >= SECRET_MIN).collect();
    // The longer ones first: one may be a part of another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), HIDDEN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(request: &Request, text: &str) -> String {
        hide(text, &secrets(request))
    }

    #[test]
    fn a_token_is_not_repeated() {
        let client = reqwest::Client::new();
        let request = client.post("http://127.0.0.1/api/chat.postMessage").bearer_auth("very-secret").build().unwrap();
        assert_eq!(hidden(&request, "no: Bearer very-secret!"), "no: ***!");
        assert_eq!(hidden(&request, "token very-secret at chat.postMessage"), "token *** at chat.postMessage");
    }

    #[test]
    fn an_address_that_is_a_secret_is_not_repeated() {
        let client = reqwest::Client::new();
        let url = "http://127.0.0.1/services/T0000/abcdefghijklmnopqrstuvwx?sig=12345678&x=1";
        let request = client.post(url).build().unwrap();
        let said = r#"{"path":"\/services\/T0000\/abcdefghijklmnopqrstuvwx","sig":"12345678","x":1}"#;
        assert_eq!(hidden(&request, said), r#"{"path":"\/services\/T0000\/***","sig":"***","x":1}"#);
    }
}
