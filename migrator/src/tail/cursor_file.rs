//! The file in which a reader keeps its cursor.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::files;

/// Longer than any cursor: 10,000 writers that are open at once.
const LONGEST: u64 = 256 * 1024;

/// A cursor's file, which nobody else uses meanwhile.
#[derive(Debug)]
pub struct CursorFile {
    path: PathBuf,
    // held until the process ends, however it ends
    _lock: File,
}

impl CursorFile {
    /// Opens it for this run alone. The lock is on a file beside it, which stays: the file itself is replaced by each write.
    pub fn open(path: &Path) -> Result<Self, Error> {
        files::check(path, "a cursor", |_| true)?;
        let beside = with_ending(path, ".lock");
        let failed = |e| Error::io(files::shown(&beside), e);
        files::check(&beside, "the lock of a cursor", |_| true)?;
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(&beside).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::locked(
                format!("another run keeps its cursor in {}", files::shown(path)),
                "Wait until it has ended, or name another file.",
            )),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// What is said where the store refuses its cursor.
    pub fn shown(&self) -> String {
        files::shown(&self.path)
    }

    /// The cursor in it; none where there is no file yet.
    pub fn read(&self) -> Result<Option<String>, Error> {
        let failed = |e| Error::io(self.shown(), e);
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = vec![];
        file.take(LONGEST).read_to_end(&mut bytes).map_err(failed)?;
        let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        match str::from_utf8(text) {
            Ok(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) => Ok(Some(text.to_owned())),
            _ => Err(Error::refused(
                "22023",
                format!("{} is damaged: it does not hold a cursor", self.shown()),
                "Nothing was read. Put a cursor into it that you have kept, or remove it and say with --from where to begin.",
            )),
        }
    }

    /// Replaces the cursor, so that the file holds the old one or the new one, whole, whenever the process or the machine stops.
    pub fn write(&self, cursor: &str) -> Result<(), Error> {
        let part = with_ending(&self.path, ".part");
        let written = || {
            // what a run left that was killed here
            match fs::remove_file(&part) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
            writeln!(file, "{cursor}")?;
            file.sync_all()?;
            fs::rename(&part, &self.path)
        };
        written().map_err(|e| Error::io(self.shown(), e))
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(ending);
    PathBuf::from(beside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;
    use crate::files::Place;

    #[test]
    fn a_cursor_is_kept_for_one_run_at_a_time() {
        let place = Place::new("cursor");
        let path = place.at("cursor");
        let first = CursorFile::open(&path).expect("a file");
        assert_eq!(first.read().expect("none yet"), None);
        fs::write(with_ending(&path, ".part"), "left behind").expect("a file");
        for cursor in ["a-1.2", "a-1:b-2:3.4"] {
            first.write(cursor).expect("written");
            assert_eq!(first.read().expect("a cursor").as_deref(), Some(cursor));
        }
        assert!(!with_ending(&path, ".part").exists());
        let second = CursorFile::open(&path).expect_err("in use");
        assert_eq!(second.exit(), Exit::Locked);
        assert!(second.to_string().contains("cursor"), "{second}");
        drop(first);
        assert_eq!(CursorFile::open(&path).expect("free").read().expect("a cursor").as_deref(), Some("a-1:b-2:3.4"));
    }

    #[test]
    fn a_damaged_file_is_told_and_left() {
        let place = Place::new("damaged");
        let path = place.at("cursor");
        for bytes in [&b""[..], b"\n", b"a\nb\n", b"a b", b"\x1b[31m", "é".as_bytes(), &[0xff, 0xfe], &[0; 64]] {
            fs::write(&path, bytes).expect("a file");
            let error = CursorFile::open(&path).expect("a file").read().expect_err("no cursor");
            assert_eq!((error.exit(), error.sqlstate().as_deref()), (Exit::Error, Some("22023")), "{bytes:?}");
            assert!(error.to_string().contains(path.to_str().expect("UTF-8")), "{error}");
            assert_eq!(fs::read(&path).expect("a file"), bytes);
        }
        assert!(CursorFile::open(&place.0).is_err(), "a directory");
        assert!(CursorFile::open(&place.at("no/such")).is_err());
        std::os::unix::fs::symlink("/dev/null", place.at("link")).expect("a link");
        assert!(CursorFile::open(&place.at("link")).is_err(), "a link");
    }
}
