//! The library's modules and the names in them: which file a path leads to.

use std::collections::BTreeMap;

use syn::{Item, UseTree, Visibility};

use super::imports::{LIBRARY, is_cfg_test};

/// A module, by the names that lead to it from the crate's root.
pub(super) type ModulePath = Vec<String>;

/// One file that is read.
pub(super) struct Source {
    /// Its place below the library's sources.
    pub(super) file: String,
    pub(super) module: ModulePath,
    pub(super) syntax: syn::File,
}

/// All modules, those of the tests left out.
#[derive(Default)]
pub(super) struct Library {
    modules: BTreeMap<ModulePath, Module>,
}

#[derive(Default)]
struct Module {
    /// Whether it is written out in the file of the module around it.
    is_inline: bool,
    items: BTreeMap<String, Defined>,
    uses: Vec<Use>,
}

/// What an item is, as far as it matters here.
#[derive(Default)]
pub(super) struct Defined {
    pub(super) is_public: bool,
    /// The type that a type alias stands for.
    pub(super) alias: Option<syn::Type>,
}

/// One name that a `use` line of a module brings.
struct Use {
    /// `None` for a glob.
    name: Option<String>,
    /// As it is written.
    path: Vec<String>,
    is_re_export: bool,
}

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    Module(ModulePath),
    /// An item, and the module that defines it.
    Item(ModulePath, String),
    /// Another crate, with what is named of it.
    Foreign(Vec<String>),
    /// No module and no `use` line knows the first name: it is of the prelude, or
    /// a generic parameter.
    Unknown,
}

impl Place {
    /// The module of the library that it is in.
    pub(super) fn module(&self) -> Option<&[String]> {
        match self {
            Self::Module(module) | Self::Item(module, _) => Some(module),
            Self::Foreign(_) | Self::Unknown => None,
        }
    }
}

/// `use` lines may lead on to others; more than this many are a circle.
const MAX_USES: usize = 32;

impl Library {
    pub(super) fn of(sources: &[Source]) -> Self {
        let mut library = Self::default();
        for source in sources {
            for (module, items) in scopes(source) {
                let is_inline = module != source.module;
                let names = library.modules.entry(module).or_default();
                names.is_inline = is_inline;
                items.iter().for_each(|item| names.add(item));
            }
        }
        library
    }

    pub(super) fn has(&self, module: &[String]) -> bool {
        self.modules.contains_key(module)
    }

    /// The module whose file a module is written in.
    pub(super) fn file_module<'m>(&self, module: &'m [String]) -> &'m [String] {
        let mut module = module;
        while let [around @ .., _] = module
            && self.modules.get(module).is_some_and(|known| known.is_inline)
        {
            module = around;
        }
        module
    }

    /// Whether a `pub use` of the module brings this name, in whatever visibility.
    pub(super) fn re_exports(&self, module: &[String], name: &str) -> bool {
        let uses = self.modules.get(module).into_iter().flat_map(|module| &module.uses);
        uses.into_iter().any(|line| line.is_re_export && line.name.as_deref() == Some(name))
    }

    pub(super) fn item(&self, module: &[String], name: &str) -> Option<&Defined> {
        self.modules.get(module)?.items.get(name)
    }

    /// Where a path leads that is written in `module`.
    pub(super) fn find(&self, module: &[String], written: &[String]) -> Place {
        self.find_within(module, written, MAX_USES)
    }

    /// Where a path from the crate's root leads.
    pub(super) fn find_from_root(&self, path: &[String]) -> Place {
        self.walk_on(Vec::new(), path, MAX_USES)
    }

    fn find_within(&self, module: &[String], written: &[String], uses: usize) -> Place {
        let [first, rest @ ..] = written else { return Place::Module(module.to_vec()) };
        match first.as_str() {
            "crate" | LIBRARY => self.walk_on(Vec::new(), rest, uses),
            "self" => self.walk_on(module.to_vec(), rest, uses),
            "super" => {
                let parent = module.split_last().map_or(&[][..], |(_, parent)| parent);
                match rest {
                    [next, ..] if next == "super" => self.find_within(parent, rest, uses),
                    _ => self.walk_on(parent.to_vec(), rest, uses),
                }
            }
            first if self.has_child(module, first) => self.walk_on(module.to_vec(), written, uses),
            _ => match self.walk(module.to_vec(), written, uses) {
                Place::Unknown if rest.is_empty() => Place::Unknown,
                Place::Unknown => Place::Foreign(written.to_vec()),
                place => place,
            },
        }
    }

    /// Follows names that do lead into the library. One that is not found there is
    /// made by a macro.
    fn walk_on(&self, at: ModulePath, names: &[String], uses: usize) -> Place {
        match self.walk(at.clone(), names, uses) {
            Place::Unknown => {
                let mut at = at;
                for name in names {
                    if !self.has_child(&at, name) {
                        return Place::Item(at, name.clone());
                    }
                    at.push(name.clone());
                }
                Place::Module(at)
            }
            place => place,
        }
    }

    /// Follows names from a module on.
    fn walk(&self, mut at: ModulePath, names: &[String], uses: usize) -> Place {
        let mut names = names;
        while let [name, rest @ ..] = names {
            at.push(name.clone());
            if self.has(&at) {
                names = rest;
                continue;
            }
            at.pop();
            let Some(module) = self.modules.get(&at) else { return Place::Unknown };
            if module.items.contains_key(name) {
                return Place::Item(at, name.clone());
            }
            let Some(uses) = uses.checked_sub(1) else { return Place::Unknown };
            for line in module.uses.iter().filter(|line| line.name.as_ref() == Some(name)) {
                let path: Vec<_> = line.path.iter().chain(rest).cloned().collect();
                // `use http;` and the like would find themselves.
                let place = if line.path.first() == Some(name) && !self.has_child(&at, name) {
                    Place::Foreign(path)
                } else {
                    self.find_within(&at, &path, uses)
                };
                if place != Place::Unknown {
                    return place;
                }
            }
            for line in module.uses.iter().filter(|line| line.name.is_none()) {
                let path: Vec<_> = line.path.iter().chain(names).cloned().collect();
                // Not what is only taken to be there.
                if let Place::Item(module, name) = self.find_within(&at, &path, uses)
                    && self.item(&module, &name).is_some()
                {
                    return Place::Item(module, name);
                }
            }
            return Place::Unknown;
        }
        Place::Module(at)
    }

    fn has_child(&self, module: &[String], name: &str) -> bool {
        let mut child = module.to_vec();
        child.push(name.to_owned());
        self.has(&child)
    }
}

