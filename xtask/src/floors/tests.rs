use super::*;

/// A library of the given files; `lib.rs` declares one module for each of them
/// that stands at the top.
fn house(files: &[(&str, &str)]) -> Vec<String> {
    let root: String = files
        .iter()
        .filter_map(|(name, _)| {
            let module = name.strip_suffix("/mod.rs").or_else(|| name.strip_suffix(".rs"))?;
            (!module.contains('/')).then(|| format!("pub mod {module};\n"))
        })
        .collect();
    let mut all = vec![(ROOT, root.as_str())];
    all.extend(files);
    offences(&all)
}

fn offences(files: &[(&str, &str)]) -> Vec<String> {
    let files = files.iter().map(|(name, source)| ((*name).to_owned(), (*source).to_owned())).collect();
    House::read(&files).offences.iter().map(ToString::to_string).collect()
}

/// What is said of `source` as the module `jwks`, on floor 2, between `names`
/// and `revocation` (below and to the left) and `issuer` and `token` (to the
/// right and above).
fn jwks(source: &str) -> Vec<String> {
    house(&[
        ("names.rs", ""),
        ("revocation.rs", ""),
        ("jwks.rs", source),
        ("issuer.rs", ""),
        ("token.rs", ""),
        ("routing.rs", ""),
    ])
}

const UP: &str = "module jwks (floor 2) imports module token (floor 3)";
const RIGHT: &str = "module jwks (floor 2) imports module issuer (floor 2), to its right";
const THE_ROOT: &str = "module jwks imports the crate's root: name the module";

#[test]
fn a_module_has_one_floor() {
    let mut seen = BTreeSet::new();
    for module in FLOORS.iter().copied().flatten() {
        assert!(seen.insert(module), "{module} has two floors");
    }
}

/// `docs/architecture.md` has a table of the floors and one of the modules; both
/// hold exactly the modules that `lib.rs` declares.
#[test]
fn the_documented_floors_are_the_ones_checked() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = BTreeMap::new();
    collect(&root.join(SOURCES), "", &mut files).unwrap();
    let modules = House::read(&files).modules;
    let guide = fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let rows = |header: &str| -> Vec<Vec<String>> {
        let (_, table) = guide.split_once(header).unwrap();
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        rows.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
    };
    let existing = |names: &[&str]| {
        names.iter().copied().filter(|name| modules.contains(*name)).collect::<Vec<_>>().join(" · ")
    };
    let floors = FLOORS.iter().enumerate().rev();
    let expected: Vec<(String, String)> = floors
        .map(|(below, names)| ((below + 1).to_string(), existing(names)))
        .filter(|(_, names)| !names.is_empty())
        .collect();
    let documented: Vec<(String, String)> =
        rows("| floor |").into_iter().map(|row| (row[1].clone(), row[2].clone())).collect();
    assert_eq!(documented, expected);
    let described: BTreeSet<String> =
        rows("| module |").into_iter().map(|row| row[1].trim_matches('`').to_owned()).collect();
    assert_eq!(described, modules);
}

