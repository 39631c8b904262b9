//! The crates that the library's public signatures name.
//!
//! A type of another crate in a public signature binds our releases to that crate's.
//! So only the crates of [`ALLOWED`] may be named there, and what [`EXCEPTIONS`]
//! lists with its reason.
//!
//! Read are: public items with their bounds, the fields and variants of public
//! types, methods and constants of their `impl` blocks, the traits that they
//! implement with the types given to those, and public re-exports. An alias counts
//! as what it stands for. What a macro of ours expands to is not read.

use std::collections::BTreeSet;

use syn::{
    Field, Fields, ImplItem, Item, ItemImpl, TraitItem, UseTree, Visibility,
    visit::{self, Visit},
};

use super::{
    Offence,
    library::{Library, Place, Source, name_of, scopes},
};

/// What users of the library have anyway: the vocabulary of HTTP and of tower, and
/// our own macros. `axum` is there with the feature of that name only, which the
/// compiler checks.
const ALLOWED: &[&str] = &[
    "std",
    "core",
    "alloc",
    "http",
    "http_body",
    "bytes",
    "tower_layer",
    "tower_service",
    "serde",
    "axum",
    "tower_delegation_macros",
];

/// Crates that are named all the same: the file, the crate, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("exchange/outgoing/client.rs", "reqwest", "the feature of that name is about calls through it"),
    ("exchange/outgoing/request.rs", "reqwest", "the feature of that name is about calls through it"),
    ("jwks/algorithm.rs", "jsonwebtoken", "its name of an algorithm, for code that verifies with it"),
    ("jwks/key.rs", "jsonwebtoken", "a published key behind its trait, for code that verifies with it"),
    (
        "routes/inventory.rs",
        "serde_json",
        "a part of an OpenAPI document is JSON, merged into the service's own",
    ),
    ("routing/connect_info.rs", "tokio", "`axum::serve` hands on connections of tokio's listeners"),
    ("routing/rule.rs", "futures_util", "the future of a handler: axum calls it, and no one names it"),
];

/// Whose signature names what.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mention {
    line: usize,
    /// The item, for the message.
    item: String,
    path: Vec<String>,
}

/// Checks every public signature of the library.
pub(super) fn check(library: &Library, sources: &[Source]) -> Vec<Offence> {
    let mut offences = Vec::new();
    let mut needed = BTreeSet::new();
    for source in sources {
        for (module, items) in scopes(source) {
            let mut reader = Reader { sources: library, module: &module, mentions: BTreeSet::new() };
            items.iter().for_each(|item| reader.item(item));
            for Mention { line, item, path } in reader.mentions {
                let Some(name) = path.first() else { continue };
                if ALLOWED.contains(&name.as_str()) {
                    continue;
                }
                let exception = (source.file.as_str(), name.as_str());
                if let Some(known) = EXCEPTIONS.iter().find(|(file, name, _)| (*file, *name) == exception) {
                    needed.insert(*known);
                    continue;
                }
                let problem = format!("{item} names {} in public: wrap it, or hide it", path.join("::"));
                offences.push(Offence { file: source.file.clone(), line, problem });
            }
        }
    }
    for exception @ (file, name, _) in EXCEPTIONS {
        if !needed.contains(exception) && sources.iter().any(|source| source.file == *file) {
            let problem = format!("no public signature names {name}: take it off EXCEPTIONS");
            offences.push(Offence { file: (*file).to_owned(), line: 1, problem });
        }
    }
    offences
}

/// Reads the items of one module.
struct Reader<'l> {
    sources: &'l Library,
    module: &'l [String],
    mentions: BTreeSet<Mention>,
}

