//! `cargo xtask floors`: the one order of the library's modules.
//!
//! A module imports from lower floors, and from modules to its left on its own
//! floor. So there is no circle: in any circle, one import goes up or right. Inside
//! a folder there is no circle either ([`folders`]). Public signatures name few other
//! crates ([`signatures`]).
//!
//! What is read: every file that a `mod` line reaches from `lib.rs`. What is
//! not: `lib.rs` itself, which re-exports from everywhere, and modules under
//! `#[cfg(test)]`. A file that no `mod` line reaches is reported, so that
//! nothing escapes by being declared in an unusual way.

mod folders;
mod imports;
mod library;
mod signatures;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    path::Path,
    process::ExitCode,
};

use self::{
    folders::Folders,
    imports::{Child, Import, Reading},
    library::{Library, Source},
};

/// The order, lowest floor first; on one floor from left to right.
const FLOORS: &[&[&str]] = &[
    &[
        "text",
        "names",
        "privileges",
        "reason",
        "json",
        "error",
        "clock",
        "step",
        "seconds",
        "scope",
        "spiffe",
        "confirmation",
        "pass_through_hasher",
        "text_hash",
        "credential",
        "arrival",
        "trace",
        "web_url",
        "material",
        "http_client",
        "watch",
    ],
    &["revocation", "replay", "jwks", "issuer"],
    &["application", "token", "introspection", "proof", "jwt_svid"],
    &["context"],
    &["requirement", "routes", "policy", "audit", "protected_resource"],
    &["rejection", "settings", "authenticator"],
    &["authorization", "exchange", "task"],
    &["layer", "routing"],
];

/// The sources whose order this is, from the root of the workspace.
const SOURCES: &str = "crates/tower-delegation/src";

const ROOT: &str = "lib.rs";

/// Checks the library and prints what is wrong.
pub(crate) fn run(root: &Path) -> ExitCode {
    let mut files = BTreeMap::new();
    if let Err(error) = collect(&root.join(SOURCES), "", &mut files) {
        eprintln!("{SOURCES} cannot be read: {error}");
        return ExitCode::FAILURE;
    }
    let house = House::read(&files);
    for offence in &house.offences {
        println!("{SOURCES}/{offence}");
    }
    if house.offences.is_empty() {
        println!(
            "floors: {} modules, every import goes down or to the left, and no folder has a circle",
            house.modules.len()
        );
        ExitCode::SUCCESS
    } else {
        println!("A module imports from lower floors, and from its left on its own floor.");
        ExitCode::FAILURE
    }
}

/// Reads every Rust file under `directory`, by its path in the source tree.
fn collect(directory: &Path, prefix: &str, files: &mut BTreeMap<String, String>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            collect(&path, &format!("{name}/"), files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.insert(name, fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Offence {
    file: String,
    line: usize,
    problem: String,
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.problem)
    }
}

/// A module's place: its floor, counted from 1, then how far to the right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    floor: usize,
    column: usize,
}

impl Place {
    fn of(module: &str) -> Option<Self> {
        (1..).zip(FLOORS).find_map(|(floor, modules)| {
            let column = modules.iter().position(|name| *name == module)?;
            Some(Self { floor, column })
        })
    }
}

/// The modules of the library and what is wrong with their imports.
struct House {
    /// The modules that `lib.rs` declares, those of the tests left out.
    modules: BTreeSet<String>,
    offences: BTreeSet<Offence>,
}

impl House {
    fn read(files: &BTreeMap<String, String>) -> Self {
        let mut house = Self { modules: BTreeSet::new(), offences: BTreeSet::new() };
        let mut seen = BTreeSet::new();
        let mut sources = Vec::new();
        let mut imports = Vec::new();
        let mut pending = vec![(Vec::new(), ROOT.to_owned())];
        while let Some((module, file)) = pending.pop() {
            let Some(source) = files.get(&file) else {
                house.report(&file, 1, "there is no such file".to_owned());
                continue;
            };
            if !seen.insert(file.clone()) {
                continue;
            }
            let syntax = match syn::parse_file(source) {
                Ok(syntax) => syntax,
                Err(error) => {
                    house.report(&file, error.span().start().line, error.to_string());
                    continue;
                }
            };
            let reading = Reading::of(&syntax, &module);
            for child in &reading.children {
                house.enter(&file, child, files, &mut seen, &mut pending);
            }
            imports.extend(reading.imports.into_iter().map(|import| (file.clone(), import)));
            sources.push(Source { file, module, syntax });
        }
        for file in files.keys().filter(|file| !seen.contains(*file)) {
            house.report(file, 1, "no `mod` line reaches this file: declare it as a plain module".to_owned());
        }
        // Only now are all modules known.
        let library = Library::of(&sources);
        let mut folders = Folders::default();
        for (file, import) in &imports {
            house.judge(file, import);
            folders.add(&library, file, import);
        }
        house.offences.extend(folders.circles());
        house.offences.extend(signatures::check(&library, &sources));
        house
    }

    /// Notes a `mod` line: the files below it are the tests', or are still to read.
    fn enter(
        &mut self,
        file: &str,
        child: &Child,
        files: &BTreeMap<String, String>,
        seen: &mut BTreeSet<String>,
        pending: &mut Vec<(Vec<String>, String)>,
    ) {
        let stem = child.path.join("/");
        if child.is_test {
            let below = format!("{stem}/");
            let alone = format!("{stem}.rs");
            seen.extend(files.keys().filter(|file| **file == alone || file.starts_with(&below)).cloned());
            return;
        }
        if let [module] = child.path.as_slice() {
            self.modules.insert(module.clone());
            if Place::of(module).is_none() {
                let problem = format!(
                    "module {module} has no floor: give it one in FLOORS, and a line in docs/architecture.md"
                );
                self.report(file, child.line, problem);
            }
        }
        if !child.is_inline {
            let folder = format!("{stem}/mod.rs");
            let next = if files.contains_key(&folder) { folder } else { format!("{stem}.rs") };
            pending.push((child.path.clone(), next));
        }
    }

    fn judge(&mut self, file: &str, import: &Import) {
        let Import { line, from, to, .. } = import;
        let Some(from) = from.first() else { return };
        let Some(to) = to.first() else {
            let problem = format!("module {from} imports the crate's root: name the module");
            return self.report(file, *line, problem);
        };
        if from == to {
            return;
        }
        if !self.modules.contains(to) {
            let problem =
                format!("module {from} imports {to} from the crate's root: name the module it lives in");
            return self.report(file, *line, problem);
        }
        // A module without a floor was reported where it is declared.
        let (Some(here), Some(there)) = (Place::of(from), Place::of(to)) else { return };
        if there > here {
            let side = if there.floor == here.floor { ", to its right" } else { "" };
            let problem = format!(
                "module {from} (floor {}) imports module {to} (floor {}){side}",
                here.floor, there.floor
            );
            self.report(file, *line, problem);
        }
    }

    fn report(&mut self, file: &str, line: usize, problem: String) {
        self.offences.insert(Offence { file: file.to_owned(), line, problem });
    }
}
