//! Files that are read and written: nothing is written through a link, over something that is not ours, or for others to read;
//! nothing is waited for without a word.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use rand::RngExt;

use crate::error::Error;
use crate::output::Output;
use crate::url;

/// Of a file that is there, so much tells whether it is one of ours.
const HEAD: u64 = 8 * 1024;
/// Who writes into a pipe has so long to open it.
const NOBODY_WRITES: Duration = Duration::from_secs(10);
/// After so long without a byte it is said that something is waited for.
const SILENCE: Duration = Duration::from_secs(3);

/// What a path names, where it is no regular file.
fn kind(found: &Metadata) -> &'static str {
    let kind = found.file_type();
    if kind.is_dir() {
        "a directory"
    } else if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_char_device() || kind.is_block_device() {
        "a device"
    } else {
        "a file"
    }
}

/// A path as it is told to people: one that is a mistaken URL holds a password.
pub fn shown(path: &Path) -> String {
    url::redacted(&path.display().to_string()).into_owned()
}

/// Who may read what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Its owner alone: plans and rejected rows hold what is in the database.
    Owner,
    /// Everybody that the umask allows.
    All,
}

/// A file that is being written beside its place, and takes its place when it is whole.
#[derive(Debug)]
pub struct Fresh {
    what: &'static str,
    path: PathBuf,
    part: PathBuf,
    file: BufWriter<File>,
    /// Whether an earlier one of ours is replaced.
    pub replaces: bool,
}

/// Whether a file can be written there. What is there already is replaced only if it is a regular file whose beginning `ours`
/// knows; the answer is whether there is one.
pub fn check(path: &Path, what: &str, ours: impl Fn(&str) -> bool) -> Result<bool, Error> {
    let failed = |e| Error::io(format!("{what} {}", shown(path)), e);
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
    };
    if !found.is_file() {
        return Err(Error::refused(
            "42809",
            format!("{} is {}: {what} is written to a file of its own", shown(path), kind(&found)),
            "Name a file that does not exist yet.",
        ));
    }
    let mut head = vec![];
    File::open(path).map_err(failed)?.take(HEAD).read_to_end(&mut head).map_err(failed)?;
    if ours(&String::from_utf8_lossy(&head)) {
        return Ok(true);
    }
    Err(Error::refused(
        "58P02",
        format!("{} exists already, and was not written as {what}: it is left as it is", shown(path)),
        "Name a file that does not exist yet, or move that one away.",
    ))
}

/// Whether what was opened is the file that a path names, no link, and belongs to whoever runs this.
pub fn is_own(path: &Path, file: &File) -> io::Result<bool> {
    let (opened, named) = (file.metadata()?, fs::symlink_metadata(path)?);
    let same = opened.is_file() && (opened.dev(), opened.ino()) == (named.dev(), named.ino());
    // whose files are ours is told by a new one
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{:08x}.part", rand::rng().random::<u32>()));
    let own = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?.metadata()?.uid();
    fs::remove_file(&beside)?;
    Ok(same && opened.uid() == own)
}

impl Fresh {
    /// Begins to write. `ours` is asked of the beginning of what is there already.
    pub fn begin(
        path: &Path,
        what: &'static str,
        readers: Readers,
        ours: impl Fn(&str) -> bool,
    ) -> Result<Self, Error> {
        let replaces = check(path, what, ours)?;
        let mut part = path.as_os_str().to_owned();
        part.push(format!(".{:08x}.part", rand::rng().random::<u32>()));
        let part = PathBuf::from(part);
        let mode = if readers == Readers::Owner { 0o600 } else { 0o644 };
        let file = OpenOptions::new()
            .write(true)
            // never through a link, and never a file that is there
            .create_new(true)
            .mode(mode)
            .open(&part)
            .map_err(|e| Error::io(format!("{what} {}", shown(path)), e))?;
        Ok(Self { what, path: path.to_owned(), part, file: BufWriter::new(file), replaces })
    }

    /// Gives it its name. A file that came there meanwhile stays.
    pub fn finish(mut self) -> Result<(), Error> {
        let what = self.what;
        let path = self.path.clone();
        let failed = |e| Error::io(format!("{what} {}", shown(&path)), e);
        self.file.flush().map_err(failed)?;
        let own = self.file.get_ref().metadata().map_err(failed)?.uid();
        if self.replaces {
            let there = fs::symlink_metadata(&self.path).map_err(failed)?;
            if !there.is_file() || there.uid() != own {
                return Err(Error::refused(
                    "58P02",
                    format!("{} belongs to somebody else, or is no file any more: it is left as it is", shown(&path)),
                    "Name a file that does not exist yet.",
                ));
            }
            return fs::rename(&self.part, &self.path).map_err(failed);
        }
        match fs::hard_link(&self.part, &self.path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(failed(error)),
            // a file system without hard links
            Err(_) if fs::symlink_metadata(&self.path).is_err() => fs::rename(&self.part, &self.path).map_err(failed),
            Err(error) => Err(failed(error)),
        }
    }
}

