//! The files of the log's folder: `NNNNNNNN.jsonl`, and `NNNNNNNN.jsonl.zst` for closed segments that were compressed.
//! A number has eight digits, or as many as it needs.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::journal::regular;

use super::log::LogError;

/// Ends the name of a plain segment.
pub const PLAIN_SUFFIX: &str = ".jsonl";
/// Ends the name of a compressed one.
pub const COMPRESSED_SUFFIX: &str = ".jsonl.zst";
/// Ends the name of a compressed one that is not finished.
pub const UNFINISHED_SUFFIX: &str = ".jsonl.zst.tmp";
const NUMBER_DIGITS: usize = 8;
const BUFFER_BYTES: usize = 1024 * 1024;

/// One file of the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    /// From 1; each new one has the next number.
    pub number: u64,
    pub path: PathBuf,
    pub compressed: bool,
}

impl Segment {
    pub fn plain(folder: &Path, number: u64) -> Self {
        Self { number, path: path(folder, number, PLAIN_SUFFIX), compressed: false }
    }

    pub fn compressed(folder: &Path, number: u64) -> Self {
        Self { number, path: path(folder, number, COMPRESSED_SUFFIX), compressed: true }
    }

    /// A name in the folder, if it is that of a segment.
    fn of_name(folder: &Path, name: &str) -> Option<Self> {
        let (digits, suffix) = name.split_at_checked(name.find('.')?)?;
        let number = digits.parse().ok().filter(|number| *number > 0)?;
        let segment = match suffix {
            PLAIN_SUFFIX => Self::plain(folder, number),
            COMPRESSED_SUFFIX => Self::compressed(folder, number),
            _ => return None,
        };
        // Each number has one spelling.
        (segment.path.file_name()? == name).then_some(segment)
    }
}

/// The segments of a folder in order. Of one that is there twice the compressed file is given: the plain one is what a
/// crash left behind.
pub fn segments(folder: &Path) -> Result<Vec<Segment>, LogError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(LogError::of(folder))? {
        // A name that is no text is none of ours.
        names.extend(entry.map_err(LogError::of(folder))?.file_name().into_string().ok());
    }
    Ok(of_names(folder, names))
}

/// The segments among these names, as [`segments`].
pub(super) fn of_names(folder: &Path, names: impl IntoIterator<Item = String>) -> Vec<Segment> {
    let mut found: Vec<_> = names.into_iter().filter_map(|name| Segment::of_name(folder, &name)).collect();
    found.sort_by_key(|segment| (segment.number, !segment.compressed));
    found.dedup_by_key(|segment| segment.number);
    found
}

/// A reader of the segment's lines.
pub fn open_segment(segment: &Segment) -> Result<Box<dyn BufRead + Send>, LogError> {
    let file = regular::open(&segment.path).map_err(LogError::of(&segment.path))?;
    reader(segment, file)
}

/// A reader of the lines in the bytes of the segment's file.
pub(super) fn reader(segment: &Segment, file: impl Read + Send + 'static) -> Result<Box<dyn BufRead + Send>, LogError> {
    Ok(match segment.compressed {
        false => Box::new(BufReader::with_capacity(BUFFER_BYTES, file)),
        true => {
            let decoder = zstd::stream::read::Decoder::new(file).map_err(LogError::of(&segment.path))?;
            Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
        }
    })
}

fn path(folder: &Path, number: u64, suffix: &str) -> PathBuf {
    folder.join(format!("{number:0NUMBER_DIGITS$}{suffix}"))
}

/// Reads one line without its line end into `line`. `None` at the end, and `Some(false)` if the last line has no end.
///
/// # Errors
/// As the reader; a line of more than `bytes_max` is [`io::ErrorKind::InvalidData`].
pub(super) fn read_line(
    reader: &mut (impl BufRead + ?Sized),
    line: &mut Vec<u8>,
    bytes_max: usize,
) -> io::Result<Option<bool>> {
    line.clear();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    if reader.take(limit).read_until(b'\n', line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(Some(true));
    }
    if line.len() > bytes_max { Err(io::ErrorKind::InvalidData.into()) } else { Ok(Some(false)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_come_in_order_and_a_leftover_gives_way_to_the_compressed_file() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "00000010.jsonl",
            "100000000.jsonl",
            "000000011.jsonl",
            "18446744073709551616.jsonl",
            "00000002.jsonl",
            "00000002.jsonl.zst",
            "00000001.jsonl.zst",
            "00000003.jsonl.zst.tmp",
            "00000000.jsonl",
            "1.jsonl",
            "+0000004.jsonl",
            "00000005.json",
            "lock",
        ] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let path = folder.path();
        let expected = [
            Segment::compressed(path, 1),
            Segment::compressed(path, 2),
            Segment::plain(path, 10),
            Segment::plain(path, 100_000_000),
        ];
        assert_eq!(segments(path).unwrap(), expected);
        assert_eq!(expected[2].path, path.join("00000010.jsonl"));
    }

    #[test]
    fn both_forms_give_the_same_lines() {
        let folder = tempfile::tempdir().unwrap();
        let text = "one\ntwo\n".repeat(100_000);
        let (plain, compressed) = (Segment::plain(folder.path(), 1), Segment::compressed(folder.path(), 2));
        fs::write(&plain.path, &text).unwrap();
        fs::write(&compressed.path, zstd::encode_all(text.as_bytes(), 3).unwrap()).unwrap();
        for segment in [plain, compressed] {
            let mut read = String::new();
            open_segment(&segment).unwrap().read_to_string(&mut read).unwrap();
            assert!(read == text, "{segment:?}");
        }
    }

    #[test]
    fn lines_are_read_within_their_bound() {
        let check = |text: &str, expected: &[(&str, Option<bool>)]| {
            let (mut reader, mut line) = (text.as_bytes(), Vec::new());
            for (content, ended) in expected {
                assert_eq!(read_line(&mut reader, &mut line, 4).unwrap(), *ended);
                assert_eq!(line, content.as_bytes());
            }
        };
        check(
            "a\n\nabcd\nab",
            &[("a", Some(true)), ("", Some(true)), ("abcd", Some(true)), ("ab", Some(false)), ("", None)],
        );
        let error = read_line(&mut "abcde\n".as_bytes(), &mut Vec::new(), 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