impl Reader<'_> {
    fn item(&mut self, item: &Item) {
        match item {
            Item::Const(item) if is_public(&item.vis) => {
                self.named(&item.ident, |paths| paths.visit_type(&item.ty))
            }
            Item::Static(item) if is_public(&item.vis) => {
                self.named(&item.ident, |paths| paths.visit_type(&item.ty))
            }
            Item::Fn(item) if is_public(&item.vis) => {
                self.named(&item.sig.ident, |paths| paths.visit_signature(&item.sig));
            }
            Item::Type(item) if is_public(&item.vis) => self.named(&item.ident, |paths| {
                paths.visit_generics(&item.generics);
                paths.visit_type(&item.ty);
            }),
            Item::Struct(item) if is_public(&item.vis) => self.named(&item.ident, |paths| {
                paths.visit_generics(&item.generics);
                public_fields(&item.fields).for_each(|field| paths.visit_type(&field.ty));
            }),
            Item::Enum(item) if is_public(&item.vis) => self.named(&item.ident, |paths| {
                paths.visit_generics(&item.generics);
                let fields = item.variants.iter().flat_map(|variant| &variant.fields);
                fields.for_each(|field| paths.visit_type(&field.ty));
            }),
            Item::Trait(item) if is_public(&item.vis) => self.named(&item.ident, |paths| {
                paths.visit_generics(&item.generics);
                item.supertraits.iter().for_each(|bound| paths.visit_type_param_bound(bound));
                for item in &item.items {
                    match item {
                        TraitItem::Fn(item) => paths.visit_signature(&item.sig),
                        TraitItem::Type(item) => {
                            item.bounds.iter().for_each(|bound| paths.visit_type_param_bound(bound));
                        }
                        TraitItem::Const(item) => paths.visit_type(&item.ty),
                        _ => {}
                    }
                }
            }),
            Item::Impl(item) => self.implementation(item),
            Item::Use(item) if is_public(&item.vis) => self.re_export(&item.tree, &mut Vec::new()),
            // `pin_project!` and the like hold plain items.
            Item::Macro(item) if item.ident.is_none() => {
                if let Ok(file) = syn::parse2::<syn::File>(item.mac.tokens.clone()) {
                    file.items.iter().for_each(|item| self.item(item));
                }
            }
            _ => {}
        }
    }

    fn named(&mut self, name: &proc_macro2::Ident, read: impl FnOnce(&mut Paths)) {
        self.signature(&name_of(name), read);
    }

    /// Notes the crates that a part of a signature names.
    fn signature(&mut self, item: &str, read: impl FnOnce(&mut Paths)) {
        let mut paths = Paths::default();
        read(&mut paths);
        for (line, path) in paths.found {
            self.mention(item, line, self.module, &path, 8);
        }
    }

    fn mention(&mut self, item: &str, line: usize, module: &[String], path: &[String], aliases: usize) {
        match self.sources.find(module, path) {
            // `T::Item`, `Self::Item`: no crate has such a name.
            Place::Foreign(path) if path.iter().take(1).any(|name| name.starts_with(char::is_uppercase)) => {}
            Place::Foreign(path) => {
                self.mentions.insert(Mention { line, item: item.to_owned(), path });
            }
            Place::Item(module, name) => {
                let alias = self.sources.item(&module, &name).and_then(|item| item.alias.as_ref());
                if let (Some(alias), Some(aliases)) = (alias, aliases.checked_sub(1)) {
                    let mut paths = Paths::default();
                    paths.visit_type(alias);
                    for (_, path) in paths.found {
                        self.mention(item, line, &module, &path, aliases);
                    }
                }
            }
            Place::Module(_) | Place::Unknown => {}
        }
    }

    fn implementation(&mut self, item: &ItemImpl) {
        let syn::Type::Path(of) = &*item.self_ty else { return };
        let name = of.path.segments.last().map(|segment| name_of(&segment.ident)).unwrap_or_default();
        if !self.is_public_type(&of.path) {
            return;
        }
        if let Some((_, trait_path, _)) = &item.trait_ {
            // What a trait of ours that is not public is implemented with, no one sees.
            if matches!(self.sources.find(self.module, &names(trait_path)), Place::Item(module, name)
                if !self.sources.item(&module, &name).is_some_and(|item| item.is_public))
            {
                return;
            }
            return self.signature(&name, |paths| {
                paths.visit_generics(&item.generics);
                paths.visit_path(trait_path);
                paths.visit_type(&item.self_ty);
                for item in &item.items {
                    if let ImplItem::Type(item) = item {
                        paths.visit_type(&item.ty);
                    }
                }
            });
        }
        self.signature(&name, |paths| paths.visit_generics(&item.generics));
        for item in &item.items {
            match item {
                ImplItem::Fn(item) if is_public(&item.vis) => {
                    self.signature(&format!("{name}::{}", item.sig.ident), |paths| {
                        paths.visit_signature(&item.sig);
                    });
                }
                ImplItem::Const(item) if is_public(&item.vis) => {
                    self.signature(&format!("{name}::{}", item.ident), |paths| paths.visit_type(&item.ty));
                }
                _ => {}
            }
        }
    }

    /// Whether a type is ours and public. One that a macro makes is taken to be.
    fn is_public_type(&self, path: &syn::Path) -> bool {
        match self.sources.find(self.module, &names(path)) {
            Place::Item(module, name) => self.sources.item(&module, &name).is_some_and(|item| item.is_public),
            Place::Unknown => true,
            Place::Module(_) | Place::Foreign(_) => false,
        }
    }

    fn re_export(&mut self, tree: &UseTree, path: &mut Vec<String>) {
        let (ident, rest) = match tree {
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.re_export(tree, path));
                return;
            }
            UseTree::Path(segment) => (&segment.ident, Some(&segment.tree)),
            UseTree::Name(leaf) => (&leaf.ident, None),
            UseTree::Rename(leaf) => (&leaf.ident, None),
            UseTree::Glob(glob) => {
                let path: Vec<_> = path.iter().cloned().chain(["*".to_owned()]).collect();
                let line = glob.star_token.span.start().line;
                return self.mention("`pub use`", line, self.module, &path, 0);
            }
        };
        path.push(name_of(ident));
        match rest {
            Some(rest) => self.re_export(rest, path),
            // A name alone that is none of ours is a crate.
            None if self.sources.find(self.module, path) == Place::Unknown => {
                let line = ident.span().start().line;
                self.mentions.insert(Mention { line, item: "`pub use`".to_owned(), path: path.clone() });
            }
            None => self.mention("`pub use`", ident.span().start().line, self.module, path, 8),
        }
        path.pop();
    }
}

