//! One file at a time, out of buffers that are kept.
//!
//! A packed file that is small enough is unpacked whole, which is twice as fast as in windows; all others pass through a
//! window that grows only for a single long value. Whether a file is packed is read from its first bytes, not its name.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use libdeflater::Decompressor;

use super::split::Splitter;
use super::{Fault, Input, Piece, VALUE_BYTES_MAX};

/// Unpacked text held whole, of all readers together.
const WHOLE_BYTES: usize = 40 * 1024 * 1024;
/// Files held packed, of all readers together.
const PACKED_BYTES: usize = 12 * 1024 * 1024;
/// How much is read at once where a file is not held whole.
const WINDOW_BYTES: usize = 256 * 1024;

/// How far a replay has come, for whoever shows it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes of files read, as they are on disk.
    pub bytes: AtomicU64,
    pub files: AtomicU64,
    pub events: AtomicU64,
}

/// Reads files one after the other.
pub struct Reader {
    decompressor: Decompressor,
    packed: Vec<u8>,
    text: Vec<u8>,
    whole_max: usize,
    packed_max: usize,
}

impl Reader {
    /// One of `readers` that work at the same time and share the memory.
    pub fn new(readers: usize) -> Self {
        let share = readers.max(1);
        Self {
            decompressor: Decompressor::new(),
            packed: Vec::new(),
            text: Vec::new(),
            whole_max: WHOLE_BYTES / share,
            packed_max: PACKED_BYTES / share,
        }
    }

    /// Hands out everything that is in a file, in its order.
    ///
    /// # Errors
    /// What was handed out before is not the whole of it.
    pub fn read(&mut self, input: &Input, progress: &Progress, take: &mut dyn FnMut(Piece<'_>)) -> Result<(), Fault> {
        if input.is_stdin() {
            return self.stream(Counted { inner: io::stdin().lock(), progress }, take);
        }
        let mut file = File::open(&input.path).map_err(|error| unreadable(&error))?;
        let length = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
        let small = length.and_then(|length| usize::try_from(length).ok()).filter(|length| *length <= self.packed_max);
        let Some(length) = small else { return self.stream(Counted { inner: file, progress }, take) };

        self.packed.clear();
        self.packed.reserve(length + 1);
        // A file may grow while it is read: what is too much now is left to the next replay.
        let mut limited = Counted { inner: Read::by_ref(&mut file).take(self.packed_max as u64), progress };
        limited.read_to_end(&mut self.packed).map_err(|error| unreadable(&error))?;
        known_packer(&self.packed)?;
        if !is_packed(&self.packed) {
            let packed = std::mem::take(&mut self.packed);
            let result = whole(&packed, take);
            self.packed = packed;
            return result;
        }
        if let Some(length) = self.unpack() {
            return whole(self.text.get(..length).unwrap_or_default(), take);
        }
        let packed = std::mem::take(&mut self.packed);
        let result = self.windows(MultiGzDecoder::new(packed.as_slice()), take);
        self.packed = packed;
        result
    }

    /// Unpacks what is held into `text`, if it is one whole packed text that is not too long and nothing is wrong with it.
    fn unpack(&mut self) -> Option<usize> {
        let trailer: [u8; 4] = self.packed.last_chunk().copied()?;
        let length = usize::try_from(u32::from_le_bytes(trailer)).ok().filter(|length| *length <= self.whole_max)?;
        if may_hold_another(&self.packed) {
            return None;
        }
        if self.text.len() < length {
            self.text.resize(length, 0);
        }
        let unpacked = self.decompressor.gzip_decompress(&self.packed, self.text.get_mut(..length)?).ok()?;
        (unpacked == length).then_some(length)
    }

    /// A file of any length, packed or not.
    fn stream(&mut self, mut source: impl Read, take: &mut dyn FnMut(Piece<'_>)) -> Result<(), Fault> {
        let mut head = Vec::with_capacity(MAGIC_BYTES);
        Read::by_ref(&mut source).take(MAGIC_BYTES as u64).read_to_end(&mut head).map_err(|e| unreadable(&e))?;
        known_packer(&head)?;
        let packed = is_packed(&head);
        let source = io::BufReader::with_capacity(WINDOW_BYTES, head.as_slice().chain(source));
        if packed { self.windows(MultiGzDecoder::new(source), take) } else { self.windows(source, take) }
    }

    /// Lets the text pass through a window.
    fn windows(&mut self, mut source: impl Read, take: &mut dyn FnMut(Piece<'_>)) -> Result<(), Fault> {
        let mut splitter = Splitter::default();
        let (mut window, mut filled, mut end) = (WINDOW_BYTES, 0, false);
        loop {
            if self.text.len() < window {
                self.text.resize(window, 0);
            }
            while filled < window && !end {
                let room = self.text.get_mut(filled..window).unwrap_or_default();
                match source.read(room) {
                    Ok(0) => end = true,
                    Ok(read) => filled += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(fault(&error)),
                }
            }
            let used = splitter.feed(self.text.get(..filled).unwrap_or_default(), end, take)?;
            if end {
                return Ok(());
            }
            self.text.copy_within(used..filled, 0);
            filled -= used;
            if used > 0 {
                window = (filled * 2).clamp(WINDOW_BYTES, VALUE_BYTES_MAX);
            } else if window >= VALUE_BYTES_MAX {
                splitter.pass_over();
            } else {
                window = (window * 2).min(VALUE_BYTES_MAX);
            }
        }
    }
}

fn whole(text: &[u8], take: &mut dyn FnMut(Piece<'_>)) -> Result<(), Fault> {
    Splitter::default().feed(text, true, take).map(|_| ())
}

/// Enough to tell every packer by.
const MAGIC_BYTES: usize = 6;

fn is_packed(head: &[u8]) -> bool {
    head.starts_with(&[0x1f, 0x8b])
}

/// Refuses what other programs have packed, by its name.
fn known_packer(head: &[u8]) -> Result<(), Fault> {
    const OTHERS: &[(&[u8], &str)] =
        &[(b"PK\x03\x04", "zip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz")];
    match OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
        Some((_, name)) => Err(Fault::Damaged(format!("it is packed with {name}; unpack it, or pack it with gzip"))),
        None => Ok(()),
    }
}

/// Whether a second packed text may follow the first (RFC 1952 allows it). Chance finds one in a few files, which then
/// take the slower way that reads them all.
fn may_hold_another(packed: &[u8]) -> bool {
    let rest = packed.get(1..).unwrap_or_default();
    memchr::memmem::find_iter(rest, &[0x1f, 0x8b, 0x08])
        .any(|at| rest.get(at + 3).is_some_and(|flags| flags & 0b1110_0000 == 0))
}

fn unreadable(error: &io::Error) -> Fault {
    Fault::Unreadable(error.to_string())
}

fn fault(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Fault::Damaged("the packed data ends too early".to_owned()),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Fault::Damaged(format!("gzip: {error}")),
        _ => unreadable(error),
    }
}

/// Counts what is read from disk.
struct Counted<'p, R> {
    inner: R,
    progress: &'p Progress,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(room)?;
        self.progress.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
