use serde_json::json;

use super::*;

fn parse(text: &str) -> Result<SinkTable, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

fn problems(text: &str) -> Vec<(String, String)> {
    let mut problems = vec![];
    parse(text).unwrap().check(0..1, &mut problems);
    problems.into_iter().map(|problem| (problem.message, text.get(problem.span).unwrap().to_owned())).collect()
}

#[test]
fn a_table_has_exactly_one_kind() {
    assert!(problems("[stdout]").is_empty());
    assert!(problems("fallback_after = '5m'")[0].0.contains("no kind"));
    let two = problems("[stdout]\n[file]\npath = '/x'");
    assert_eq!(two.len(), 1);
    assert!(
        two[0].0.contains("already `stdout` and cannot be `file` too") && two[0].1.starts_with("[file]"),
        "{two:?}"
    );
    assert!(parse("fallback_after = '5m'").unwrap().build(&kit::context()).is_err());
}

#[test]
fn a_wrong_word_and_a_wrong_value_are_told() {
    assert!(parse("[slak]").unwrap_err().contains("unknown field `slak`"));
    assert!(parse("[file]\npath = '/x'\nsize = 3").unwrap_err().contains("unknown field `size`"));
    assert_eq!(problems("max_per_minute = 0\n[stdout]")[0].1, "0");
    assert_eq!(problems("[file]\npath = 'x'")[0].1, "'x'", "the kind's own check is asked");
}

#[test]
fn every_kind_has_its_default_rate() {
    let limit = |text: &str| parse(text).unwrap().limit();
    assert_eq!(limit("[slack]"), Some(50));
    assert_eq!(limit("[pagerduty]\nrouting_key = { env = 'X' }"), Some(100));
    assert_eq!(limit("[webhook]\nurl = 'https://example.org'"), Some(600));
    assert_eq!(limit("[stdout]"), None);
    assert_eq!(limit("max_per_minute = 7\n[stdout]"), Some(7));
    assert_eq!(parse("[stdout]").unwrap().fallback_after, Period::from_secs(600));
}

#[test]
fn the_schema_describes_every_kind() {
    let schema = serde_json::to_value(schemars::schema_for!(SinkTable)).unwrap();
    for kind in SinkTable::KINDS {
        assert!(!schema["properties"][kind].is_null(), "{kind}");
    }
    assert_eq!(schema["additionalProperties"], json!(false));
    assert_eq!(schema["properties"]["fallback_after"]["default"], "10m");
}

#[tokio::test]
async fn a_sink_is_built_and_a_digest_is_not_for_machines() {
    let table = parse("[stdout]").unwrap();
    let sink = table.build(&kit::context()).unwrap();
    assert_eq!((sink.kind(), table.kind()), ("stdout", Some("stdout")));
    let n = kit::sample(sample::Sample::KeyDisabled);
    assert_eq!(sink.digest(&[n], 3).await.unwrap_err().class, Class::Reject);
    let missing = parse("[pagerduty]\nrouting_key = { env = 'KMSWATCH_TEST_UNSET' }").unwrap();
    assert!(missing.build(&kit::context()).err().unwrap().to_string().contains("KMSWATCH_TEST_UNSET"));
}