#[test]
fn imports_that_are_refused() {
    for (name, line, problem, source) in [
        ("up", 1, UP, "use crate::token::Token;"),
        ("to the right", 1, RIGHT, "use crate::issuer::Issuer;"),
        ("the module itself", 1, UP, "use crate::token;"),
        ("under another name", 1, UP, "use crate::token as names;"),
        ("an item under another name", 1, UP, "use crate::token::Token as Name;"),
        ("without a name", 1, UP, "use crate::token::Verify as _;"),
        ("a glob", 1, UP, "use crate::token::*;"),
        ("a group", 3, UP, "use crate::{\n names::Name,\n token::Token,\n};"),
        ("a group in a group", 1, UP, "use crate::{names::{A, b::C}, token::{self, D}};"),
        ("a group without a prefix", 1, UP, "use {crate::names::A, crate::token::B};"),
        ("a re-export", 1, UP, "pub use crate::token::Token;"),
        ("behind a feature", 1, UP, "#[cfg(feature = \"axum\")] use crate::token::Token;"),
        ("by super", 1, UP, "use super::token::Token;"),
        ("by self and super", 1, UP, "use self::super::token::Token;"),
        ("by two supers in an inline module", 2, UP, "mod inner {\n use super::super::token::Token; }"),
        ("in a function", 2, UP, "fn f() {\n use crate::token::Token; }"),
        ("in a type", 2, UP, "struct A {\n token: Option<crate::token::Token>, }"),
        ("in a bound", 1, UP, "fn f<T: crate::token::Verify>() {}"),
        ("in an expression", 1, UP, "fn f() { crate::token::verify(1); }"),
        ("in a pattern", 1, UP, "fn f() { let super::token::A { .. } = a; }"),
        ("as a qualified trait", 1, UP, "fn f() { <A as crate::token::Verify>::verify(); }"),
        ("as a macro", 1, UP, "crate::token::table! {}"),
        ("in a derive", 1, UP, "#[derive(crate::token::Derived)] struct A;"),
        ("in an attribute's string", 2, UP, "struct A {\n #[serde(with = \"crate::token::text\")] a: u8 }"),
        ("by the library's own name", 1, UP, "use tower_delegation::token::Token;"),
        ("by the library's own name in full", 1, UP, "fn f() { ::tower_delegation::token::verify(); }"),
        ("in a macro's tokens", 2, UP, "fn f() { assert!(\n crate::token::verify()); }"),
        ("deep in a macro's tokens", 1, UP, "m! { { [ (super::token::A) ] } }"),
        ("in a macro's group", 1, UP, "m! { use crate::{names::A, token::{B, C}}; }"),
        ("in a macro's definition", 1, UP, "macro_rules! m { () => { $crate::token::verify() } }"),
        ("any module in a macro", 1, THE_ROOT, "macro_rules! m { ($a:ident) => { $crate::$a::f() } }"),
        ("the root's glob in a macro", 1, THE_ROOT, "m! { use crate::*; }"),
        ("the root under another name in a macro", 1, THE_ROOT, "m! { use crate::{self as root}; }"),
        ("the root's glob", 1, THE_ROOT, "use crate::*;"),
        ("the root's glob by super", 1, THE_ROOT, "use super::*;"),
        ("the root under another name", 1, THE_ROOT, "use crate as root;"),
        ("the root in a group", 1, THE_ROOT, "use crate::{self as root};"),
        ("the root as a crate", 1, THE_ROOT, "extern crate self as root;"),
        ("with cfg(not(test))", 1, UP, "#[cfg(not(test))] mod a { use crate::token::Token; }"),
        ("with cfg(any(test, ..))", 1, UP, "#[cfg(any(test, unix))] mod a { use crate::token::Token; }"),
    ] {
        assert_eq!(jwks(source), [format!("jwks.rs:{line}: {problem}")], "{name}");
    }
}

#[test]
fn imports_that_are_accepted() {
    for (name, source) in [
        ("down", "use crate::names::Name;"),
        ("to the left", "use crate::revocation::Store;"),
        ("itself", "use crate::jwks::KeySet;"),
        ("its own child", "mod inner {} use self::inner::A;"),
        ("its own name from a child", "mod inner { use super::{A, token::B}; use super::*; }"),
        ("another crate", "use std::sync::Arc; use ::axum::Router; use axum::token::A;"),
        ("another crate in a macro", "m! { axum::token::A, foo::issuer::B }"),
        ("a variable of that name", "fn f(token: u8) -> u8 { let issuer = token; issuer }"),
        ("a visibility", "pub(crate) struct A; mod inner { pub(in crate::jwks) struct B; }"),
        ("a visibility in a macro", "m! { pub(crate) struct A; pub(super) struct B; }"),
        ("self as a value", "impl A { fn f(&self) { m!(self.token, Self::issuer, self) } }"),
        ("a doc comment", "/// See [`crate::token::Token`].\n//// crate::token\nstruct A;"),
        ("a doc attribute", "#[doc = \"crate::token::Token\"] struct A;"),
        ("a string", "fn f() -> &'static str { \"crate::token::Token\" }"),
        ("cfg(test)", "#[cfg(test)] mod tests { use crate::token::Token; use super::super::*; }"),
        ("cfg(all(test, ..))", "#[cfg(all(test, unix))] mod tests { use crate::token::Token; }"),
        ("in a test's macro", "#[cfg(test)] mod tests { m! { crate::token::A } }"),
    ] {
        assert_eq!(jwks(source), [""; 0], "{name}");
    }
}

#[test]
fn a_circle_is_refused_where_it_goes_up() {
    let circle = [
        ("names.rs", "use crate::context::C;"),
        ("token.rs", "use crate::names::N;"),
        ("context.rs", "use crate::token::T;"),
    ];
    assert_eq!(house(&circle), ["names.rs:1: module names (floor 1) imports module context (floor 4)"]);

    let neighbours = [("names.rs", "use crate::error::E;"), ("error.rs", "use crate::names::N;")];
    assert_eq!(
        house(&neighbours),
        ["names.rs:1: module names (floor 1) imports module error (floor 1), to its right"]
    );
}

