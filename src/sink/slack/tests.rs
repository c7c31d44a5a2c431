use super::*;
use crate::base::secret::SecretRef;
use crate::sink::kit::{self, Got, Receiver, Say};
use crate::sink::sample::Sample;

fn bot(url: &str) -> Arc<dyn Sink> {
    let text = format!("token = {{ env = \"X\" }}\nchannel = \"C0123456789\"\napi_url = \"{url}/api/\"\nmentions = {{ high = [\"<!here>\"], critical = [\"<@U0123456789>\"] }}");
    let mut config: Config = toml::from_str(&text).unwrap();
    config.token = Some(kit::secret(&format!("xoxb-{}", kit::HUSH)));
    config.http = kit::quick();
    kit::quiet(&format!("{config:?}"));
    config.build(&kit::context()).unwrap()
}

fn hook(url: &str) -> Arc<dyn Sink> {
    let mut config: Config = toml::from_str("webhook_url = { env = \"X\" }").unwrap();
    config.webhook_url = Some(kit::secret(&format!("{url}/services/{}", kit::HUSH)));
    config.http = kit::quick();
    config.build(&kit::context()).unwrap()
}

fn ok() -> Say {
    Say::json(&json!({"ok": true, "channel": "C0123456789", "ts": "1795425285.000100"}))
}

fn no(word: &str) -> Say {
    Say::json(&json!({"ok": false, "error": word}))
}

fn memory() -> String {
    json!({"channel": "C0123456789", "ts": "1795425000.000100"}).to_string()
}

fn paths(got: &[Got]) -> Vec<&str> {
    got.iter().map(|got| got.path.trim_start_matches("/api/")).collect()
}

/// Delivers with these answers; what came of it and what was asked for.
async fn play(answers: Vec<Say>, d: &Dispatch<'_>) -> (Result<Receipt, DeliveryError>, Vec<Got>) {
    let receiver = Receiver::start(answers).await;
    let result = bot(&receiver.url).deliver(d).await;
    if let Err(error) = &result {
        kit::quiet(&format!("{error:?} {error}"));
    }
    (result, receiver.got())
}

#[tokio::test]
async fn it_stands_what_every_http_sink_must() {
    kit::soon(kit::exercise(bot, ok())).await;
    kit::soon(kit::exercise(hook, Say(200, vec![], "ok".into()))).await;
}

#[tokio::test]
async fn a_trigger_is_a_message_whose_place_is_kept() {
    let n = kit::sample(Sample::KeyDisabled);
    let (result, got) = play(vec![ok()], &kit::dispatch(&n)).await;
    let kept: Value = serde_json::from_str(&result.unwrap().memory.unwrap()).unwrap();
    assert_eq!(kept, json!({"channel": "C0123456789", "ts": "1795425285.000100"}));
    assert_eq!(got[0].path, "/api/chat.postMessage");
    assert_eq!(got[0].headers["authorization"], format!("Bearer xoxb-{}", kit::HUSH));
    let body = got[0].json();
    assert_eq!(body["channel"], "C0123456789");
    assert_eq!(body["metadata"]["event_payload"]["delivery"], kit::KEY);
    assert_eq!(body["blocks"][0]["elements"][0]["elements"][0], json!({"type": "broadcast", "range": "here"}));
}

#[tokio::test]
async fn a_long_answer_is_read_to_its_end() {
    let echo = json!({"ok": true, "channel": "C0123456789", "message": {"text": "x".repeat(300_000)}, "ts": "1795425285.000100"});
    let n = kit::sample(Sample::KeyDisabled);
    let (result, _) = play(vec![Say::json(&echo)], &kit::dispatch(&n)).await;
    assert!(result.unwrap().memory.is_some(), "or it would be sent again and again");
}

#[tokio::test]
async fn an_escalation_edits_the_message_and_is_broadcast() {
    let (n, memory) = (kit::sample(Sample::Escalated), memory());
    let (result, got) = play(vec![ok()], &Dispatch { memory: Some(&memory), ..kit::dispatch(&n) }).await;
    assert_eq!(result.unwrap().memory.unwrap(), memory, "the incident's message stays where it is");
    assert_eq!(paths(&got), ["chat.update", "chat.postMessage"]);
    let (edit, reply) = (got[0].json(), got[1].json());
    assert_eq!(edit["ts"], "1795425000.000100");
    assert!(!edit.to_string().contains("U0123456789"), "an edit mentions nobody");
    assert_eq!((&reply["thread_ts"], &reply["reply_broadcast"]), (&json!("1795425000.000100"), &json!(true)));
    assert!(reply.to_string().contains("U0123456789"));
}

