use super::*;
use crate::sink::kit;
use crate::sink::sample::Sample;

fn here() -> Vec<Mention> {
    vec![Mention::Broadcast("here")]
}

#[test]
fn cards_of_the_classic_cases() {
    for (name, sample) in [
        ("key_disabled", Sample::KeyDisabled),
        ("deletion_scheduled", Sample::DeletionScheduled),
        ("denied_use", Sample::DeniedUse),
        ("key_rotated", Sample::KeyRotated),
        ("escalated", Sample::Escalated),
        ("resolved", Sample::Resolved),
    ] {
        insta::assert_json_snapshot!(name, full(&kit::sample(sample), &[]));
    }
}

#[test]
fn replies_say_what_changed() {
    insta::assert_json_snapshot!("reply_escalated", reply(&kit::sample(Sample::Escalated), &here()));
    insta::assert_json_snapshot!("reply_resolved", reply(&kit::sample(Sample::Resolved), &[]));
}

#[test]
fn a_played_card_carries_its_banner_on_top() {
    let mut n = kit::sample(Sample::KeyDisabled);
    n.banner = Some("DEMO".into());
    let message = full(&n, &[]);
    let first = &message["blocks"][0]["elements"][0]["elements"][0];
    assert_eq!((&first["text"], &first["style"]["bold"]), (&json!("DEMO"), &json!(true)));
    assert!(message["text"].as_str().unwrap().starts_with("[DEMO] "));
}

#[test]
fn a_resolved_card_turns_green_and_says_how_it_ended() {
    let message = &full(&kit::sample(Sample::Resolved), &[]);
    let card = &message["attachments"][0];
    assert_eq!(card["color"], "#2E7D32");
    assert!(message["blocks"].to_string().contains("Resolved after 12 min by EnableKey (role/"), "{message}");
    let said = card.to_string();
    assert!(said.contains("What happened"), "{said}");
    for past in ["Undo", "What it means", "What to do"] {
        assert!(!said.contains(past), "{past} would read as if it still stood");
    }
}

/// Every element anywhere in a message.
fn walk<'a>(value: &'a Value, seen: &mut Vec<&'a Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, seen)),
        Value::Object(members) => {
            seen.push(value);
            members.values().for_each(|member| walk(member, seen));
        }
        _ => {}
    }
}

#[test]
fn hostile_text_never_becomes_markup_a_mention_or_a_link() {
    let mut hostile = kit::hostile();
    hostile.meaning = Some(kit::HOSTILE.join(" "));
    hostile.action.clone_from(&hostile.meaning);
    let forms = [full(&hostile, &[]), plain(&hostile, &[]), reply(&hostile, &[]), digest(&vec![hostile.clone(); 40], 7, &[])];
    for message in forms {
        let mut seen = vec![];
        walk(&message, &mut seen);
        for element in seen {
            let kind = element["type"].as_str().unwrap_or("none");
            assert!(!["mrkdwn", "user", "usergroup", "broadcast", "channel", "emoji", "button", "markdown"].contains(&kind), "{element}");
            if kind == "link" {
                assert!(element["url"].as_str().unwrap().starts_with("https://eu-central-1.console") || element["text"] == "Runbook", "{element}");
            }
            if kind == "plain_text" {
                assert_eq!(element["emoji"], false);
            }
        }
        let spoken = message["text"].as_str().unwrap();
        assert!(!spoken.contains(['<', '>', '\n', '\u{202E}']), "{spoken}");
        assert_eq!(message["mrkdwn"], false, "bare text is not formatted either");
        assert_eq!((&message["unfurl_links"], &message["unfurl_media"]), (&json!(false), &json!(false)));
        assert!(!message.to_string().contains('\u{202E}'));
    }
}

#[test]
fn slacks_limits_hold_for_anything() {
    let mut hostile = kit::hostile();
    hostile.meaning = Some("\"\\".repeat(600_000));
    hostile.undo = Some("x".repeat(5_000));
    for n in [hostile, kit::sample(Sample::DeniedUse)] {
        for message in [full(&n, &here()), plain(&n, &here()), reply(&n, &here()), digest(&vec![n.clone(); 60], 1_000, &here())] {
            assert!(length(&message) <= BUDGET, "{} characters", length(&message));
            assert!(message["text"].as_str().unwrap().encode_utf16().count() <= 400);
            let mut seen = vec![];
            walk(&message, &mut seen);
            for element in seen {
                let units = element["text"].as_str().map(|text| text.encode_utf16().count());
                assert_ne!(units, Some(0), "Slack refuses empty texts");
                match element["type"].as_str() {
                    Some("header") => assert!(element["text"]["text"].as_str().unwrap().encode_utf16().count() <= 150),
                    Some("context") => assert!(element["elements"].as_array().unwrap().len() <= 10),
                    Some("plain_text") => assert!(units.unwrap() <= 2_000),
                    _ => {}
                }
            }
            let blocks = message["blocks"].as_array().unwrap().len() + message["attachments"].as_array().unwrap().iter().map(|a| a["blocks"].as_array().unwrap().len()).sum::<usize>();
            assert!(blocks <= 50);
        }
        assert!(!full(&n, &here())["attachments"].as_array().unwrap().is_empty(), "the card was cut, not dropped");
    }
}

#[test]
fn half_a_command_is_never_shown() {
    let mut n = kit::sample(Sample::KeyDisabled);
    n.undo = Some(format!("aws kms enable-key --key-id {}", "x".repeat(1_100)));
    let shown = full(&n, &[]).to_string();
    assert!(!shown.contains("enable-key") && shown.contains("too long for this card"));
}

#[test]
fn a_digest_counts_what_it_does_not_show() {
    let many = vec![kit::sample(Sample::KeyDisabled); 20];
    let message = digest(&many, 3, &here());
    assert!(message.to_string().contains("and 8 more"));
    assert!(message["text"].as_str().unwrap().starts_with("23 notifications"));
    let few = digest(&[kit::sample(Sample::KeyRotated), kit::sample(Sample::DeletionScheduled)], 0, &[]);
    assert!(!few.to_string().contains("more"));
    assert_eq!(few["attachments"][0]["color"], "#B3261E", "the worst comes first");
}
