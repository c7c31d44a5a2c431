//! Plain searching in a body that could not be decoded: for people only, never matched by rules. Linear in the body.

use super::Salvage;
use super::arn::{self, KmsArn};

/// Reads an event name, a key's ARN and an account, each the first that passes its grammar.
pub(super) fn salvage(body: &str) -> Salvage {
    Salvage {
        event_name: member(body, "eventName", is_name).or_else(|| member(body, "detail-type", is_name)),
        key_arn: key_arn(body),
        account: member(body, "recipientAccountId", arn::is_account)
            .or_else(|| member(body, "account", arn::is_account))
            .or_else(|| member(body, "accountId", arn::is_account)),
    }
}

/// `"name": "value"`, also where the quotes are escaped because the JSON stands inside a string.
fn member(body: &str, name: &str, fine: impl Fn(&str) -> bool) -> Option<String> {
    body.match_indices(name)
        .take(TRIES_MAX)
        .find_map(|(at, _)| {
            let rest = body.get(at + name.len()..)?.trim_start_matches('\\').strip_prefix('"')?;
            let rest = rest.trim_start().strip_prefix(':')?.trim_start();
            let rest = rest.trim_start_matches('\\').strip_prefix('"')?;
            let len = rest.bytes().take(VALUE_BYTES_MAX).position(|b| b == b'"' || b == b'\\')?;
            rest.get(..len).filter(|value| fine(value))
        })
        .map(str::to_owned)
}

fn key_arn(body: &str) -> Option<String> {
    body.match_indices("arn:aws")
        .take(TRIES_MAX)
        .find_map(|(at, _)| {
            let rest = body.get(at..)?;
            let len = rest
                .bytes()
                .take(ARN_BYTES_MAX)
                .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'/' | b'-'))
                .count();
            rest.get(..len).filter(|text| KmsArn::parse(text).is_some_and(|arn| arn.key_id().is_some()))
        })
        .map(str::to_owned)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'-' | b'_' | b':'))
}

const VALUE_BYTES_MAX: usize = 64;
const ARN_BYTES_MAX: usize = 200;
/// A body made of near-misses costs no more than so many looks.
const TRIES_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    #[test]
    fn a_cut_body_still_tells_something() {
        let cut = format!(
            r#"{{"account":"111122223333","detail":{{"eventName" : "DisableKey","resources":[{{"ARN":"{KEY}"}}],"userAg"#
        );
        let found = salvage(&cut);
        assert_eq!(found.event_name.as_deref(), Some("DisableKey"));
        assert_eq!(found.key_arn.as_deref(), Some(KEY));
        assert_eq!(found.account.as_deref(), Some("111122223333"));
    }

    #[test]
    fn escaped_json_is_read_too() {
        let inner = format!(r#"{{\"eventName\":\"ScheduleKeyDeletion\",\"ARN\":\"{KEY}\""#);
        let found = salvage(&inner);
        assert_eq!(found.event_name.as_deref(), Some("ScheduleKeyDeletion"));
        assert_eq!(found.key_arn.as_deref(), Some(KEY));
    }

    #[test]
    fn hostile_values_are_not_repeated() {
        assert_eq!(salvage(r#""eventName":"<!channel> click","account":"1; reboot""#), Salvage::default());
        assert_eq!(salvage(""), Salvage::default());
        assert_eq!(salvage("eventName"), Salvage::default());
        assert_eq!(salvage(&"\"eventName\":\"!\"".repeat(50_000)), Salvage::default());
    }
}