impl Module {
    fn add(&mut self, item: &Item) {
        let (name, is_public, alias) = match item {
            Item::Const(item) => (&item.ident, &item.vis, None),
            Item::Enum(item) => (&item.ident, &item.vis, None),
            Item::Fn(item) => (&item.sig.ident, &item.vis, None),
            Item::Static(item) => (&item.ident, &item.vis, None),
            Item::Struct(item) => (&item.ident, &item.vis, None),
            Item::Trait(item) => (&item.ident, &item.vis, None),
            Item::Type(item) => (&item.ident, &item.vis, Some((*item.ty).clone())),
            Item::Union(item) => (&item.ident, &item.vis, None),
            Item::Macro(item) => {
                let Some(name) = &item.ident else { return };
                self.items.insert(name.to_string(), Defined::default());
                return;
            }
            Item::Use(item) => {
                let is_re_export = !matches!(item.vis, Visibility::Inherited);
                return self.add_use(&item.tree, &mut Vec::new(), is_re_export);
            }
            _ => return,
        };
        let is_public = matches!(is_public, Visibility::Public(_));
        self.items.insert(name.to_string(), Defined { is_public, alias });
    }

    fn add_use(&mut self, tree: &UseTree, path: &mut Vec<String>, is_re_export: bool) {
        match tree {
            UseTree::Path(segment) => {
                path.push(name_of(&segment.ident));
                self.add_use(&segment.tree, path, is_re_export);
                path.pop();
            }
            UseTree::Name(leaf) => {
                let mut path = path.clone();
                if leaf.ident != "self" {
                    path.push(name_of(&leaf.ident));
                }
                self.uses.push(Use { name: path.last().cloned(), path, is_re_export });
            }
            UseTree::Rename(leaf) => {
                let mut path = path.clone();
                if leaf.ident != "self" {
                    path.push(name_of(&leaf.ident));
                }
                self.uses.push(Use { name: Some(name_of(&leaf.rename)), path, is_re_export });
            }
            UseTree::Glob(_) => self.uses.push(Use { name: None, path: path.clone(), is_re_export }),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_use(tree, path, is_re_export);
                }
            }
        }
    }
}

/// The module of a file and those written out in it, each with its items. Those of
/// the tests are left out.
pub(super) fn scopes(source: &Source) -> Vec<(ModulePath, &[Item])> {
    fn add<'s>(module: ModulePath, items: &'s [Item], all: &mut Vec<(ModulePath, &'s [Item])>) {
        for item in items {
            if let Item::Mod(inner) = item
                && let Some((_, items)) = &inner.content
                && !inner.attrs.iter().any(is_cfg_test)
            {
                let mut module = module.clone();
                module.push(name_of(&inner.ident));
                add(module, items, all);
            }
        }
        all.push((module, items));
    }
    let mut all = Vec::new();
    add(source.module.clone(), &source.syntax.items, &mut all);
    all
}

pub(super) fn name_of(ident: &proc_macro2::Ident) -> String {
    ident.to_string().trim_start_matches("r#").to_owned()
}

/// The names that occur, for messages.
pub(super) fn shown(path: &[String]) -> String {
    path.join("::")
}
