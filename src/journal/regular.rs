//! Opens files by names that others can give: only regular files, without waiting for one that is none.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;

/// Whether a link in the place of the file may lead to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    Follow,
    Refuse,
}

/// What stands in the place of a regular file: a pipe, a device, a folder, or a link that is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a regular file")]
pub struct NotRegular;

/// Whether the error is [`NotRegular`].
pub fn is_not_regular(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<NotRegular>())
}

/// Opens a file that is there for reading. Links are not followed.
///
/// # Errors
/// As the system; [`NotRegular`] as [`io::ErrorKind::InvalidInput`].
pub fn open(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().read(true), path, Links::Refuse)
}

/// The same with other options, which must not have flags of their own.
pub(super) fn open_with(options: &mut OpenOptions, path: &Path, links: Links) -> io::Result<File> {
    let flags = match links {
        Links::Follow => OFlag::O_NONBLOCK,
        Links::Refuse => OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW,
    };
    // A pipe without a reader, a device without a driver, a folder that is opened for writing, a link.
    let is_none = |error: &io::Error| {
        let none = [Errno::ELOOP, Errno::ENXIO, Errno::ENODEV, Errno::EISDIR].map(|errno| Some(errno as i32));
        none.contains(&error.raw_os_error())
    };
    let not_regular = || io::Error::new(io::ErrorKind::InvalidInput, NotRegular);
    let file = match options.custom_flags(flags.bits()).open(path) {
        Err(error) if is_none(&error) => return Err(not_regular()),
        opened => opened?,
    };
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;

    use super::*;

    #[test]
    fn nothing_but_a_regular_file_is_opened_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "text").unwrap();
        fs::create_dir(path("folder")).unwrap();
        nix::unistd::mkfifo(&path("pipe"), Mode::S_IRWXU).unwrap();
        symlink("/dev/zero", path("zeros")).unwrap();
        symlink("file", path("link")).unwrap();
        let check = |name: &str, links: Links, expected: bool| {
            for options in [OpenOptions::new().read(true), OpenOptions::new().read(true).append(true)] {
                let opened = open_with(options, &path(name), links);
                assert_eq!(opened.is_ok(), expected, "{name}, {links:?}");
                assert!(opened.is_ok() || opened.is_err_and(|error| is_not_regular(&error)), "{name}, {links:?}");
            }
        };
        for links in [Links::Follow, Links::Refuse] {
            check("file", links, true);
            check("folder", links, false);
            check("pipe", links, false);
            check("zeros", links, false);
        }
        check("link", Links::Follow, true);
        check("link", Links::Refuse, false);
        assert_eq!(open(&path("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
