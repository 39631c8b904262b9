//! The machine that the medians come from.

use std::{env, ffi::OsString, fmt, fs, io, path::Path, process::Command};

/// A processor, and the compiler that built for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) processor: String,
    pub(super) cores: usize,
    pub(super) rustc: String,
}

impl Machine {
    /// This machine, with the toolchain of the checkout.
    pub(super) fn here(root: &Path) -> io::Result<Self> {
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
        let version = Command::new(rustc).arg("--version").current_dir(root).output()?;
        let version = String::from_utf8_lossy(&version.stdout);
        // Only Linux has it.
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Ok(Self::described_by(&cpuinfo, &version))
    }

    fn described_by(cpuinfo: &str, rustc: &str) -> Self {
        let models = || {
            cpuinfo.lines().filter_map(|line| {
                let (name, value) = line.split_once(':')?;
                (name.trim() == "model name").then(|| value.trim())
            })
        };
        Self {
            processor: models().next().unwrap_or("an unnamed processor").to_owned(),
            cores: models().count(),
            rustc: rustc.split_whitespace().nth(1).unwrap_or("?").to_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} cores, rustc {}", self.processor, self.cores, self.rustc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_its_processor_cores_and_compiler() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n\nprocessor\t: 1\nmodel name\t: Some CPU @ 2 GHz\n";
        let machine = Machine::described_by(cpuinfo, "rustc 1.95.0 (59807616e 2026-04-14)\n");
        assert_eq!(machine.to_string(), "Some CPU @ 2 GHz, 2 cores, rustc 1.95.0");
    }

    #[test]
    fn a_machine_that_does_not_say_is_unnamed() {
        assert_eq!(Machine::described_by("", "").to_string(), "an unnamed processor, 0 cores, rustc ?");
    }
}
