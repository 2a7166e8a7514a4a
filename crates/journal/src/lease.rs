//! Ownership of a journal by one process, as a lock of the operating system: it ends with the process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::Error;

/// The sole right to write a journal. Released when it is dropped or the process ends.
///
/// The lock is on the file `<journal>.lock`, whose text says who holds it. The file stays when the lease ends: removing
/// it would let two processes each lock a file of that name.
#[derive(Debug)]
pub struct Lease {
    file: File,
}

/// [`Lease::owner`] of another process holds the lock for a moment: so often it is tried again before it counts as owned.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(5);

impl Lease {
    /// Takes the journal at `path`, which need not exist yet; its folder must.
    ///
    /// # Errors
    /// [`Error::Owned`] if another process has it, or this process has it already.
    pub fn acquire(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let fail = |error| Error::io(path, error);
        let lock = lock_path(path).map_err(fail)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(lock)
            .map_err(fail)?;
        for attempt in 1.. {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if attempt < TRIES => thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Owned { path: path.to_owned(), owner: read_owner(&mut file) });
                }
                Err(TryLockError::Error(error)) => return Err(fail(error)),
            }
        }
        write_owner(&mut file).map_err(fail)?;
        Ok(Self { file })
    }

    /// Who owns the journal at `path`, in words, e.g. `process 4242 on build-1 since 2026-11-24T07:00:57Z`.
    ///
    /// Takes nothing. `None` if nobody does, or if it cannot be told.
    pub fn owner(path: impl AsRef<Path>) -> Option<String> {
        let mut file = File::open(lock_path(path.as_ref()).ok()?).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(read_owner(&mut file)),
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // The text of an owner that is gone would only mislead. The lock goes with the file, whatever happens here.
        let _ = self.file.set_len(0);
    }
}

/// Beside the journal itself, not beside a link to it: all names of one journal share one lock.
fn lock_path(path: &Path) -> io::Result<PathBuf> {
    let mut journal = match path.canonicalize() {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder =
                path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            folder.canonicalize()?.join(path.file_name().ok_or(io::ErrorKind::InvalidFilename)?)
        }
        Err(error) => return Err(error),
    };
    journal.as_mut_os_string().push(".lock");
    Ok(journal)
}

fn write_owner(file: &mut File) -> io::Result<()> {
    let since = humantime::format_rfc3339_seconds(SystemTime::now());
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "process {} on {} since {since}", std::process::id(), host())
}

/// The text of a locked file. Empty for a moment after the lock was taken, and unreadable where locks are mandatory.
fn read_owner(file: &mut File) -> String {
    let mut owner = String::new();
    let read = file.rewind().and_then(|()| file.take(1_000).read_to_string(&mut owner));
    if read.is_err() || owner.is_empty() { "another process".to_owned() } else { owner }
}

#[cfg(unix)]
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "this machine".to_owned())
}
