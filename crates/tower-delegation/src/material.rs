//! [`Material`]: a text of the configuration, or the file that holds it.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use tokio::sync::Semaphore;

/// The longest file that is read, in octets.
const MAX_LEN: u64 = 1024 * 1024;

/// What a configuration needs and may not say itself: a certificate, a key, a
/// password, a token. Either the content, or the file that holds it.
///
/// A file is read again whenever its content is used, so that it may be replaced
/// while the service runs. A text is the content itself, never a path.
///
/// ```
/// use tower_delegation::material::Material;
///
/// let password = Material::text("open sesame");
/// assert_eq!(format!("{password:?}"), "Material(..)");
/// let file = Material::file("/var/run/secrets/proxy/password");
/// assert_eq!(format!("{file:?}"), r#"Material("/var/run/secrets/proxy/password")"#);
/// ```
#[derive(Clone)]
pub struct Material(Source);

#[derive(Clone)]
enum Source {
    Text(Bytes),
    File(Arc<FileSource>),
}

struct FileSource {
    path: PathBuf,
    /// A file that hangs (a network's, a pipe) holds up so many threads, and no more.
    readers: Arc<Semaphore>,
}

/// How many threads read one file at a time.
const MAX_READERS: usize = 4;

impl Material {
    /// The content itself.
    #[must_use]
    pub fn text(text: impl Into<Vec<u8>>) -> Self {
        Self(Source::Text(Bytes::from(text.into())))
    }

    /// The file that holds the content: 1 MiB at most.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let readers = Arc::new(Semaphore::new(MAX_READERS));
        Self(Source::File(Arc::new(FileSource { path: path.into(), readers })))
    }

    /// Whether another reading may have another outcome.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self.0, Source::File(_))
    }

    /// The content. Blocks while a file is read.
    pub(crate) fn read(&self) -> Result<Bytes, MaterialError> {
        match &self.0 {
            Source::Text(text) => Ok(text.clone()),
            Source::File(file) => {
                read_file(&file.path).map_err(|source| MaterialError { path: file.path.clone(), source })
            }
        }
    }

    /// The content, read on a thread that may block.
    pub(crate) async fn read_async(&self) -> Result<Bytes, MaterialError> {
        let Source::File(file) = &self.0 else { return self.read() };
        let failed = |error| MaterialError { path: file.path.clone(), source: io::Error::other(error) };
        let permit =
            Arc::clone(&file.readers).acquire_owned().await.map_err(|error| failed(error.to_string()))?;
        let material = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let content = material.read();
            drop(permit);
            content
        });
        read.await.unwrap_or_else(|error| Err(failed(error.to_string())))
    }
}

fn read_file(path: &Path) -> io::Result<Bytes> {
    let mut content = Vec::new();
    let read = File::open(path)?.take(MAX_LEN + 1).read_to_end(&mut content)?;
    if u64::try_from(read).is_ok_and(|read| read <= MAX_LEN) {
        return Ok(Bytes::from(content));
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "it is longer than 1 MiB"))
}

/// A file of a configuration cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the file {path:?} cannot be read")]
pub(crate) struct MaterialError {
    path: PathBuf,
    source: io::Error,
}

impl From<&str> for Material {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Material {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

/// Shows a path, never a content.
impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Text(_) => f.write_str("Material(..)"),
            Source::File(file) => f.debug_tuple("Material").field(&file.path).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn files_are_read_anew_and_only_up_to_a_size() {
        let path = std::env::temp_dir().join(format!("material-{}", std::process::id()));
        let material = Material::file(&path);
        let error = material.read().unwrap_err();
        assert!(error.to_string().contains("material-"), "{error}");
        assert!(error.source().is_some());
        for content in ["one", "two", ""] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(material.read().unwrap(), content);
        }
        let most = usize::try_from(MAX_LEN).unwrap();
        std::fs::write(&path, vec![b'a'; most]).unwrap();
        assert_eq!(material.read().unwrap().len(), most);
        std::fs::write(&path, vec![b'a'; most + 1]).unwrap();
        assert!(material.read().is_err());
        std::fs::remove_file(&path).unwrap();
        assert_eq!(Material::from("text").read().unwrap(), "text");
    }
}