#[tokio::test]
async fn a_resolve_stays_in_the_thread_and_mentions_nobody() {
    let (n, memory) = (kit::sample(Sample::Resolved), memory());
    let (_, got) = play(vec![ok()], &Dispatch { memory: Some(&memory), ..kit::dispatch(&n) }).await;
    let reply = got[1].json();
    assert_eq!(reply["reply_broadcast"], false);
    assert!(!reply.to_string().contains("broadcast\",\"range"));
    assert!(reply["text"].as_str().unwrap().contains("Resolved after 12 min by EnableKey"));
}

#[tokio::test]
async fn a_message_that_cannot_be_edited_is_replaced() {
    for word in ["message_not_found", "edit_window_closed", "cant_update_message"] {
        let (n, memory) = (kit::sample(Sample::Resolved), memory());
        let (result, got) = play(vec![no(word), ok()], &Dispatch { memory: Some(&memory), ..kit::dispatch(&n) }).await;
        assert_eq!(paths(&got), ["chat.update", "chat.postMessage"], "{word}");
        assert!(got[1].json()["thread_ts"].is_null());
        assert!(result.unwrap().memory.unwrap().contains("1795425285"), "the new place is kept");
    }
}

#[tokio::test]
async fn no_in_a_200_is_a_failure() {
    let n = kit::sample(Sample::KeyDisabled);
    for (word, class) in [("not_in_channel", Class::Park), ("invalid_auth", Class::Park), ("rate_limited", Class::Retry { after: None })] {
        let (result, got) = play(vec![no(word)], &kit::dispatch(&n)).await;
        assert_eq!(result.unwrap_err().class, class, "{word}");
        assert_eq!(got.len(), 1);
    }
    let (result, _) = play(vec![Say(200, vec![], "<html>".into())], &kit::dispatch(&n)).await;
    assert!(result.unwrap_err().outcome_unknown, "a proxy's page says nothing about the message");
}

#[tokio::test]
async fn a_refused_card_goes_out_in_plain_form_once() {
    let n = kit::sample(Sample::KeyDisabled);
    let (result, got) = play(vec![no("invalid_blocks"), ok()], &kit::dispatch(&n)).await;
    result.unwrap();
    assert_eq!(got[1].json()["attachments"], json!([]));
    let (result, got) = play(vec![no("msg_blocks_too_long")], &kit::dispatch(&n)).await;
    assert_eq!((result.unwrap_err().class, got.len()), (Class::Reject, 2));

    let receiver = Receiver::start([Say(400, vec![], "invalid_blocks".into()), Say(200, vec![], "ok".into())]).await;
    hook(&receiver.url).deliver(&kit::dispatch(&n)).await.unwrap();
    assert_eq!(receiver.got().len(), 2);
}

#[tokio::test]
async fn after_an_unknown_outcome_the_message_is_looked_for() {
    let n = kit::sample(Sample::KeyDisabled);
    let d = Dispatch { outcome_unknown: true, attempt: 2, ..kit::dispatch(&n) };
    let ours = json!({"ts": "1795425286.000200", "metadata": {"event_payload": {"delivery": kit::KEY}}});
    let other = json!({"ts": "1.0", "metadata": {"event_payload": {"delivery": "another"}}});

    let page = Say::json(&json!({"ok": true, "messages": [other, ours]}));
    let (result, got) = play(vec![page], &d).await;
    assert_eq!(paths(&got), ["conversations.history"], "found: nothing is sent again");
    assert!(got[0].query.contains("include_all_metadata=true") && got[0].query.contains("oldest=1795425225"), "{}", got[0].query);
    let receipt = result.unwrap();
    assert!(receipt.memory.unwrap().contains("1795425286.000200") && !receipt.possible_double);

    let (result, got) = play(vec![Say::json(&json!({"ok": true, "messages": [other]})), ok()], &d).await;
    assert_eq!(paths(&got), ["conversations.history", "chat.postMessage"]);
    assert!(!result.unwrap().possible_double, "surely not there");

    let (result, _) = play(vec![no("missing_scope"), ok()], &d).await;
    assert!(result.unwrap().possible_double, "it could not look, and says so");
}

#[tokio::test]
async fn a_search_turns_pages_and_gives_up() {
    let n = kit::sample(Sample::KeyDisabled);
    let d = Dispatch { outcome_unknown: true, ..kit::dispatch(&n) };
    let page = Say::json(&json!({"ok": true, "messages": [], "response_metadata": {"next_cursor": "bmV4dA=="}}));
    let (result, got) = play(vec![page.clone(), page.clone(), page, ok()], &d).await;
    assert_eq!(got.len(), 4);
    assert!(got[1].query.contains("cursor=bmV4dA%3D%3D"), "{}", got[1].query);
    assert!(result.unwrap().possible_double);
}

