//! What the operating system refused, in words.

use std::borrow::Cow;
use std::io::{Error, ErrorKind};

/// Why a file, a folder or a socket cannot be used, to stand behind its name and a colon.
pub fn why(error: &Error) -> Cow<'static, str> {
    Cow::Borrowed(match error.kind() {
        ErrorKind::NotFound => "there is no such file or folder",
        ErrorKind::PermissionDenied => "permission denied",
        ErrorKind::IsADirectory => "it is a folder",
        ErrorKind::NotADirectory => "a file stands where a folder should be",
        ErrorKind::AlreadyExists => "it is there already",
        ErrorKind::StorageFull => "the disk is full",
        ErrorKind::ReadOnlyFilesystem => "the filesystem is read-only",
        ErrorKind::ConnectionRefused => "nobody listens there",
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "nothing came in time",
        ErrorKind::UnexpectedEof => "it ended too early",
        // With something inside, somebody has said more about it.
        ErrorKind::InvalidData if error.get_ref().is_none() => "it is no text in UTF-8",
        _ => return Cow::Owned(without_number(&error.to_string())),
    })
}

/// Without ` (os error 5)`.
fn without_number(text: &str) -> String {
    text.split_once(" (os error").map_or(text, |(words, _)| words).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_refuses_is_told_in_words_without_its_numbers() {
        for (error, expected) in [
            (Error::from_raw_os_error(2), "there is no such file or folder"),
            (Error::from_raw_os_error(13), "permission denied"),
            (Error::from_raw_os_error(21), "it is a folder"),
            (Error::from_raw_os_error(5), "Input/output error"),
            (Error::other("said by us"), "said by us"),
            (Error::new(ErrorKind::InvalidData, "line 3 is wrong"), "line 3 is wrong"),
        ] {
            assert_eq!(why(&error), expected);
        }
    }
}