#[test]
fn circles_in_a_folder_are_refused() {
    let circle = |told: &str| format!("a circle in jwks: {told}");
    for (name, files, expected) in [
        (
            "two files",
            [
                ("jwks/mod.rs", "mod a; mod b;"),
                ("jwks/a.rs", "use super::b::B;"),
                ("jwks/b.rs", "use super::a::A;"),
            ]
            .as_slice(),
            "a imports b at jwks/a.rs:1, b imports a at jwks/b.rs:1",
        ),
        (
            "three files",
            &[
                ("jwks/mod.rs", "mod a; mod b; mod c;"),
                ("jwks/a.rs", "use super::b::B;"),
                ("jwks/b.rs", "fn f() {\n super::c::f() }"),
                ("jwks/c.rs", "struct C(crate::jwks::a::A);"),
            ],
            "a imports b at jwks/a.rs:1, b imports c at jwks/b.rs:2, c imports a at jwks/c.rs:1",
        ),
        (
            "by what the folder re-exports",
            &[
                ("jwks/mod.rs", "mod a; mod b; pub use self::{a::A, b::B as C};"),
                ("jwks/a.rs", "use super::C;"),
                ("jwks/b.rs", "use super::A;"),
            ],
            "a imports b at jwks/a.rs:1, b imports a at jwks/b.rs:1",
        ),
        (
            "by a glob that is re-exported",
            &[
                ("jwks/mod.rs", "mod a; mod b; pub use self::a::*;"),
                ("jwks/a.rs", "use super::b::B; pub struct A;"),
                ("jwks/b.rs", "use super::A;"),
            ],
            "a imports b at jwks/a.rs:1, b imports a at jwks/b.rs:1",
        ),
        (
            "a child and what is above it",
            &[("jwks/mod.rs", "mod a; use self::a::A; struct S(A);"), ("jwks/a.rs", "use super::S;")],
            "mod.rs imports a at jwks/mod.rs:1, a imports mod.rs at jwks/a.rs:1",
        ),
        (
            "by a child's name",
            &[("jwks/mod.rs", "mod a; struct S(a::A);"), ("jwks/a.rs", "use super::S;")],
            "mod.rs imports a at jwks/mod.rs:1, a imports mod.rs at jwks/a.rs:1",
        ),
        (
            "by a name that is re-exported, and used",
            &[("jwks/mod.rs", "mod a; pub use self::a::A;\nstruct S(A);"), ("jwks/a.rs", "use super::S;")],
            "mod.rs imports a at jwks/mod.rs:2, a imports mod.rs at jwks/a.rs:1",
        ),
        (
            "in a macro",
            &[
                ("jwks/mod.rs", "mod a; pub use self::a::A; fn f() { m!(A) }"),
                ("jwks/a.rs", "m! { super::f() }"),
            ],
            "mod.rs imports a at jwks/mod.rs:1, a imports mod.rs at jwks/a.rs:1",
        ),
        (
            "through a third",
            &[
                ("jwks/mod.rs", "mod a; mod b; fn f() { a::f() }"),
                ("jwks/a.rs", "use super::b::B;"),
                ("jwks/b.rs", "use super::f;"),
            ],
            "mod.rs imports a at jwks/mod.rs:1, a imports b at jwks/a.rs:1, b imports mod.rs at jwks/b.rs:1",
        ),
        (
            "from an inner folder",
            &[
                ("jwks/mod.rs", "mod a; mod b;"),
                ("jwks/a/mod.rs", "mod c;"),
                ("jwks/a/c.rs", "use super::super::b::B;"),
                ("jwks/b.rs", "use super::a::A;"),
            ],
            "a imports b at jwks/a/c.rs:1, b imports a at jwks/b.rs:1",
        ),
    ] {
        let offences = house(files);
        assert!(matches!(&offences[..], [one] if one.ends_with(&circle(expected))), "{name}: {offences:?}");
    }
}

