//! What one source file imports from the library's modules.
//!
//! Every way of naming a module counts: `use` trees, paths in types and
//! expressions, the tokens of macros, and paths that attributes carry as
//! strings. Visibilities (`pub(in ..)`) name modules without importing from them.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use syn::{
    Attribute, ItemExternCrate, ItemMod, ItemUse, Lit, Macro, Meta, UseTree, VisRestricted, Visibility,
    visit::{self, Visit},
};

use super::library::{ModulePath, name_of};

/// The library's name: inside it, the same as `crate` if it says
/// `extern crate self as tower_delegation`.
pub(super) const LIBRARY: &str = "tower_delegation";

/// One use of something that a module of the library declares.
#[derive(Debug)]
pub(super) struct Import {
    pub(super) line: usize,
    /// The module that imports, from the crate's root.
    pub(super) from: ModulePath,
    /// What is named, from the crate's root. Empty for the root itself:
    /// `crate::*`, `use crate as root`.
    pub(super) to: Vec<String>,
    pub(super) form: Form,
}

/// How something is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// By a `use` that others see, or that at least has a visibility.
    ReExport,
    /// By a path that begins with `crate`, `self` or `super`.
    Path,
    /// By a name, which may be one of this module, or anything else.
    Name,
}

/// One `mod` line.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) line: usize,
    /// The module's path from the crate's root.
    pub(super) path: ModulePath,
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
    module: ModulePath,
}

impl Reading {
    /// Reads the file that holds `module`; the empty path is the crate's root.
    pub(super) fn of(syntax: &syn::File, module: &[String]) -> Self {
        let mut reading = Self { module: module.to_vec(), ..Self::default() };
        reading.visit_file(syntax);
        reading
    }

    /// Where a path stands after one more segment.
    fn step(&self, position: Position, segment: &Ident) -> Position {
        let name = name_of(segment);
        match (position, name.as_str()) {
            (Position::Start, "crate" | LIBRARY) => Position::Rooted(Vec::new()),
            (Position::Start, "self") => Position::Rooted(self.module.clone()),
            (Position::Start, "super") => Position::Rooted(parent(&self.module)),
            (Position::Rooted(module), "self") => Position::Rooted(module),
            (Position::Rooted(module), "super") => Position::Rooted(parent(&module)),
            (Position::Start, _) => {
                let mut path = self.module.clone();
                path.push(name);
                Position::Named(path)
            }
            (Position::Rooted(mut path), _) => {
                path.push(name);
                Position::Rooted(path)
            }
            (Position::Named(mut path), _) => {
                path.push(name);
                Position::Named(path)
            }
        }
    }

    /// Notes what a path names.
    fn end(&mut self, position: Position, line: usize) {
        match position {
            Position::Start => {}
            Position::Rooted(to) => self.import(line, to, Form::Path),
            Position::Named(to) => self.import(line, to, Form::Name),
        }
    }

    fn import(&mut self, line: usize, to: Vec<String>, form: Form) {
        // The crate's root itself may import whatever it likes.
        if !self.module.is_empty() {
            self.imports.push(Import { line, from: self.module.clone(), to, form });
        }
    }

    fn use_tree(&mut self, tree: &UseTree, position: Position, is_re_export: bool) {
        let (end, line) = match tree {
            UseTree::Path(path) => {
                let next = self.step(position, &path.ident);
                return self.use_tree(&path.tree, next, is_re_export);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.use_tree(tree, position.clone(), is_re_export);
                }
                return;
            }
            UseTree::Name(name) if name.ident == "self" => (position, line_of(&name.ident)),
            UseTree::Name(name) => (self.step(position, &name.ident), line_of(&name.ident)),
            UseTree::Rename(rename) if rename.ident == "self" => (position, line_of(&rename.ident)),
            UseTree::Rename(rename) => (self.step(position, &rename.ident), line_of(&rename.ident)),
            UseTree::Glob(glob) => (position, glob.star_token.span.start().line),
        };
        match end {
            Position::Rooted(to) | Position::Named(to) if is_re_export => {
                self.import(line, to, Form::ReExport)
            }
            end => self.end(end, line),
        }
    }

    fn path(&mut self, path: &syn::Path, line: Option<usize>) {
        let mut position = Position::Start;
        for segment in &path.segments {
            position = self.step(position, &segment.ident);
        }
        let Some(last) = path.segments.last() else { return };
        if path.leading_colon.is_none() || path.segments.first().is_some_and(|first| first.ident == LIBRARY) {
            self.end(position, line.unwrap_or_else(|| line_of(&last.ident)));
        }
    }

    /// Tokens that nothing has parsed: any `name::` begins a path, and so may a name
    /// alone that looks like a type or is called.
    fn tokens(&mut self, stream: TokenStream) {
        let tokens: Vec<_> = stream.into_iter().collect();
        let mut rest = tokens.as_slice();
        let mut is_member = false;
        while let [first, after @ ..] = rest {
            rest = after;
            match first {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(ident) => {
                    let position = self.step(Position::Start, ident);
                    if is_member {
                        // A field or a method.
                    } else if let Some(after) = after_colons(rest) {
                        rest = self.token_path(after, position, line_of(ident));
                    } else if is_named_alone(ident, rest) && matches!(position, Position::Named(_)) {
                        self.end(position, line_of(ident));
                    }
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            is_member = matches!(first, TokenTree::Punct(punct) if punct.as_char() == '.');
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
            match rest {
                [TokenTree::Ident(segment), after @ ..] => {
                    position = self.step(position, segment);
                    match after_colons(after) {
                        Some(after) => rest = after,
                        None => {
                            self.end(position, line_of(segment));
                            return after;
                        }
                    }
                }
                [TokenTree::Group(group), after @ ..] if group.delimiter() == Delimiter::Brace => {
                    let tree: Vec<_> = group.stream().into_iter().collect();
                    for branch in tree.split(is_comma).filter(|branch| !branch.is_empty()) {
                        self.token_path(branch, position.clone(), line);
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
        if item.leading_colon.is_some() && !matches!(&item.tree, UseTree::Path(path) if path.ident == LIBRARY)
        {
            return;
        }
        let is_re_export = !matches!(item.vis, Visibility::Inherited);
        self.use_tree(&item.tree, Position::Start, is_re_export);
    }

    fn visit_item_extern_crate(&mut self, item: &ItemExternCrate) {
        if item.ident == "self" {
            self.import(line_of(&item.ident), Vec::new(), Form::Path);
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
#[derive(Clone)]
enum Position {
    /// Before its first segment.
    Start,
    /// At this path from the crate's root.
    Rooted(ModulePath),
    /// At this path from the crate's root, if its first segment is a name of the module.
    Named(ModulePath),
}

fn parent(module: &[String]) -> ModulePath {
    module.split_last().map(|(_, parent)| parent.to_vec()).unwrap_or_default()
}

/// Whether a name in the tokens of a macro is a type's or a call's.
fn is_named_alone(ident: &Ident, after: &[TokenTree]) -> bool {
    let is_call =
        matches!(after, [TokenTree::Group(group), ..] if group.delimiter() == Delimiter::Parenthesis);
    is_call || ident.to_string().starts_with(|first: char| first.is_ascii_uppercase())
}

fn line_of(ident: &Ident) -> usize {
    ident.span().start().line
}

/// Is this `#[cfg(test)]`, or `#[cfg(all(test, ..))]`?
pub(super) fn is_cfg_test(attribute: &Attribute) -> bool {
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
