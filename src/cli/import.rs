//! `kmswatch import sigma`: Sigma rules for `CloudTrail` become rules of ours, with what could not be carried over said.

use std::collections::VecDeque;
use std::fs;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

use super::{ExitStatus, say, talk};
use crate::base::period::Period;
use crate::sigma::{self, Effect, Import, Imported, Options, SIZE_MAX, Source};

/// More files than any collection of rules has.
const FILES_MAX: usize = 20_000;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, clap::Subcommand)]
enum From {
    /// Sigma rules with the log source aws/cloudtrail.
    Sigma(Sigma),
}

#[derive(Debug, clap::Args)]
struct Sigma {
    /// Files, folders of `.yml` and `.yaml` files, or `-` for standard input.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Write one file for each rule into this folder, instead of all to standard output.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Overwrite files in that folder.
    #[arg(long, requires = "out")]
    force: bool,
    /// When incidents of the rules end by themselves. Rules that only inform are told once and need no end.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = period)]
    resolve_after: String,
    /// What ids of the rules start with.
    #[arg(long, value_name = "TEXT", default_value = "sigma.", value_parser = prefix)]
    prefix: String,
}

fn period(text: &str) -> Result<String, String> {
    let period: Period = text.parse()?;
    if period.signed().is_zero() { Err("an incident cannot end at once".into()) } else { Ok(text.to_owned()) }
}

fn prefix(text: &str) -> Result<String, String> {
    let fits = text.len() <= 20
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        && !text.starts_with("kmswatch.");
    if fits { Ok(text.to_owned()) } else { Err("use up to 20 lower-case letters, digits, `.`, `-` and `_`".into()) }
}

/// Imports what it can, and says what it could not.
pub(super) fn run(args: &Args) -> ExitStatus {
    let From::Sigma(args) = &args.from;
    let mut unread = 0;
    let mut texts = vec![];
    for file in found(&args.files, &mut unread) {
        match read(&file) {
            Ok(text) => texts.push((file.display().to_string(), text)),
            Err(why) => {
                unread += 1;
                talk(&format!("{}: not read: {why}", file.display()));
            }
        }
    }
    let sources: Vec<Source<'_>> = texts.iter().map(|(name, text)| Source { name, text }).collect();
    let options = Options { prefix: args.prefix.clone(), resolve_after: args.resolve_after.clone() };
    let import = sigma::import(&sources, &options);
    let unwritten = if let Some(folder) = &args.out {
        import.rules.iter().filter(|rule| !write(folder, rule, args.force)).count()
    } else {
        let all: Vec<&str> = import.rules.iter().map(|rule| rule.toml.trim_end()).collect();
        if !all.is_empty() {
            say(&all.join("\n\n"));
        }
        0
    };
    tell(&import, texts.len(), unread);
    if import.refused.is_empty() && !import.rules.is_empty() && unread + unwritten == 0 {
        ExitStatus::Fine
    } else {
        ExitStatus::NotFine
    }
}

/// The files that are meant, those of folders sorted by name. Folders behind links are not entered.
fn found(names: &[PathBuf], unread: &mut usize) -> Vec<PathBuf> {
    let mut files = vec![];
    let mut waiting: VecDeque<(PathBuf, bool)> = names.iter().map(|name| (name.clone(), true)).collect();
    while let Some((path, named)) = waiting.pop_front() {
        if files.len() >= FILES_MAX {
            *unread += 1;
            talk(&format!("{}: not read: more than {FILES_MAX} files", path.display()));
            break;
        }
        if !path.is_dir() {
            let is_yaml =
                path.extension().is_some_and(|end| end.eq_ignore_ascii_case("yml") || end.eq_ignore_ascii_case("yaml"));
            if named || (is_yaml && path.is_file()) {
                files.push(path);
            }
            continue;
        }
        match fs::read_dir(&path) {
            Ok(entries) => {
                let mut inside: Vec<PathBuf> = entries
                    .filter_map(Result::ok)
                    .map(|entry| entry.path())
                    .filter(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')))
                    .filter(|path| !(path.is_symlink() && path.is_dir()))
                    .collect();
                inside.sort();
                for path in inside.into_iter().rev() {
                    waiting.push_front((path, false));
                }
            }
            Err(error) => {
                *unread += 1;
                talk(&format!("{}: not read: {error}", path.display()));
            }
        }
    }
    files
}

fn read(file: &Path) -> Result<String, String> {
    let limit = SIZE_MAX as u64 + 1;
    let mut bytes = vec![];
    let read = if file == Path::new("-") {
        std::io::stdin().take(limit).read_to_end(&mut bytes)
    } else {
        fs::File::open(file).and_then(|opened| opened.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| error.to_string())?;
    if bytes.len() > SIZE_MAX {
        return Err(format!("it is larger than {} KiB", SIZE_MAX / 1024));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".into())
}

/// Writes one rule into its file; says why if it does not.
fn write(folder: &Path, rule: &Imported, force: bool) -> bool {
    let file = folder.join(format!("{}.toml", rule.id));
    let same = fs::read_to_string(&file).is_ok_and(|known| known == rule.toml);
    if same {
        return true;
    }
    let opened = fs::create_dir_all(folder)
        .and_then(|()| fs::OpenOptions::new().write(true).create(true).truncate(true).create_new(!force).open(&file));
    match opened.and_then(|mut opened| opened.write_all(rule.toml.as_bytes())) {
        Ok(()) => true,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            talk(&format!(
                "{}: not written: it is there already, with other content; --force overwrites it",
                file.display()
            ));
            false
        }
        Err(error) => {
            talk(&format!("{}: not written: {error}", file.display()));
            false
        }
    }
}

fn tell(import: &Import, files: usize, unread: usize) {
    for rule in &import.rules {
        for note in rule.notes.iter().filter(|note| note.effect != Effect::Remark) {
            talk(&format!("{}:{}: {}: {}: {}", rule.source, note.line, rule.id, note.effect.as_str(), note.text));
        }
    }
    for refused in &import.refused {
        let title = refused.title.as_ref().map_or_else(String::new, |title| format!("\"{title}\": "));
        talk(&format!("{}:{}: not imported: {title}{}", refused.source, refused.line, refused.why));
    }
    let has =
        |effect: Effect| import.rules.iter().filter(|rule| rule.notes.iter().any(|note| note.effect == effect)).count();
    let exact = import.rules.iter().filter(|rule| rule.is_exact()).count();
    let plural = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    talk(&format!(
        "{} from {}: {exact} as they are, {} wider, {} narrower than the original; {} not imported, {} not read",
        plural(import.rules.len(), "Sigma rule"),
        plural(files, "file"),
        has(Effect::Wider),
        has(Effect::Narrower),
        import.refused.len(),
        plural(unread, "file"),
    ));
}