#[test]
fn imports_in_a_folder_that_are_accepted() {
    for (name, files) in [
        (
            "one way",
            [("jwks/mod.rs", "mod a; mod b;"), ("jwks/a.rs", "use super::b::B;"), ("jwks/b.rs", "")]
                .as_slice(),
        ),
        (
            "what is above, if it uses nothing of the child",
            &[
                ("jwks/mod.rs", "mod a; pub use self::a::A; struct S;"),
                ("jwks/a.rs", "use super::S; pub struct A;"),
            ],
        ),
        (
            "a child, if it uses nothing above",
            &[("jwks/mod.rs", "mod a; use self::a::A; struct S(A);"), ("jwks/a.rs", "")],
        ),
        (
            "what the folder re-exports from elsewhere",
            &[
                ("jwks/mod.rs", "mod a; use a::f; pub use crate::names::N;"),
                ("jwks/a.rs", "use super::N;"),
                ("names.rs", ""),
            ],
        ),
        ("itself", &[("jwks/mod.rs", "mod a;"), ("jwks/a.rs", "use super::a::A; use crate::jwks::a::B;")]),
        (
            "a variable of a child's name",
            &[
                ("jwks/mod.rs", "mod a; fn f(a: u8) -> u8 { m!(a, b.a()); a }"),
                ("jwks/a.rs", "use super::f;"),
            ],
        ),
        (
            "an inner module",
            &[
                ("jwks/mod.rs", "mod a; mod inner { use super::S; } struct S;"),
                ("jwks/a.rs", "use super::inner::I;"),
            ],
        ),
        (
            "tests",
            &[
                ("jwks/mod.rs", "mod a; use a::A; #[cfg(test)] mod tests { use super::*; }"),
                ("jwks/a.rs", "#[cfg(test)] mod tests { use super::super::S; }"),
            ],
        ),
        (
            "a crate of a child's name",
            &[
                ("jwks/mod.rs", "mod metrics; use ::metrics::Counter; struct S;"),
                ("jwks/metrics.rs", "use super::S;"),
            ],
        ),
    ] {
        assert_eq!(house(files), [""; 0], "{name}");
    }
}

#[test]
fn folders_are_followed() {
    let offences = house(&[
        ("jwks/mod.rs", "mod cache; mod source { mod http; } pub use self::cache::Cache;"),
        ("jwks/cache.rs", "use super::super::token::Token;\nuse super::source;"),
        ("jwks/source/http.rs", "use super::super::super::token::Token;\nuse super::super::token;"),
        ("token.rs", ""),
    ]);
    assert_eq!(offences, [format!("jwks/cache.rs:1: {UP}"), format!("jwks/source/http.rs:1: {UP}")]);
}

#[test]
fn test_files_are_exempt() {
    let offences = house(&[
        ("jwks/mod.rs", "#[cfg(test)] mod tests;"),
        ("jwks/tests.rs", "mod more; use crate::token::Token;"),
        ("jwks/tests/more.rs", "use crate::token::Token;"),
        ("token.rs", ""),
    ]);
    assert_eq!(offences, [""; 0]);
}

#[test]
fn the_root_may_import_from_everywhere() {
    let offences = offences(&[
        (
            ROOT,
            "extern crate self as tower_delegation; mod names; mod token; pub use self::token::Token; pub use crate::names::*;",
        ),
        ("names.rs", ""),
        ("token.rs", ""),
    ]);
    assert_eq!(offences, [""; 0]);
}

#[test]
fn what_the_root_re_exports_is_named_by_its_module() {
    assert_eq!(
        jwks("use crate::Token;"),
        ["jwks.rs:1: module jwks imports Token from the crate's root: name the module it lives in"]
    );
}

#[test]
fn nothing_escapes_the_order() {
    for (name, files, expected) in [
        (
            "a module without a floor",
            [(ROOT, "mod names;\nmod helpers;"), ("names.rs", ""), ("helpers.rs", "use crate::names::N;")]
                .as_slice(),
            "lib.rs:2: module helpers has no floor: give it one in FLOORS, and a line in docs/architecture.md",
        ),
        (
            "an inline module of the root",
            [(ROOT, "mod names {\n use crate::token::T; }\nmod token {}")].as_slice(),
            "lib.rs:2: module names (floor 1) imports module token (floor 3)",
        ),
        (
            "a file that a macro declares",
            [(ROOT, "cfg! { mod names; }"), ("names.rs", "")].as_slice(),
            "names.rs:1: no `mod` line reaches this file: declare it as a plain module",
        ),
        (
            "a module whose file lies elsewhere",
            [(ROOT, "#[path = \"../other.rs\"] mod names;")].as_slice(),
            "names.rs:1: there is no such file",
        ),
        (
            "a file that is not Rust",
            [(ROOT, "mod names;"), ("names.rs", "\nmod 1;")].as_slice(),
            "names.rs:2: expected identifier",
        ),
        ("no root", [].as_slice(), "lib.rs:1: there is no such file"),
    ] {
        let offences = offences(files);
        assert!(matches!(offences.as_slice(), [one] if one.starts_with(expected)), "{name}: {offences:?}");
    }
}
