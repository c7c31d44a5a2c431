use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::split::Splitter;
use super::*;

/// What one file gave: each piece's number, place and text, `!` before what is broken, and the fault.
fn pieces_of(feed: impl FnOnce(&mut dyn FnMut(Piece<'_>)) -> Result<(), Fault>) -> (Vec<String>, Option<Fault>) {
    let mut found = Vec::new();
    let mut numbers = 0;
    let result = feed(&mut |piece| {
        numbers += 1;
        assert_eq!(piece.number, numbers);
        found.push(match piece.what {
            What::Value { bytes, .. } => String::from_utf8_lossy(bytes).into_owned(),
            What::Broken(why) => format!("!{why} at {}", piece.offset),
            What::TooLong => format!("!too long at {}", piece.offset),
        });
    });
    (found, result.err())
}

fn whole(text: &str) -> (Vec<String>, Option<Fault>) {
    pieces_of(|take| Splitter::default().feed(text.as_bytes(), true, take).map(|_| ()))
}

/// The same through windows that grow by `step` bytes.
fn windows(text: &str, step: usize) -> (Vec<String>, Option<Fault>) {
    let text = text.as_bytes();
    pieces_of(|take| {
        let mut splitter = Splitter::default();
        let (mut begin, mut end) = (0, 0);
        loop {
            end = (end + step).min(text.len());
            begin += splitter.feed(&text[begin..end], end == text.len(), take)?;
            if end == text.len() {
                return Ok(());
            }
        }
    })
}

fn values(text: &str) -> Vec<String> {
    let (found, fault) = whole(text);
    assert_eq!(fault, None, "{text}");
    found
}

#[test]
fn every_shape_of_file_is_taken_apart() {
    let (a, b) = (r#"{"eventName":"a","x":[1,{"y":"]}"}]}"#, r#"{"eventName":"b"}"#);
    for text in [
        format!("{{\"Records\":[{a},{b}]}}"),
        format!(" {{ \"Records\" : [ {a} ,\n {b} ] , \"more\":[1] }} \n"),
        format!("{{\"Events\":[{a},{b}],\"NextToken\":\"x\"}}"),
        format!("{{\"NextToken\":\"x\",\"n\":1,\"Events\":[{a},{b}]}}"),
        format!("{{\"Records\":[{a}]}}\n{{\"Records\":[{b}]}}\n"),
        format!("{{\"Records\":[{a}],\"Records\":[{b}]}}"),
        format!("[{a},{b}]"),
        format!("{a}\n{b}\n"),
        format!("{a}\r\n\r\n{b}"),
        format!("{a}{b}"),
        format!("\u{feff}{a} {b}"),
    ] {
        assert_eq!(values(&text), [a, b], "{text}");
        for step in [1, 2, 7, 64] {
            assert_eq!(windows(&text, step), (vec![a.to_owned(), b.to_owned()], None), "{step}: {text}");
        }
    }
    for nothing in ["", "  \n", "{\"Records\":[]}", "[]", "\u{feff}"] {
        assert_eq!(values(nothing), Vec::<String>::new(), "{nothing}");
    }
    // Not a list of records: one value, whatever it is.
    for one in [r#"{"Records":7}"#, r#"{"a":{},"Records":[1]}"#, r#"{"Records":{"a":[]}}"#, "7", "\"x\"", "null"] {
        assert_eq!(values(one), [one]);
    }
    assert_eq!(values("1 2\n[3, 4]"), ["1", "2", "3", "4"]);
    assert_eq!(windows("123 456", 2).0, ["123", "456"], "a number that goes on in the next window");
}

#[test]
fn what_is_between_good_lines_is_passed_over() {
    let (found, fault) = whole("{\"a\":1}\n{\"b\":tru}\nnot json\n}\n{\"c\":3}\n{\"d\":");
    assert_eq!(fault, None);
    let wanted = ["{\"a\":1}", "!expected ident at 8", "{\"c\":3}", "!the text ends in the middle of a value at 37"];
    assert_eq!(found, wanted);
    assert_eq!(whole("\u{1f}\u{8b}garbage\n\u{0}").0.len(), 1, "noise is one bad part");
    assert_eq!(windows("x\n\n\n", 1).0.len(), 1);
}

#[test]
fn a_damaged_log_file_is_damaged() {
    for (text, given, why) in [
        ("{\"Records\":[{\"a\":1},{\"b\":", 1, "ends too early, after 25 bytes of text and 1 whole values"),
        ("{\"Records\":[{\"a\":1}", 1, "ends too early"),
        ("{\"Records\":[{\"a\":1}]", 1, "ends too early"),
        ("{\"Records\":[{\"a\":1},", 1, "ends too early"),
        ("[1,2", 2, "ends too early"),
        ("{\"Records\":[{\"a\":1} {\"b\":2}]}", 1, "at byte 21 of the text a comma"),
        ("{\"Records\":[{\"a\":1},]}", 1, "no JSON at byte 21 of the text, in value 2"),
        ("{\"Records\":[{\"a\":1}] 7}", 1, "at byte 22"),
        ("{\"Records\":[{\"a\":1}],7}", 1, "at byte 22"),
        ("{\"Records\":[{\"a\":1}],\"b\":x}", 1, "at byte 26"),
    ] {
        for step in [text.len(), 1, 5] {
            let (found, fault) = windows(text, step);
            assert_eq!(found.len(), given, "{text}");
            let said = fault.map(|fault| fault.to_string()).unwrap_or_default();
            assert!(said.starts_with("is damaged: ") && said.contains(why), "{text}: {said}");
        }
    }
}

#[test]
fn a_value_longer_than_any_window_is_passed_over_without_being_held() {
    for (before, after) in [("{\"Records\":[{\"a\":1},", ",{\"b\":2}]}"), ("{\"a\":1}\n", "\n{\"b\":2}\n")] {
        let long = format!("{{\"x\":\"{}\\\"}}\",\"y\":[{{}}]}}", "z".repeat(300));
        let text = [before, &long, after].concat();
        let (found, fault) = pieces_of(|take| {
            // A window of 64 bytes that cannot grow.
            let (mut splitter, mut window, mut rest) = (Splitter::default(), Vec::new(), text.as_bytes());
            loop {
                let (more, later) = rest.split_at((64 - window.len()).min(rest.len()));
                window.extend_from_slice(more);
                rest = later;
                let used = splitter.feed(&window, rest.is_empty(), take)?;
                if rest.is_empty() {
                    return Ok(());
                }
                if used == 0 {
                    splitter.pass_over();
                }
                window.drain(..used);
            }
        });
        assert_eq!(fault, None);
        let place = text.find(&long).unwrap();
        assert_eq!(found, ["{\"a\":1}".to_owned(), format!("!too long at {place}"), "{\"b\":2}".to_owned()]);
    }
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Reads a file that holds these bytes; with many readers the whole-file ways are closed to all but the smallest.
fn read(bytes: &[u8], readers: usize) -> (Vec<String>, Option<Fault>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.json");
    std::fs::write(&path, bytes).unwrap();
    let progress = Progress::default();
    let result = pieces_of(|take| Reader::new(readers).read(&Input { path, named: true }, &progress, take));
    assert!(progress.bytes.load(std::sync::atomic::Ordering::Relaxed) <= bytes.len() as u64);
    result
}

#[test]
fn packed_and_plain_files_give_the_same_whichever_way_they_are_read() {
    let records: Vec<String> = (0..500).map(|n| format!("{{\"eventName\":\"n{n}\"}}")).collect();
    let text = format!("{{\"Records\":[{}]}}", records.join(","));
    let half = text.len() / 2;
    let two = [packed(&text.as_bytes()[..half]), packed(&text.as_bytes()[half..])].concat();
    for readers in [1, 1_000_000] {
        for (what, bytes) in [
            ("plain", text.clone().into_bytes()),
            ("packed", packed(text.as_bytes())),
            ("two packed texts", two.clone()),
        ] {
            assert_eq!(read(&bytes, readers), (records.clone(), None), "{what}, {readers}");
        }
    }
    // Twice the same text in one file: nothing of the second is lost.
    let one = packed(b"{\"a\":1}\n");
    assert_eq!(read(&[one.clone(), one].concat(), 1).0.len(), 2);
}

#[test]
fn damage_is_said() {
    let good = packed(format!("[{}]", vec!["{\"eventName\":\"x\"}"; 2000].join(",")).as_bytes());
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x55;
    let mut sum = good.clone();
    let at = sum.len() - 6;
    sum[at] ^= 1;
    let mut length = good.clone();
    *length.last_mut().unwrap() ^= 0x7f;
    for readers in [1, 1_000_000] {
        for (what, bytes, wanted) in [
            ("cut", good[..good.len() / 2].to_vec(), "is damaged: the packed data ends too early"),
            ("cut to its head", good[..5].to_vec(), "is damaged: "),
            ("flipped", flipped.clone(), "is damaged: "),
            ("a wrong checksum", sum.clone(), "is damaged: gzip: "),
            ("a wrong length", length.clone(), "is damaged: "),
            ("zip", b"PK\x03\x04....".to_vec(), "is damaged: it is packed with zip; unpack it"),
            ("zstd", b"\x28\xb5\x2f\xfd....".to_vec(), "is damaged: it is packed with zstd"),
        ] {
            let said = read(&bytes, readers).1.unwrap_or_else(|| panic!("{what}")).to_string();
            assert!(said.starts_with(wanted), "{what}: {said}");
        }
    }
    let progress = Progress::default();
    let gone = Input { path: PathBuf::from("/nowhere/x.json"), named: true };
    let fault = Reader::new(1).read(&gone, &progress, &mut |_| {}).unwrap_err();
    assert!(matches!(&fault, Fault::Unreadable(why) if why.contains("No such file")), "{fault}");
}

#[test]
fn a_long_record_fits_however_the_file_is_read() {
    let long = format!("{{\"eventName\":\"{}\"}}", "x".repeat(3_000_000));
    let text = format!("{{\"Records\":[{{\"a\":1}},{long},{{\"b\":2}}]}}");
    for readers in [1, 1_000_000] {
        let (found, fault) = read(text.as_bytes(), readers);
        assert_eq!((found.len(), fault), (3, None));
        assert!(found[1] == long);
        assert_eq!(read(&packed(text.as_bytes()), readers).0.len(), 3);
    }
}

#[test]
fn a_walk_finds_what_a_bucket_holds() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    };
    let trail = "AWSLogs/111122223333/CloudTrail/eu-central-1/2026/03/01/111122223333_CloudTrail_x.json.gz";
    let digest = "AWSLogs/111122223333/CloudTrail-Digest/eu-central-1/2026/03/01/111122223333_x.json.gz";
    for name in [
        trail,
        digest,
        "a.JSON",
        "b.jsonl",
        "c.ndjson.gz",
        "readme.txt",
        "d/e.json",
        "111122223333_CloudTrail-Digest_y.json.gz",
    ] {
        put(name);
    }
    std::os::unix::fs::symlink(folder.path().join("a.JSON"), folder.path().join("link.json")).unwrap();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("circle")).unwrap();
    std::os::unix::fs::symlink("/nowhere", folder.path().join("dead.json")).unwrap();

    let name = |path: &Path| path.strip_prefix(folder.path()).unwrap().display().to_string();
    let mut found: Vec<String> = Walk::new(&[folder.path().to_owned()])
        .map(|found| match found {
            Found::File(input) => {
                assert!(!input.named);
                name(&input.path)
            }
            Found::Digest(path) => format!("digest {}", name(&path)),
            Found::Other(path) => format!("other {}", name(&path)),
            Found::Unreadable(path, _) => format!("unreadable {}", name(&path)),
        })
        .collect();
    found.sort();
    let wanted = [
        trail,
        "a.JSON",
        "b.jsonl",
        "c.ndjson.gz",
        "d/e.json",
        "digest 111122223333_CloudTrail-Digest_y.json.gz",
        &format!("digest {digest}"),
        "link.json",
        "other circle",
        "other readme.txt",
        "unreadable dead.json",
    ];
    assert_eq!(found, wanted);

    let named =
        [folder.path().join("readme.txt"), PathBuf::from("-"), PathBuf::from("/nowhere/x"), folder.path().join(digest)];
    let found: Vec<Found> = Walk::new(&named).collect();
    assert!(matches!(
        found.as_slice(),
        [Found::File(Input { named: true, .. }), Found::File(stdin), Found::Unreadable(..), Found::Digest(_)] if stdin.is_stdin()
    ));
}

proptest! {
    /// However the text falls into windows, the same comes out.
    #[test]
    fn windows_make_no_difference(
        parts in proptest::collection::vec(prop::sample::select(vec![
            "{\"a\":[1,2]}", "\n", " ", "[", "]", "{\"Records\":[", "]}", ",", "7", "\"x\\\"\"", "{\"b\":", "}", "null", "\"Events\":[", "x",
        ]), 0..12),
        step in 1_usize..9,
    ) {
        let text = parts.concat();
        let (whole, fault) = whole(&text);
        let (parted, other) = windows(&text, step);
        prop_assert_eq!(fault.is_some(), other.is_some(), "{}", text);
        prop_assert_eq!(whole, parted, "{}", text);
    }
}
