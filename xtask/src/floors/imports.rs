//! What one source file imports from the library's top-level modules.
//!
//! Every way of naming a module counts: `use` trees, paths in types and
//! expressions, the tokens of macros, and paths that attributes carry as
//! strings. Only paths that lead through the crate's root matter; all others
//! stay inside one module or leave the crate. Visibilities (`pub(in ..)`) name
//! modules without importing from them.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use syn::{
    Attribute, ItemExternCrate, ItemMod, ItemUse, Lit, Macro, Meta, UseTree, VisRestricted,
    visit::{self, Visit},
};

/// The library's name: inside it, the same as `crate` if it says
/// `extern crate self as tower_delegation`.
const LIBRARY: &str = "tower_delegation";

/// One use of something that is declared in the crate's root.
#[derive(Debug)]
pub(super) struct Import {
    pub(super) line: usize,
    /// The top-level module that imports.
    pub(super) from: String,
    /// What follows `crate::`: a module, or an item that the root re-exports.
    /// `None` for the root itself: `crate::*`, `use crate as root`.
    pub(super) to: Option<String>,
}

/// One `mod` line.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) line: usize,
    /// The module's path from the crate's root.
    pub(super) path: Vec<String>,
    pub(super) is_inline: bool,
    /// Under `#[cfg(test)]`. What is inside is then not read.
    pub(super) is_test: bool,
}

/// What one file says about modules.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) imports: Vec<Import>,
    pub(super) children: Vec<Child>,
    /// The module that is being read.
    module: Vec<String>,
}

impl Reading {
    /// Reads the file that holds `module`; the empty path is the crate's root.
    pub(super) fn of(source: &str, module: &[String]) -> syn::Result<Self> {
        let file = syn::parse_file(source)?;
        let mut reading = Self { module: module.to_vec(), ..Self::default() };
        reading.visit_file(&file);
        Ok(reading)
    }

    /// Where a path stands after one more segment. Notes the import where the
    /// path leaves the crate's root.
    fn step(&mut self, position: Position, segment: &Ident, line: usize) -> Position {
        let name = segment.to_string();
        match (position, name.as_str()) {
            (Position::Start, "crate" | LIBRARY) => Position::Depth(0),
            (Position::Start, "self") => Position::Depth(self.module.len()),
            (Position::Start, "super") => Position::Depth(self.module.len().saturating_sub(1)),
            (Position::Depth(depth), "self") => Position::Depth(depth),
            (Position::Depth(depth), "super") => Position::Depth(depth.saturating_sub(1)),
            (Position::Depth(0), name) => {
                self.import(line, Some(name.trim_start_matches("r#").to_owned()));
                Position::Elsewhere
            }
            (Position::Start | Position::Depth(_) | Position::Elsewhere, _) => Position::Elsewhere,
        }
    }

    /// Notes an import of the whole root if a path ends there.
    fn end(&mut self, position: Position, line: usize) {
        if position == Position::Depth(0) {
            self.import(line, None);
        }
    }

    fn import(&mut self, line: usize, to: Option<String>) {
        // The crate's root itself may import whatever it likes.
        if let Some(from) = self.module.first() {
            let from = from.clone();
            self.imports.push(Import { line, from, to });
        }
    }

