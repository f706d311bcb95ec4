//! Closed segments made small: a compressed copy, proved equal, takes the place of the plain file.
//!
//! A crash at any point leaves the plain file or a whole copy, or both; what is left over goes at the next pass.

use std::io::{self, IoSlice, Read, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use crate::journal::filesystem::{File, FileSystem};

use super::reading::Reading;

/// What evidence costs in time and space: about a tenth of the size at hundreds of megabytes a second.
const LEVEL: i32 = 3;
const CHUNK_BYTES: usize = 256 * 1024;

/// Why a segment was not compressed. What is there stays readable; it is tried again at the next pass.
#[derive(Debug, thiserror::Error)]
pub enum CompressError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} does not hold what {} holds: both are kept; see which of them the chain proves", plain.display())]
    Differs { path: PathBuf, plain: PathBuf },
    /// Asked to by `go_on`.
    #[error("stopped")]
    Stopped,
}

impl CompressError {
    fn of(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// The files of one segment in its three forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forms {
    pub plain: PathBuf,
    pub compressed: PathBuf,
    /// Being written.
    pub partial: PathBuf,
}

/// Compresses one closed segment. `go_on` is asked every few hundred kilobytes: it may wait, and stop the work.
pub fn compress(fs: &dyn FileSystem, forms: &Forms, go_on: &mut dyn FnMut() -> bool) -> Result<(), CompressError> {
    match fs.remove(&forms.partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(CompressError::of(&forms.partial)(error));
        }
        _ => {}
    }
    let made = make_copy(fs, forms, go_on)
        .and_then(|()| fs.rename(&forms.partial, &forms.compressed).map_err(CompressError::of(&forms.partial)));
    if let Err(error) = made {
        // It may be what fills the disk.
        _ = fs.remove(&forms.partial);
        return Err(error);
    }
    remove_plain(fs, forms)
}

/// Writes the copy under its preliminary name.
fn make_copy(fs: &dyn FileSystem, forms: &Forms, go_on: &mut dyn FnMut() -> bool) -> Result<(), CompressError> {
    let partial = CompressError::of(&forms.partial);
    let mut source = paced(fs, &forms.plain, go_on)?;
    let target = fs.create(&forms.partial).map_err(&partial)?;
    let content = write(&mut source, target).map_err(|error| stopped_or(error, &partial))?;
    // Read back before it gets its name: nothing is taken on trust that is to replace evidence.
    match content_of_copy(fs, &forms.partial, go_on) {
        Ok(copy) if copy == content => Ok(()),
        Err(CompressError::Stopped) => Err(CompressError::Stopped),
        _ => Err(CompressError::Differs { path: forms.partial.clone(), plain: forms.plain.clone() }),
    }
}

/// Removes the plain file of a segment that has a compressed one, if that holds the same.
pub fn settle(fs: &dyn FileSystem, forms: &Forms, go_on: &mut dyn FnMut() -> bool) -> Result<(), CompressError> {
    let content = digest_of(&mut paced(fs, &forms.plain, go_on)?);
    let content = content.map_err(|error| stopped_or(error, &CompressError::of(&forms.plain)))?;
    match content_of_copy(fs, &forms.compressed, go_on) {
        Ok(copy) if copy == content => remove_plain(fs, forms),
        Err(CompressError::Stopped) => Err(CompressError::Stopped),
        // A copy that cannot be read is one that differs.
        _ => Err(CompressError::Differs { path: forms.compressed.clone(), plain: forms.plain.clone() }),
    }
}

fn content_of_copy(
    fs: &dyn FileSystem,
    path: &Path,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Content, CompressError> {
    let failed = CompressError::of(path);
    let file = Reading::open(fs, path).map_err(&failed)?;
    let inner = zstd::Decoder::new(file).map_err(&failed)?;
    digest_of(&mut Paced { inner, go_on }).map_err(|error| stopped_or(error, &failed))
}

fn paced<'a>(
    fs: &dyn FileSystem,
    path: &Path,
    go_on: &'a mut dyn FnMut() -> bool,
) -> Result<Paced<'a, Reading>, CompressError> {
    Ok(Paced { inner: Reading::open(fs, path).map_err(CompressError::of(path))?, go_on })
}

/// The copy's name is durable before the plain file goes.
fn remove_plain(fs: &dyn FileSystem, forms: &Forms) -> Result<(), CompressError> {
    let folder = forms.plain.parent().unwrap_or(Path::new("."));
    fs.sync_folder(folder).map_err(CompressError::of(folder))?;
    fs.remove(&forms.plain).map_err(CompressError::of(&forms.plain))?;
    fs.sync_folder(folder).map_err(CompressError::of(folder))
}

/// What tells two contents apart: length and SHA-256.
type Content = (u64, Vec<u8>);

/// Writes and syncs the copy; gives the content that was read.
fn write(from: &mut impl Read, to: Box<dyn File>) -> io::Result<Content> {
    let mut encoder = zstd::Encoder::new(Appending(to), LEVEL)?;
    encoder.include_checksum(true)?;
    let content = pass(from, &mut |bytes| encoder.write_all(bytes))?;
    encoder.finish()?.0.sync()?;
    Ok(content)
}

fn digest_of(from: &mut impl Read) -> io::Result<Content> {
    pass(from, &mut |_| Ok(()))
}