/// Every path in a part of a signature, with its line.
#[derive(Default)]
struct Paths {
    found: Vec<(usize, Vec<String>)>,
}

impl Visit<'_> for Paths {
    fn visit_path(&mut self, path: &syn::Path) {
        if let Some(first) = path.segments.first() {
            self.found.push((first.ident.span().start().line, names(path)));
        }
        visit::visit_path(self, path);
    }

    /// Attributes are no part of a signature.
    fn visit_attribute(&mut self, _: &syn::Attribute) {}

    /// Nor are patterns that arguments are taken apart by.
    fn visit_pat(&mut self, _: &syn::Pat) {}
}

fn names(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| name_of(&segment.ident)).collect()
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn public_fields(fields: &Fields) -> impl Iterator<Item = &Field> {
    fields.iter().filter(|field| is_public(&field.vis))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offences(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<_> = files
            .iter()
            .map(|(file, source)| {
                let stem = file.trim_end_matches(".rs").trim_end_matches("/mod");
                let module =
                    if *file == "lib.rs" { Vec::new() } else { stem.split('/').map(Into::into).collect() };
                Source { file: (*file).to_owned(), module, syntax: syn::parse_file(source).unwrap() }
            })
            .collect();
        check(&Library::of(&sources), &sources).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn signatures_that_are_refused() {
        for (name, source) in [
            ("an argument", "pub fn f(a: other::T) {}"),
            ("a result", "pub fn f() -> Result<(), other::T> { todo!() }"),
            ("deep in a type", "pub fn f(a: &[Option<Box<dyn Fn(other::T)>>]) {}"),
            ("a bound", "pub fn f<T: other::T>(a: T) {}"),
            ("a bound of where", "pub fn f<T>(a: T) where T: Into<other::T> {}"),
            ("a bound of impl", "pub fn f(a: impl other::T) {}"),
            ("by use", "use other::T; pub fn f(a: T) {}"),
            ("by use of the crate", "use other; pub fn f(a: other::T) {}"),
            ("under another name", "use other::T as Vec; pub fn f(a: Vec) {}"),
            ("an alias", "type Mine = other::T; pub fn f(a: Mine) {}"),
            ("an alias of an alias", "use other::T; type A = T; type B = Option<A>; pub fn f(a: B) {}"),
            ("by a module of ours", "mod a { pub(crate) use other::T; } pub fn f(a: a::T) {}"),
            ("a field", "pub struct S { pub a: other::T }"),
            ("a field by place", "pub struct S(pub other::T);"),
            ("a variant", "pub enum E { A(other::T) }"),
            ("a constant", "pub const A: other::T = other::T;"),
            ("a static", "pub static A: other::T = other::T;"),
            ("a public alias", "pub type A = other::T;"),
            ("a parameter of a type", "pub struct S<A: other::T>(A);"),
            ("a method", "pub struct S; impl S { pub fn f(&self, a: other::T) {} }"),
            (
                "a method of an impl elsewhere",
                "mod a { pub struct S; } impl a::S { pub fn f(a: other::T) {} }",
            ),
            ("a method in a macro", "pin_project! { pub struct S { pub a: other::T } }"),
            ("a foreign trait", "pub struct S; impl other::T for S {}"),
            ("a conversion", "pub struct S; impl From<other::T> for S { fn from(a: other::T) -> S { S } }"),
            ("an associated type", "pub struct S; impl Iterator for S { type Item = other::T; }"),
            ("a method of a trait", "pub trait A { fn f(&self, a: other::T); }"),
            ("a trait above", "pub trait A: other::T {}"),
            ("a type of a trait", "pub trait A { type B: other::T; }"),
            ("a trait of ours, with its type", "pub trait A<T> {} pub struct S; impl A<other::T> for S {}"),
            ("a re-export", "pub use other::T;"),
            ("a re-export of all", "pub use other::*;"),
            ("a re-export of a crate", "pub use other;"),
            ("a re-export by a detour", "use other as mine; pub use mine::T;"),
        ] {
            let offences = offences(&[("names.rs", source)]);
            assert!(
                matches!(&offences[..], [one] if one.contains("names other in") || one.contains("names other::")),
                "{name}: {offences:?}"
            );
        }
    }

    #[test]
    fn signatures_that_are_accepted() {
        for (name, source) in [
            (
                "an allowed crate",
                "use http::Method; pub fn f(a: Method, b: bytes::Bytes) -> std::io::Error {}",
            ),
            ("a type of ours", "pub struct T; pub fn f(a: T, b: crate::names::T, c: self::T) {}"),
            ("of the prelude", "pub fn f(a: Option<String>) -> Result<u8, Box<dyn Send>> {}"),
            ("a parameter", "pub fn f<B: Iterator>(a: B) -> B::Item {}"),
            ("its own type", "pub trait A { type Item; fn f() -> Self::Item; }"),
            ("a private function", "fn f(a: other::T) {}"),
            ("one of the crate", "pub(crate) fn f(a: other::T) {}"),
            ("a private field", "pub struct S { a: other::T }"),
            ("the body", "pub fn f() { other::f(); }"),
            ("a private type's method", "struct S; impl S { pub fn f(a: other::T) {} }"),
            ("a private type's trait", "struct S; impl other::T for S {}"),
            ("a private trait", "trait A<T> {} pub struct S; impl A<other::T> for S {}"),
            (
                "what a trait's method names",
                "pub struct S; impl Clone for S { fn clone(&self) -> S { other::f() } }",
            ),
            ("an attribute", "pub struct S { #[other::a] pub a: u8 } #[derive(other::D)] pub struct T;"),
            ("a test", "#[cfg(test)] mod tests { pub fn f(a: other::T) {} }"),
            ("a re-export of ours", "mod a { pub struct T; } pub use self::a::T; pub(crate) use other::T;"),
        ] {
            assert_eq!(offences(&[("names.rs", source)]), [""; 0], "{name}");
        }
    }

    #[test]
    fn an_exception_is_listed_with_its_reason_and_needed() {
        for (file, krate, why) in EXCEPTIONS {
            assert!(!why.is_empty(), "{file}");
            assert_eq!(offences(&[(file, &format!("pub fn f(a: {krate}::T) {{}}"))]), [""; 0], "{file}");
            let unneeded = format!("{file}:1: no public signature names {krate}: take it off EXCEPTIONS");
            assert_eq!(offences(&[(file, "")]), [unneeded], "{file}");
        }
    }
}