    fn use_tree(&mut self, tree: &UseTree, position: Position) {
        match tree {
            UseTree::Path(path) => {
                let next = self.step(position, &path.ident, line_of(&path.ident));
                self.use_tree(&path.tree, next);
            }
            UseTree::Name(name) => {
                let end = self.step(position, &name.ident, line_of(&name.ident));
                self.end(end, line_of(&name.ident));
            }
            UseTree::Rename(rename) => {
                let end = self.step(position, &rename.ident, line_of(&rename.ident));
                self.end(end, line_of(&rename.ident));
            }
            UseTree::Glob(glob) => self.end(position, glob.star_token.span.start().line),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.use_tree(tree, position);
                }
            }
        }
    }

    fn path(&mut self, path: &syn::Path, line: Option<usize>) {
        let mut position = Position::Start;
        for segment in &path.segments {
            let line = line.unwrap_or_else(|| line_of(&segment.ident));
            position = self.step(position, &segment.ident, line);
        }
    }

    /// Tokens that nothing has parsed: any `crate::`, `self::`, `super::`
    /// begins a path.
    fn tokens(&mut self, stream: TokenStream) {
        let tokens: Vec<_> = stream.into_iter().collect();
        let mut rest = tokens.as_slice();
        while let [first, after @ ..] = rest {
            rest = after;
            match first {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(ident) => {
                    if let Some(after) = after_colons(rest) {
                        let position = self.step(Position::Start, ident, line_of(ident));
                        rest = self.token_path(after, position, line_of(ident));
                    }
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }

    /// Follows a path, or a tree of them, from behind its first `::`. Returns
    /// the tokens that are left.
    fn token_path<'t>(
        &mut self,
        mut rest: &'t [TokenTree],
        mut position: Position,
        line: usize,
    ) -> &'t [TokenTree] {
        loop {
            match (position, rest) {
                (Position::Elsewhere, _) => return rest,
                (_, [TokenTree::Ident(segment), after @ ..]) => {
                    position = self.step(position, segment, line_of(segment));
                    match after_colons(after) {
                        Some(after) => rest = after,
                        None => {
                            self.end(position, line_of(segment));
                            return after;
                        }
                    }
                }
                (_, [TokenTree::Group(group), after @ ..]) if group.delimiter() == Delimiter::Brace => {
                    let tree: Vec<_> = group.stream().into_iter().collect();
                    for branch in tree.split(is_comma).filter(|branch| !branch.is_empty()) {
                        self.token_path(branch, position, line);
                    }
                    return after;
                }
                // `crate::*`, or `$crate::$module`, which may be any module.
                _ => {
                    self.end(position, line);
                    return rest;
                }
            }
        }
    }

    /// Paths that an attribute carries as strings: `#[serde(with = "crate::x")]`.
    fn strings(&mut self, stream: TokenStream) {
        for token in stream {
            match token {
                TokenTree::Group(group) => self.strings(group.stream()),
                TokenTree::Literal(literal) => {
                    let line = literal.span().start().line;
                    if let Lit::Str(text) = Lit::new(literal)
                        && let Ok(path) = text.parse::<syn::Path>()
                    {
                        self.path(&path, Some(line));
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

impl Visit<'_> for Reading {
    fn visit_item_mod(&mut self, item: &ItemMod) {
        self.module.push(item.ident.to_string());
        let is_test = item.attrs.iter().any(is_cfg_test);
        self.children.push(Child {
            line: line_of(&item.ident),
            path: self.module.clone(),
            is_inline: item.content.is_some(),
            is_test,
        });
        if !is_test {
            visit::visit_item_mod(self, item);
        }
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &ItemUse) {
        self.use_tree(&item.tree, Position::Start);
    }

    fn visit_item_extern_crate(&mut self, item: &ItemExternCrate) {
        if item.ident == "self" {
            self.import(line_of(&item.ident), None);
        }
    }

    fn visit_path(&mut self, path: &syn::Path) {
        self.path(path, None);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invocation: &Macro) {
        self.tokens(invocation.tokens.clone());
        visit::visit_macro(self, invocation);
    }

    fn visit_attribute(&mut self, attribute: &Attribute) {
        if attribute.path().is_ident("doc") {
            return;
        }
        if let Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
            self.strings(list.tokens.clone());
        }
        visit::visit_attribute(self, attribute);
    }

    fn visit_vis_restricted(&mut self, _: &VisRestricted) {}
}

/// Where a path stands while it is followed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Before its first segment.
    Start,
    /// In the module that encloses this one at this depth; the root is 0.
    Depth(usize),
    /// Out of sight: in another crate, or past the root's first segment.
    Elsewhere,
}

fn line_of(ident: &Ident) -> usize {
    ident.span().start().line
}

/// Is this `#[cfg(test)]`, or `#[cfg(all(test, ..))]`?
fn is_cfg_test(attribute: &Attribute) -> bool {
    fn demands_test(meta: &Meta) -> bool {
        match meta {
            Meta::Path(path) => path.is_ident("test"),
            Meta::List(list) if list.path.is_ident("all") => list
                .parse_args_with(syn::punctuated::Punctuated::<Meta, syn::Token![,]>::parse_terminated)
                .is_ok_and(|metas| metas.iter().any(demands_test)),
            Meta::List(_) | Meta::NameValue(_) => false,
        }
    }
    attribute.path().is_ident("cfg") && attribute.parse_args::<Meta>().is_ok_and(|meta| demands_test(&meta))
}

/// The tokens behind a `::`.
fn after_colons(tokens: &[TokenTree]) -> Option<&[TokenTree]> {
    match tokens {
        [TokenTree::Punct(first), TokenTree::Punct(second), after @ ..]
            if first.as_char() == ':' && second.as_char() == ':' =>
        {
            Some(after)
        }
        _ => None,
    }
}

fn is_comma(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',')
}
