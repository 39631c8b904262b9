//! [`JsonLines`]: one JSON object per line, to anything that takes bytes.

mod ecs;
#[cfg(feature = "audit-file")]
mod file;
mod format;
mod native;
mod ocsf;
mod sink;
mod time;

#[cfg(feature = "audit-file")]
pub use self::file::{AuditFile, AuditFileBuilder};
pub use self::{
    ecs::{EcsFormat, EcsRecord},
    format::Format,
    native::{NativeFormat, NativeRecord},
    ocsf::{OcsfFormat, OcsfRecord},
    sink::JsonLines,
};