impl Write for Fresh {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // after a rename there is nothing left to remove
        fs::remove_file(&self.part).ok();
    }
}

/// A source of bytes that is open: a file, or a pipe that somebody writes into.
pub struct Input {
    /// What people call it.
    pub name: String,
    /// What was looked at and not read yet.
    head: Vec<u8>,
    taken: usize,
    reader: Box<dyn Read>,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Input {
    /// Opens a file, or a pipe, that something else than a terminal writes into.
    pub fn open(path: &Path, out: &Output) -> Result<Self, Error> {
        let name = shown(path);
        let failed = |e| Error::io(name.clone(), e);
        let found = fs::metadata(path).map_err(failed)?;
        let reader: Box<dyn Read> = if found.is_file() {
            Box::new(File::open(path).map_err(failed)?)
        } else if found.file_type().is_fifo() {
            Box::new(Pipe::open(path, &name, out)?)
        } else {
            return Err(no_file(&name, &found));
        };
        Ok(Self { name, head: vec![], taken: 0, reader })
    }

    /// Bytes in memory.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { name: name.into(), head: bytes, taken: 0, reader: Box::new(io::empty()) }
    }

    /// The next bytes, which stay to be read: all there are, if they are fewer.
    pub fn peek(&mut self, count: usize) -> Result<&[u8], Error> {
        let missing = (self.taken + count).saturating_sub(self.head.len());
        if missing > 0 {
            let read = self.reader.by_ref().take(missing as u64).read_to_end(&mut self.head);
            read.map_err(|e| Error::io(self.name.clone(), e))?;
        }
        let end = self.head.len().min(self.taken + count);
        Ok(&self.head[self.taken..end])
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.taken < self.head.len() {
            let count = into.len().min(self.head.len() - self.taken);
            into[..count].copy_from_slice(&self.head[self.taken..self.taken + count]);
            self.taken += count;
            return Ok(count);
        }
        if !self.head.is_empty() {
            (self.head, self.taken) = (vec![], 0);
        }
        self.reader.read(into)
    }
}

/// A file that has to be read more than once.
pub fn expect_regular(path: &Path) -> Result<Metadata, Error> {
    let found = fs::metadata(path).map_err(|e| Error::io(shown(path), e))?;
    if found.is_file() { Ok(found) } else { Err(no_file(&shown(path), &found)) }
}

fn no_file(name: &str, found: &Metadata) -> Error {
    Error::refused("42809", format!("{name} is {}", kind(found)), "Name a file: write there first what is to be read.")
}

/// A pipe, read by a thread of its own, so that a silence can be told.
struct Pipe {
    chunks: Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    taken: usize,
    silent: String,
}

