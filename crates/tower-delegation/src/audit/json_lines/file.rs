//! [`AuditFile`]: a file that is put aside when it is full.

use std::{
    fmt,
    fs::OpenOptions,
    io::{self, Read as _, Seek as _, SeekFrom, Write},
    path::{Path, PathBuf},
};

use logroller::{LogRoller, LogRollerBuilder, Rotation, RotationSize};

/// The size at which a file is put aside, where no other is set.
const DEFAULT_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Smaller files would be put aside every few lines.
const MIN_MAX_BYTES: u64 = 64 * 1024;

/// A file for [`JsonLines`](super::JsonLines) that is put aside when it is
/// full: `audit.jsonl` becomes `audit.jsonl.1`, that one `audit.jsonl.2`, and so
/// on. No line is split. Only the owner may read the files.
///
/// After an error the file is opened anew at the next line, so that writing goes
/// on when there is room again. A last line without an end, left by a crash or a
/// full disk, is ended first. Two processes must not write to one file.
///
/// Rotation is [`logroller`](https://docs.rs/logroller)'s.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # let folder = std::env::temp_dir().join(format!("tower-delegation-doc-{}", std::process::id()));
/// # let path = folder.join("audit.jsonl");
/// use tower_delegation::audit::{AuditFile, JsonLines};
///
/// let sink = JsonLines::to(AuditFile::at(path).max_bytes(256 * 1024 * 1024).open()?);
/// # drop(sink);
/// # std::fs::remove_dir_all(folder)
/// # }
/// ```
pub struct AuditFile {
    settings: AuditFileBuilder,
    /// `None` after an error.
    file: Option<LogRoller>,
}

/// Configures an [`AuditFile`].
#[derive(Clone, Debug)]
#[must_use]
pub struct AuditFileBuilder {
    path: PathBuf,
    max_bytes: u64,
    max_files: Option<u64>,
}

impl AuditFile {
    /// A file at this path. It is appended to if it is there; its folder is made
    /// if it is not.
    pub fn at(path: impl Into<PathBuf>) -> AuditFileBuilder {
        AuditFileBuilder { path: path.into(), max_bytes: DEFAULT_MAX_BYTES, max_files: None }
    }
}

impl AuditFileBuilder {
    /// Puts the file aside before it grows beyond this. Default 64 MiB, at
    /// least 64 KiB.
    pub fn max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Keeps this many files that were put aside and **deletes older ones**.
    /// By default all are kept: with a bound, a client that can send enough requests
    /// can push their own traces out.
    pub fn max_files(mut self, max_files: u64) -> Self {
        self.max_files = Some(max_files);
        self
    }

    /// Opens the file.
    ///
    /// # Errors
    /// The path names no file, the size is too small, or the file cannot be opened.
    pub fn open(self) -> io::Result<AuditFile> {
        if self.max_bytes < MIN_MAX_BYTES {
            let problem =
                format!("an audit file of {} bytes is too small: use 65536 or more", self.max_bytes);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        let file = self.roller()?;
        Ok(AuditFile { settings: self, file: Some(file) })
    }

    fn roller(&self) -> io::Result<LogRoller> {
        let name = self.path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let folder = match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let builder = LogRollerBuilder::new(folder, Path::new(name))
            .rotation(Rotation::SizeBased(RotationSize::Bytes(self.max_bytes)))
            .file_mode(0o600)
            // Renaming and deleting is done in the background: dropping waits for it.
            .graceful_shutdown(true);
        let builder = match self.max_files {
            Some(max_files) => builder.max_keep_files(max_files),
            None => builder,
        };
        let roller = builder.build().map_err(io::Error::other)?;
        end_last_line(&self.path)?;
        Ok(roller)
    }
}

/// Ends a last line that has no end.
fn end_last_line(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(());
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

impl Write for AuditFile {
    /// Writes all of a line or reports an error.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(file) = &mut self.file {
            if file.write_all(line).is_ok() {
                return Ok(line.len());
            }
            // A rotation that failed half-way leaves it writing to a file that was
            // put aside, or looking for one that is gone.
            self.file = None;
        }
        let mut file = self.settings.roller()?;
        file.write_all(line)?;
        self.file = Some(file);
        Ok(line.len())
    }

    /// Nothing is held back.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for AuditFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditFile").field("path", &self.settings.path).finish_non_exhaustive()
    }
}
