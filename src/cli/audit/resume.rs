//! What was read already: a file with one inspection a line, so that whatever interrupts an audit costs the line it was writing.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;

use super::talk;
use crate::base::clock::Timestamp;
use crate::core::inspection::Inspection;

/// What is older is read anew.
const GOOD_FOR: SignedDuration = SignedDuration::from_hours(24);
/// First line of such a file.
const HEAD: &str = "{\"kmswatch\":\"audit\",\"version\":1}";
/// Longest line: a policy has 32 KB, and the grants of one key are many.
const LINE_MAX: usize = 16 * 1024 * 1024;

/// What this audit need not read again.
pub(super) struct Memory {
    known: HashMap<String, Inspection>,
    file: Option<(PathBuf, File)>,
}

impl Memory {
    /// Opens the file, or makes it, readable by its owner only; without a name nothing is kept.
    ///
    /// # Errors
    /// It cannot be read or written, or it is a file of another kind.
    pub(super) fn open(path: Option<&Path>, now: Timestamp) -> Result<Self, String> {
        let Some(path) = path else { return Ok(Self { known: HashMap::new(), file: None }) };
        let why = |error: std::io::Error| format!("{}: {error}", path.display());
        let known = match File::open(path) {
            Ok(file) => read(BufReader::new(file), path, now)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => HashMap::new(),
            Err(error) => return Err(why(error)),
        };
        if !known.is_empty() {
            talk(&format!("{} keys were read already: {}", known.len(), path.display()));
        }
        // Written anew, so that a torn last line is gone.
        let fresh = path.with_extension("part");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh).map_err(why)?;
        let mut text = format!("{HEAD}\n");
        for inspection in known.values() {
            text.push_str(&line(inspection));
        }
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(why)?;
        fs::rename(&fresh, path).map_err(why)?;
        Ok(Self { known, file: Some((path.to_owned(), file)) })
    }

    /// What is known of a key.
    pub(super) fn take(&mut self, arn: &str) -> Option<Inspection> {
        self.known.remove(arn)
    }

    /// Keeps what was read. A key of which KMS did not say what it is is asked for again the next time.
    pub(super) fn keep(&mut self, inspection: &Inspection) -> Result<(), String> {
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        if inspection.details.known().is_none() {
            return Ok(());
        }
        file.write_all(line(inspection).as_bytes()).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The audit is whole: it begins anew the next time.
    pub(super) fn remove(self) {
        if let Some((path, _)) = self.file
            && let Err(error) = fs::remove_file(&path)
        {
            talk(&format!("{} cannot be removed: {error}", path.display()));
        }
    }
}

fn line(inspection: &Inspection) -> String {
    serde_json::to_string(inspection).map(|text| format!("{text}\n")).unwrap_or_default()
}

fn read(file: impl BufRead, path: &Path, now: Timestamp) -> Result<HashMap<String, Inspection>, String> {
    let mut known = HashMap::new();
    let mut lines = file.split(b'\n');
    match lines.next() {
        None => return Ok(known),
        Some(Ok(head)) if head == HEAD.as_bytes() => {}
        Some(Ok(_)) => {
            return Err(format!("{} is no file of an audit; name another one", path.display()));
        }
        Some(Err(error)) => return Err(format!("{}: {error}", path.display())),
    }
    for line in lines {
        let line = line.map_err(|error| format!("{}: {error}", path.display()))?;
        if line.len() > LINE_MAX {
            continue;
        }
        // The last line may be torn.
        if let Ok(inspection) = serde_json::from_slice::<Inspection>(&line)
            && now.duration_since(inspection.read_at) <= GOOD_FOR
            && inspection.details.known().is_some()
        {
            known.insert(inspection.arn.clone(), inspection);
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::inspection::{Details, Part};

    const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn what_was_read_survives_a_torn_line_and_grows_old() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.state");
        let now = at("2026-11-23T12:00:00Z");
        let mut memory = Memory::open(Some(&path), now).unwrap();
        let denied = Inspection { details: Part::Denied, ..Inspection::of(&format!("{ARN}-denied"), now) };
        memory.keep(&denied).unwrap();
        let details = Part::Known(Details::default());
        let inspection = Inspection { details, policy: Part::Denied, ..Inspection::of(ARN, now) };
        memory.keep(&inspection).unwrap();
        drop(memory);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"arn\":\"arn:aws:kms:eu-cen\xf0").unwrap();
        drop(file);
        let mut memory = Memory::open(Some(&path), now).unwrap();
        assert_eq!(memory.take(ARN), Some(inspection));
        assert_eq!(memory.take(ARN), None);
        assert_eq!(memory.take(&denied.arn), None, "it may be allowed by now");
        drop(memory);
        let mut later = Memory::open(Some(&path), at("2026-11-24T13:00:00Z")).unwrap();
        assert_eq!(later.take(ARN), None, "too old");
        later.remove();
        assert!(!path.exists());
    }

    #[test]
    fn a_file_of_another_kind_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("diary");
        fs::write(&path, "dear diary\n").unwrap();
        assert!(
            Memory::open(Some(&path), at("2026-11-23T12:00:00Z")).is_err_and(|why| why.contains("no file of an audit"))
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "dear diary\n");
    }
}