#[tokio::test]
async fn a_reply_of_unknown_fate_is_looked_for_in_its_thread() {
    let (n, memory) = (kit::sample(Sample::Resolved), memory());
    let d = Dispatch { outcome_unknown: true, memory: Some(&memory), ..kit::dispatch(&n) };
    // The root carries the same metadata since it was edited; only a reply counts.
    let root = json!({"ts": "1795425000.000100", "metadata": {"event_payload": {"delivery": kit::KEY}}});
    let (_, got) = play(vec![ok(), Say::json(&json!({"ok": true, "messages": [root]})), ok()], &d).await;
    assert_eq!(paths(&got), ["chat.update", "conversations.replies", "chat.postMessage"]);
    let reply = json!({"ts": "1795425290.000100", "metadata": {"event_payload": {"delivery": kit::KEY}}});
    let (result, got) = play(vec![ok(), Say::json(&json!({"ok": true, "messages": [root, reply]}))], &d).await;
    assert_eq!(paths(&got), ["chat.update", "conversations.replies"]);
    assert_eq!(result.unwrap().memory.unwrap(), memory);
}

#[tokio::test]
async fn a_webhook_says_that_a_double_is_possible() {
    let receiver = Receiver::start([Say(200, vec![], "ok".into())]).await;
    let n = kit::sample(Sample::KeyDisabled);
    let receipt = hook(&receiver.url).deliver(&Dispatch { outcome_unknown: true, ..kit::dispatch(&n) }).await.unwrap();
    assert_eq!(receipt, Receipt { memory: None, possible_double: true });
}

#[tokio::test]
async fn a_webhook_of_a_lost_channel_is_parked() {
    let n = kit::sample(Sample::KeyDisabled);
    for (status, word) in [(404, "no_service"), (410, "channel_is_archived"), (403, "action_prohibited"), (400, "user_not_found")] {
        let receiver = Receiver::start([Say(status, vec![], word.into())]).await;
        let error = hook(&receiver.url).deliver(&kit::dispatch(&n)).await.unwrap_err();
        assert_eq!(error.class, Class::Park, "{word}");
        kit::quiet(&format!("{error:?}"));
    }
}

#[tokio::test]
async fn a_burst_is_one_message() {
    let receiver = Receiver::start([ok()]).await;
    let many = vec![kit::sample(Sample::KeyDisabled), kit::sample(Sample::Resolved)];
    bot(&receiver.url).digest(&many, 4, ).await.unwrap();
    let got = receiver.got();
    assert_eq!(paths(&got), ["chat.postMessage"]);
    assert!(got[0].body.contains("and 4 more") && got[0].body.contains("\"here\""));
}

#[tokio::test]
async fn what_is_played_mentions_nobody() {
    let mut n = kit::sample(Sample::KeyDisabled);
    n.banner = Some("TEST".into());
    let (_, got) = play(vec![ok()], &kit::dispatch(&n)).await;
    assert!(!got[0].body.contains("\"here\""));
}

#[tokio::test]
async fn a_probe_posts_nothing() {
    let receiver = Receiver::start([ok()]).await;
    bot(&receiver.url).probe().await.unwrap();
    assert_eq!(paths(&receiver.got()), ["auth.test"]);
    let receiver = Receiver::start([Say(400, vec![], "no_text".into())]).await;
    hook(&receiver.url).probe().await.unwrap();
    assert_eq!(receiver.got()[0].json(), json!({"text": ""}));
    receiver.say(Say(404, vec![], "no_service".into()));
    assert!(hook(&receiver.url).probe().await.is_err());
}

#[test]
fn what_is_wrong_is_said_where_it_is() {
    let check = |text: &str| {
        let mut problems = vec![];
        toml::from_str::<Config>(text).unwrap().check(0..4, &mut problems);
        problems.into_iter().map(|problem| text.get(problem.span).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(check("http = {}"), ["http"]);
    assert_eq!(check("token = {env='A'}"), ["toke"]);
    assert_eq!(check("token = {env='A'}\nchannel = '#general'\nmentions = { high = ['@here', '<!here>'] }"), ["'#general'", "'@here'"]);
    assert_eq!(check("token = {env='A'}\nwebhook_url = {env='B'}\nchannel = 'C0123456789'"), ["{env='A'}"]);
    assert_eq!(check("webhook_url = {env='B'}\nchannel = 'C0123456789'"), ["'C0123456789'"]);
    assert!(check("webhook_url = {env='B'}").is_empty());
    let eleven = format!("webhook_url = {{env='B'}}\nmentions.high = [{}'<!channel>']", "'<!here>', ".repeat(10));
    assert_eq!(check(&eleven), ["'<!channel>'"]);
    let inline = toml::from_str::<Config>("token = 'xoxb'").unwrap_err().to_string();
    assert!(inline.contains("secrets are not written into the file"), "{inline}");
    assert!(SecretRef::Env("A".into()).open().is_err());
}
