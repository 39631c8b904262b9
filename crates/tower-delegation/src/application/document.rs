//! [`Document`]: a text or a file in which applications are registered.

use super::registry::Written;
use crate::error::ConfigError;

/// Where entries are written, in addition to code.
#[derive(Clone, Debug)]
pub(super) enum Document {
    #[cfg(feature = "toml")]
    Text(String),
    #[cfg(feature = "toml")]
    File(std::path::PathBuf),
}

#[cfg(feature = "toml")]
impl Document {
    pub(super) fn file(&self) -> Option<&std::path::Path> {
        match self {
            Self::Text(_) => None,
            Self::File(path) => Some(path),
        }
    }

    pub(super) fn read(&self) -> Result<String, ConfigError> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => std::fs::read_to_string(path)
                .map_err(|source| ConfigError::ApplicationsUnreadable { path: path.clone(), source }),
        }
    }

    pub(super) fn parse(&self, text: &str) -> Result<Written, ConfigError> {
        super::file::read(text, self.file())
    }
}

#[cfg(not(feature = "toml"))]
impl Document {
    pub(super) fn read(&self) -> Result<String, ConfigError> {
        match *self {}
    }

    pub(super) fn parse(&self, _: &str) -> Result<Written, ConfigError> {
        match *self {}
    }
}