impl Pipe {
    fn open(path: &Path, name: &str, out: &Output) -> Result<Self, Error> {
        let (opened, is_open) = sync_channel(1);
        let (send, chunks) = sync_channel(4);
        let from = path.to_owned();
        let thread = std::thread::Builder::new().name("pipe".into()).spawn(move || {
            // waits until somebody opens the other end
            let mut file = match File::open(from) {
                Ok(file) => {
                    opened.send(Ok(())).ok();
                    file
                }
                Err(error) => {
                    opened.send(Err(error)).ok();
                    return;
                }
            };
            loop {
                let mut chunk = vec![0; 64 * 1024];
                let read = file.read(&mut chunk);
                let ended = !matches!(read, Ok(n) if n > 0);
                let sent = send.send(read.map(|n| {
                    chunk.truncate(n);
                    chunk
                }));
                if ended || sent.is_err() {
                    return;
                }
            }
        });
        thread.map_err(|e| Error::io(name, e))?;
        let mut waited = is_open.recv_timeout(SILENCE);
        if matches!(waited, Err(RecvTimeoutError::Timeout)) {
            out.note(format!("{name} is a pipe, and nobody writes into it: waiting"));
            waited = is_open.recv_timeout(NOBODY_WRITES - SILENCE);
        }
        match waited {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Error::io(name, error)),
            Err(_) => {
                return Err(Error::refused(
                    "58030",
                    format!("{name} is a pipe, and nobody has opened it to write within {} s", NOBODY_WRITES.as_secs()),
                    "Start what writes into it first, or name a file.",
                ));
            }
        }
        let silent = format!("{name} is a pipe, and nothing comes out of it: still waiting");
        Ok(Self { chunks, chunk: vec![], taken: 0, silent })
    }
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.chunk.len() {
            let next = match self.chunks.recv_timeout(SILENCE) {
                Err(RecvTimeoutError::Timeout) => {
                    if !self.silent.is_empty() {
                        crate::output::say(&std::mem::take(&mut self.silent));
                    }
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
                Ok(next) => next?,
            };
            if next.is_empty() {
                return Ok(0);
            }
            (self.chunk, self.taken) = (next, 0);
        }
        let count = into.len().min(self.chunk.len() - self.taken);
        into[..count].copy_from_slice(&self.chunk[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

/// A directory of a test's own, gone with the value.
#[cfg(test)]
pub(crate) struct Place(pub(crate) PathBuf);

#[cfg(test)]
impl Place {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("domain-events-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

#[cfg(test)]
impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::output::Format;

    fn write(path: &Path, text: &str) -> Result<bool, Error> {
        let mut fresh = Fresh::begin(path, "a plan", Readers::Owner, |head| head.starts_with("ours"))?;
        fresh.write_all(text.as_bytes()).expect("written");
        let replaces = fresh.replaces;
        fresh.finish().map(|()| replaces)
    }

    #[test]
    fn a_file_is_written_whole_for_its_owner_and_over_nothing_of_others() {
        let place = Place::new("fresh");
        let path = place.at("plan.toml");
        assert!(!write(&path, "ours 1").expect("a new file"));
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert!(write(&path, "ours 2").expect("one of ours"));
        assert_eq!(fs::read_to_string(&path).expect("text"), "ours 2");

        let theirs = place.at("theirs");
        fs::write(&theirs, "theirs").expect("a file");
        let error = write(&theirs, "ours").expect_err("not ours");
        assert_eq!((error.exit(), error.sqlstate().as_deref()), (crate::error::Exit::Error, Some("58P02")));
        assert!(error.hint().is_some());
        assert_eq!(fs::read_to_string(&theirs).expect("text"), "theirs");

        for (name, target) in [("link", "theirs"), ("to_ours", "plan.toml"), ("dangling", "nowhere")] {
            symlink(place.at(target), place.at(name)).expect("a link");
            let error = write(&place.at(name), "ours").expect_err(name);
            assert!(error.to_string().contains("symbolic link"), "{error}");
        }
        assert!(!place.at("nowhere").exists());
        assert_eq!(fs::read_to_string(&theirs).expect("text"), "theirs");
        assert!(write(&place.0, "ours").expect_err("a directory").to_string().contains("a directory"));
        assert!(write(Path::new("/dev/full"), "ours").expect_err("a device").to_string().contains("a device"));
        assert!(write(&place.at("no/such"), "ours").is_err());
        let left: Vec<_> = fs::read_dir(&place.0).expect("a directory").map(|e| e.expect("an entry").path()).collect();
        assert!(!left.iter().any(|p| p.extension().is_some_and(|e| e == "part")), "{left:?}");
    }

    #[test]
    fn another_file_than_was_opened_is_not_ours() {
        let place = Place::new("own");
        let (path, other) = (place.at("own"), place.at("other"));
        fs::write(&path, "").expect("a file");
        let file = File::open(&path).expect("open");
        assert!(is_own(&path, &file).expect("told"));
        fs::rename(&path, &other).expect("renamed");
        fs::write(&path, "").expect("a file");
        assert!(!is_own(&path, &file).expect("told"));
        fs::remove_file(&path).expect("removed");
        symlink(&other, &path).expect("a link");
        assert!(!is_own(&path, &file).expect("told"));
        // root owns what it likes; others own nothing here
        if std::os::unix::fs::chown(&other, Some(65_534), None).is_ok() {
            assert!(!is_own(&other, &file).expect("told"));
        }
        assert_eq!(fs::read_dir(&place.0).expect("a directory").count(), 2);
    }

    #[test]
    fn what_comes_there_meanwhile_stays() {
        let place = Place::new("meanwhile");
        let path = place.at("plan.toml");
        let mut fresh = Fresh::begin(&path, "a plan", Readers::Owner, |_| false).expect("begun");
        fresh.write_all(b"ours").expect("written");
        fs::write(&path, "theirs").expect("a file");
        assert!(fresh.finish().is_err());
        assert_eq!(fs::read_to_string(&path).expect("text"), "theirs");
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let out = Output::new(Format::Human);
        for path in ["/dev/zero", "/dev/null", "/", "/no/such/file"] {
            assert!(Input::open(Path::new(path), &out).is_err(), "{path}");
        }
        assert!(expect_regular(Path::new("/dev/zero")).is_err());
        let error = Input::open(Path::new("me:s3cret@h"), &out).expect_err("no file");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }

    #[test]
    fn what_was_looked_at_is_still_read() {
        let mut input = Input::from_bytes("x", b"abcdef".to_vec());
        assert_eq!(input.peek(2).expect("bytes"), b"ab");
        assert_eq!(input.peek(4).expect("bytes"), b"abcd");
        let mut two = [0; 2];
        input.read_exact(&mut two).expect("bytes");
        assert_eq!(input.peek(100).expect("bytes"), b"cdef");
        let mut rest = vec![];
        input.read_to_end(&mut rest).expect("bytes");
        assert_eq!((two, rest.as_slice()), (*b"ab", &b"cdef"[..]));
    }
}
