//! Circles among the files of one folder.
//!
//! The members of a folder are its files, its subfolders (each as one), and what
//! its `mod.rs` defines. Any of them may import any other, as long as there is no
//! circle: then they have an order, in which each imports only from what comes
//! before it. So a child may use what `mod.rs` defines if `mod.rs` uses nothing of
//! that child.
//!
//! A `mod` line is no import, and neither is a re-export: what is named through one
//! is of the file that defines it. Code of `mod.rs` that uses a name which it
//! re-exports does import it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    Offence,
    imports::{Form, Import},
    library::{Library, ModulePath, shown},
};

/// A file or a subfolder, by its name; `None` is `mod.rs`.
type Member = Option<String>;

/// Who imports from whom, and where this is written first.
type Imports = BTreeMap<(Member, Member), (String, usize)>;

/// The imports of each folder.
#[derive(Default)]
pub(super) struct Folders {
    folders: BTreeMap<ModulePath, Imports>,
}

impl Folders {
    /// Notes an import if it stays in one folder.
    pub(super) fn add(&mut self, library: &Library, file: &str, import: &Import) {
        if import.form == Form::Name && !is_import_by_name(library, import) {
            return;
        }
        let place = library.find_from_root(&import.to);
        let Some(to) = place.module().map(|module| library.file_module(module)) else { return };
        let from = library.file_module(&import.from);
        if import.form == Form::ReExport && to.starts_with(from) {
            return;
        }
        let shared = from.iter().zip(to).take_while(|(from, to)| from == to).count();
        let (from_member, to_member) = (from.get(shared).cloned(), to.get(shared).cloned());
        let folder = from.get(..shared).unwrap_or_default();
        if folder.is_empty() || from_member == to_member {
            return;
        }
        self.folders
            .entry(folder.to_vec())
            .or_default()
            .entry((from_member, to_member))
            .or_insert_with(|| (file.to_owned(), import.line));
    }

    /// One offence for each knot of members that all lead to each other: one of its
    /// shortest circles.
    pub(super) fn circles(&self) -> Vec<Offence> {
        let mut offences = Vec::new();
        for (folder, imports) in &self.folders {
            let mut knotted = BTreeSet::new();
            for start in imports.keys().map(|(from, _)| from) {
                if knotted.contains(start) {
                    continue;
                }
                let Some(circle) = shortest_circle(imports, start) else { continue };
                knotted.extend(knot(imports, start));
                offences.push(describe(folder, imports, &circle));
            }
        }
        offences
    }
}

/// Whether a path that begins with a name of its own module leads to a child: by the
/// child's name, or by a name that the module re-exports.
fn is_import_by_name(library: &Library, import: &Import) -> bool {
    let Some(first) = import.to.get(import.from.len()) else { return false };
    let child: Vec<_> = import.from.iter().chain([first]).cloned().collect();
    (library.has(&child) && import.to.len() > child.len()) || library.re_exports(&import.from, first)
}

fn from<'i>(imports: &'i Imports, member: &Member) -> impl Iterator<Item = &'i Member> {
    let member = member.clone();
    imports.keys().filter(move |(from, _)| *from == member).map(|(_, to)| to)
}

/// The members on a shortest way from `start` back to it.
fn shortest_circle(imports: &Imports, start: &Member) -> Option<Vec<Member>> {
    let mut before: BTreeMap<Member, Member> = BTreeMap::new();
    let mut pending = VecDeque::from([start.clone()]);
    while let Some(member) = pending.pop_front() {
        for next in from(imports, &member) {
            if next == start {
                let mut circle = vec![member.clone()];
                while let Some(earlier) = circle.last().and_then(|last| before.get(last)) {
                    circle.push(earlier.clone());
                }
                circle.reverse();
                return Some(circle);
            }
            if !before.contains_key(next) {
                before.insert(next.clone(), member.clone());
                pending.push_back(next.clone());
            }
        }
    }
    None
}

/// All members that `start` leads to and that lead back to it.
fn knot(imports: &Imports, start: &Member) -> BTreeSet<Member> {
    let reached = |start: &Member| {
        let mut seen = BTreeSet::new();
        let mut pending = vec![start.clone()];
        while let Some(member) = pending.pop() {
            for next in from(imports, &member) {
                if seen.insert(next.clone()) {
                    pending.push(next.clone());
                }
            }
        }
        seen
    };
    reached(start).into_iter().filter(|member| reached(member).contains(start)).collect()
}

fn describe(folder: &[String], imports: &Imports, circle: &[Member]) -> Offence {
    let name = |member: &Member| member.clone().unwrap_or_else(|| "mod.rs".to_owned());
    let nexts = circle.iter().skip(1).chain(circle.first());
    let steps: Vec<_> = circle
        .iter()
        .zip(nexts)
        .filter_map(|(from, to)| imports.get(&(from.clone(), to.clone())).map(|place| (from, to, place)))
        .collect();
    let told: Vec<_> = steps
        .iter()
        .map(|(from, to, (file, line))| format!("{} imports {} at {file}:{line}", name(from), name(to)))
        .collect();
    let (file, line) = steps.first().map(|(_, _, place)| (*place).clone()).unwrap_or_default();
    Offence { file, line, problem: format!("a circle in {}: {}", shown(folder), told.join(", ")) }
}
