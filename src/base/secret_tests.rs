use std::os::unix::ffi::OsStrExt;

use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
struct Holder {
    token: serde_spanned::Spanned<SecretRef>,
}

#[derive(Debug, Deserialize)]
struct Loose {
    value: Text,
}

fn parse(text: &str) -> Result<SecretRef, String> {
    toml::from_str::<Holder>(text).map(|holder| holder.token.into_inner()).map_err(|error| error.to_string())
}

#[test]
fn a_secret_is_named_by_exactly_one_place() {
    assert_eq!(parse("token = { env = \"A\" }").unwrap(), SecretRef::Env("A".into()));
    assert_eq!(parse("token = { file = \"/a\" }").unwrap(), SecretRef::File("/a".into()));
    for (wrong, says) in [
        ("token = { env = \"A\", file = \"/a\" }", "exactly one"),
        ("token = {}", "exactly one"),
        ("token = { vault = \"x\" }", "expected `env` or `file`"),
        ("token = 7", "{ env ="),
    ] {
        let error = parse(wrong).unwrap_err();
        assert!(error.contains(says), "{wrong}: {error}");
    }
}

#[test]
fn a_secret_in_the_file_is_refused_with_the_way_out() {
    let error = toml::from_str::<Holder>("token = \"abc\"").unwrap_err();
    assert!(error.message().contains("secrets are not written into the file; use { env ="), "{error}");
    assert!(!error.message().contains("abc"), "{error}");
}

#[test]
fn the_place_is_kept_for_messages() {
    let text = "token = { env = \"1 is no name\" }";
    let token = toml::from_str::<Holder>(text).unwrap().token;
    let mut problems = vec![];
    token.get_ref().check(token.span(), &mut problems);
    assert_eq!(problems.len(), 1);
    assert_eq!(text.get(problems[0].span.clone()).unwrap(), "{ env = \"1 is no name\" }");
    SecretRef::File("relative".into()).check(0..0, &mut problems);
    assert_eq!(problems.len(), 2);
    SecretRef::File("/run/token".into()).check(0..0, &mut problems);
    SecretRef::Env("_OK_1".into()).check(0..0, &mut problems);
    assert_eq!(problems.len(), 2, "what is fine is not reported");
}

#[test]
fn the_environment_is_read_at_the_start_and_its_name_is_told() {
    let path = SecretRef::Env("PATH".into()).open().unwrap();
    assert!(!path.current().expose_secret().is_empty());
    let error = SecretRef::Env("KMSWATCH_TEST_UNSET".into()).open().unwrap_err();
    assert_eq!(error.to_string(), "the environment variable `KMSWATCH_TEST_UNSET` is not set");
}

#[test]
fn a_rotated_file_is_read_again_and_a_broken_one_keeps_the_last_value() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, "first\n").unwrap();
    let secret = SecretRef::File(path.clone()).open().unwrap();
    assert_eq!(secret.current().expose_secret(), "first");

    let next = folder.path().join("next");
    fs::write(&next, "other\r\n").unwrap();
    fs::rename(&next, &path).unwrap();
    assert_eq!(secret.current().expose_secret(), "other", "same length, other inode");

    fs::write(&path, "  \n").unwrap();
    assert_eq!(secret.current().expose_secret(), "other");
    fs::remove_file(&path).unwrap();
    assert_eq!(secret.current().expose_secret(), "other");
    fs::write(&path, "third").unwrap();
    assert_eq!(secret.current().expose_secret(), "third");
}

#[test]
fn empty_missing_binary_and_endless_files_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let open = || SecretRef::File(path.clone()).open().unwrap_err().to_string();
    assert!(open().contains("token"), "missing");
    fs::write(&path, "\n").unwrap();
    assert!(open().ends_with("is empty"));
    fs::write(&path, std::ffi::OsStr::from_bytes(b"\xff\xfe").as_bytes()).unwrap();
    assert!(open().contains("could not be read"));
    fs::write(&path, "x".repeat(70_000)).unwrap();
    let error = open();
    assert!(error.contains("64 KiB") && !error.contains("xx"), "{error}");
}

#[test]
fn debug_shows_the_place_and_never_the_value() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, "hush").unwrap();
    let secret = SecretRef::File(path).open().unwrap();
    let shown = format!("{secret:?} {:?}", Text::Plain("hush".into()));
    assert!(shown.contains("token") && !shown.contains("hush"), "{shown}");
}

#[test]
fn a_text_is_plain_or_kept_apart() {
    let plain: Loose = toml::from_str("value = \"https://example.org\"").unwrap();
    assert_eq!(plain.value.open().unwrap().current().expose_secret(), "https://example.org");
    let apart: Loose = toml::from_str("value = { env = \"PATH\" }").unwrap();
    assert_eq!(apart.value, Text::Secret(SecretRef::Env("PATH".into())));
    assert!(!apart.value.open().unwrap().current().expose_secret().is_empty());
}
