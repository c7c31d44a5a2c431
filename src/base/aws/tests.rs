use super::*;

#[test]
fn urls_are_read_or_refused_with_the_reason() {
    let url = HttpUrl::parse("https://Example.com:8443/a/b").unwrap();
    assert_eq!((url.origin().as_str(), url.host(), url.path()), ("https://example.com:8443", "example.com", "/a/b"));
    assert!(url.https() && !url.is_loopback());
    for local in ["http://localhost", "http://127.0.0.1:1", "http://[::1]:4566/", "http://sqs.localhost:9324"] {
        assert!(HttpUrl::parse(local).unwrap().is_loopback(), "{local}");
    }
    for (wrong, why) in [
        ("ftp://x", "starts with"),
        ("example.com", "starts with"),
        ("https://", "host name"),
        ("https://a..b", "host name"),
        ("https://a b", "spaces"),
        ("https://user:pw@host", "user"),
        ("https://host?x=1", "query"),
        ("https://host:0", "port"),
        ("https://host:99999/", "port"),
        ("https://[::zz]/", "host name"),
        ("https://ho\u{0441}t", "ASCII"),
    ] {
        let error = HttpUrl::parse(wrong).unwrap_err();
        assert!(error.contains(why), "{wrong}: {error}");
    }
}

#[test]
fn a_region_is_not_just_any_text() {
    for region in ["eu-central-1", "us-gov-west-1", "us-iso-east-1", "eusc-de-east-1", "ap-southeast-5", "mx-central-1"]
    {
        assert!(is_region(region), "{region}");
    }
    for wrong in [
        "",
        "eu",
        "eu-1",
        "EU-central-1",
        "eu-central-1.evil.com",
        "eu-central-1/",
        "eu--1",
        "evil.com-x-1",
        "eu-central-123",
    ] {
        assert!(!is_region(wrong), "{wrong}");
    }
    assert_eq!(
        (partition("cn-north-1"), partition("us-gov-east-1"), partition("eu-west-1")),
        ("aws-cn", "aws-us-gov", "aws")
    );
}

#[test]
fn a_role_is_checked_in_all_its_parts() {
    let problems = |toml: &str| {
        let role: AssumeRole = toml::from_str(toml).unwrap();
        let mut problems = vec![];
        role.check(&mut problems);
        problems.into_iter().map(|p| (p.message, p.span.is_empty(), p.hint.is_some())).collect::<Vec<_>>()
    };
    assert!(
        problems("role_arn = \"arn:aws-us-gov:iam::111122223333:role/a/b/c\"\nsession_name = \"on@call\"").is_empty()
    );
    for (toml, expected) in [
        ("role_arn = \"arn:aws:iam::1111:role/x\"", "not the ARN of a role"),
        ("role_arn = \"arn:aws:iam::111122223333:user/x\"", "not the ARN of a role"),
        ("role_arn = \"arn:aws:iam::111122223333:role/\"", "not the ARN of a role"),
        ("role_arn = \"arn:evil:iam::111122223333:role/x\"", "not the ARN of a role"),
        ("role_arn = \"arn:aws:iam::111122223333:role/x\"\nsession_name = \"a b\"", "not a session name"),
        ("role_arn = \"arn:aws:iam::111122223333:role/x\"\nexternal_id = \"x\"", "not an external id"),
        ("role_arn = \"arn:aws:iam::111122223333:role/x\"\nendpoint = \"sts\"", "not an endpoint"),
    ] {
        let found = problems(toml);
        assert_eq!(found.len(), 1, "{toml}: {found:?}");
        assert!(found[0].0.contains(expected) && !found[0].1 && found[0].2, "{toml}: {found:?}");
    }
}

#[tokio::test]
async fn loading_calls_nobody_and_says_who_we_are() {
    let aws =
        AwsConfig { region: Some("eu-central-1".to_owned()), fips: true, dual_stack: true, ..AwsConfig::default() };
    let config = aws.load(&Access::unchecked()).await;
    assert_eq!(config.region().map(ToString::to_string).as_deref(), Some("eu-central-1"));
    assert_eq!((config.use_fips(), config.use_dual_stack()), (Some(true), Some(true)));
    assert_eq!(config.app_name().map(ToString::to_string), Some(format!("kmswatch-{}", env!("CARGO_PKG_VERSION"))));
    assert_eq!(config.timeout_config().and_then(TimeoutConfig::connect_timeout), Some(CONNECT_TIMEOUT));
}

#[tokio::test]
async fn switches_that_are_off_are_left_to_the_environment() {
    let aws = AwsConfig { region: Some("eu-central-1".to_owned()), ..AwsConfig::default() };
    let config = aws.load(&Access::unchecked()).await;
    assert_ne!(config.use_fips(), Some(true));
    assert_eq!(config.endpoint_url(), None);
}