/// Reads to the end, hands on each piece, and gives what was read as a whole.
fn pass(from: &mut impl Read, each: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<Content> {
    let (mut digest, mut length) = (Context::new(&SHA256), 0);
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let read = from.read(&mut buffer)?;
        let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else { break };
        digest.update(piece);
        length += read as u64;
        each(piece)?;
    }
    Ok((length, digest.finish().as_ref().to_vec()))
}

/// How [`Paced`] says that the work is to stop.
const STOPPED: io::ErrorKind = io::ErrorKind::Interrupted;

fn stopped_or(error: io::Error, other: &dyn Fn(io::Error) -> CompressError) -> CompressError {
    if error.kind() == STOPPED { CompressError::Stopped } else { other(error) }
}

/// Asks before each piece whether to go on.
struct Paced<'a, R> {
    inner: R,
    go_on: &'a mut dyn FnMut() -> bool,
}

impl<R: Read> Read for Paced<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.go_on)() { self.inner.read(buffer) } else { Err(STOPPED.into()) }
    }
}

/// A file written at its end.
struct Appending(Box<dyn File>);

impl Write for Appending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.append(&mut [IoSlice::new(bytes)])?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::simulated::{Crash, Simulated, Trouble};

    fn forms() -> Forms {
        let at = |name: &str| Path::new("/audit").join(name);
        Forms {
            plain: at("00000001.jsonl"),
            compressed: at("00000001.jsonl.zst"),
            partial: at("00000001.jsonl.zst.tmp"),
        }
    }

    fn text() -> Vec<u8> {
        (0..1000).flat_map(|n| format!("{{\"seq\":{n},\"event\":\"inbound.accepted\"}}\n").into_bytes()).collect()
    }

    /// A disk with one closed segment.
    fn disk() -> Simulated {
        let fs = Simulated::default();
        let mut file = fs.create(&forms().plain).unwrap();
        file.append(&mut [IoSlice::new(&text())]).unwrap();
        file.sync().unwrap();
        fs.sync_folder(Path::new("/audit")).unwrap();
        fs
    }

    fn always() -> impl FnMut() -> bool {
        || true
    }

    fn names(fs: &Simulated) -> Vec<PathBuf> {
        fs.paths()
    }

    /// What a reader finds: the compressed form first.
    fn readable(fs: &Simulated) -> Vec<u8> {
        match names(fs).contains(&forms().compressed) {
            true => zstd::decode_all(fs.content(&forms().compressed).as_slice()).unwrap(),
            false => fs.content(&forms().plain),
        }
    }

    /// As a pass does it.
    fn tidy_and_compress(fs: &Simulated) -> Result<(), CompressError> {
        match (names(fs).contains(&forms().compressed), names(fs).contains(&forms().plain)) {
            (true, true) => settle(fs, &forms(), &mut always()),
            (true, false) => Ok(()),
            (false, _) => compress(fs, &forms(), &mut always()),
        }
    }

    #[test]
    fn a_segment_becomes_a_small_file_with_the_same_content() {
        let fs = disk();
        compress(&fs, &forms(), &mut always()).unwrap();
        assert_eq!(names(&fs), [forms().compressed]);
        assert_eq!(readable(&fs), text());
        assert!(fs.content(&forms().compressed).len() * 5 < text().len());
    }

    #[test]
    fn a_fault_or_a_crash_at_any_operation_leaves_the_content_and_the_next_pass_ends_the_work() {
        let operations = {
            let fs = disk();
            let before = fs.operations();
            compress(&fs, &forms(), &mut always()).unwrap();
            fs.operations() - before
        };
        assert!(operations >= 6, "{operations}");
        let broken = io::ErrorKind::Other;
        for nth in 1..=operations {
            for trouble in [Trouble::Before(broken), Trouble::Short(broken), Trouble::After(broken), Trouble::Die] {
                for crash in [Crash::Lose, Crash::Keep(usize::MAX), Crash::Keep(100), Crash::Scatter(nth)] {
                    let case = format!("operation {nth}, {trouble:?}, {crash:?}");
                    let fs = disk();
                    fs.trouble_at(fs.operations() + nth, trouble);
                    _ = compress(&fs, &forms(), &mut always());
                    if trouble != Trouble::Die {
                        assert_eq!(readable(&fs), text(), "{case}, no crash");
                    }
                    let fs = fs.crash(crash);
                    assert_eq!(readable(&fs), text(), "{case}");
                    tidy_and_compress(&fs).unwrap_or_else(|error| panic!("{case}: {error}"));
                    assert_eq!(names(&fs), [forms().compressed], "{case}");
                    assert_eq!(readable(&fs), text(), "{case}");
                }
            }
        }
    }

    #[test]
    fn a_copy_that_holds_something_else_replaces_nothing() {
        let other = zstd::encode_all(&b"{\"seq\":1}\n"[..], LEVEL).unwrap();
        for copy in [other, b"no zstd".to_vec(), Vec::new()] {
            let fs = disk();
            fs.create(&forms().compressed).unwrap();
            fs.overwrite(&forms().compressed, copy);
            assert!(matches!(settle(&fs, &forms(), &mut always()), Err(CompressError::Differs { .. })));
            assert_eq!(fs.content(&forms().plain), text());
        }
    }

    #[test]
    fn it_stops_when_it_is_told_and_the_plain_file_stays() {
        for pieces in 0..4 {
            let fs = disk();
            let mut asked = 0;
            let mut go_on = || {
                asked += 1;
                asked <= pieces
            };
            assert!(matches!(compress(&fs, &forms(), &mut go_on), Err(CompressError::Stopped)), "{pieces}");
            assert_eq!(readable(&fs), text());
        }
    }
}
