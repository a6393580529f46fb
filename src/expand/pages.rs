use std::borrow::Cow;
use std::path::PathBuf;

use rust_embed::Embed;

use super::nginx::page_file;
use crate::model::{Layout, Mode};
use crate::resource::{Content, Desired, Directory, File, Keep, Owner, Resource};
use crate::stack::{ErrorPage, SiteContent, Stack};

/// What tavernctl carries below `www/`.
#[derive(Embed)]
#[folder = "www/"]
#[exclude = "docs/*"]
struct Pages;

/// A page or picture by its name below `www/`.
pub fn page(name: &str) -> Option<Cow<'static, [u8]>> {
    Pages::get(name).map(|file| file.data)
}

fn seeded_sites(stack: &Stack) -> impl Iterator<Item = &crate::model::Name> {
    stack.sites.iter().filter_map(|site| match &site.content {
        SiteContent::Seeded(name) => Some(name),
        _ => None,
    })
}

/// The pages for errors that the stack names without a path, each begun with one that says what happened.
fn error_pages<'a>(stack: &'a Stack, layout: &'a Layout) -> impl Iterator<Item = Desired> + 'a {
    let own = |page: &ErrorPage| matches!(page, ErrorPage::Seeded(_));
    let pages = stack.error_pages.iter().filter(move |(_, page)| own(page));
    pages.map(|(status, page)| {
        let known = format!("error/{status}.html");
        let name = match Pages::get(&known) {
            Some(_) => known,
            None => "error/any.html".to_owned(),
        };
        let file = File {
            path: page_file(stack, page, layout),
            mode: Mode(0o644),
            owner: Owner::root(),
            content: Content::Page(name),
            keep: Keep::Seeded,
        };
        Resource::File(file).into()
    })
}

/// The document roots.
pub(super) fn directories(stacks: &[Stack], layout: &Layout) -> Vec<Desired> {
    let directory = |path: PathBuf| {
        Resource::Directory(Directory {
            path,
            mode: Mode(0o755),
            owner: Owner::root(),
            keep: Keep::Seeded,
        })
        .into()
    };
    let mut desired = Vec::new();
    for stack in stacks {
        let has_pages = error_pages(stack, layout).next().is_some();
        if seeded_sites(stack).next().is_some() || has_pages {
            desired.push(directory(layout.www.join(stack.name.as_str())));
        }
        if has_pages {
            desired.push(directory(layout.error_pages(&stack.name)));
        }
        desired
            .extend(seeded_sites(stack).map(|site| directory(layout.site_root(&stack.name, site))));
    }
    desired
}

/// The pages a new site begins with: its own if tavernctl carries them, else one to be replaced.
pub(super) fn seeds(stack: &Stack, layout: &Layout) -> Vec<Desired> {
    let mut desired: Vec<Desired> = error_pages(stack, layout).collect();
    for site in seeded_sites(stack) {
        let own = format!("{}/{site}/", stack.name);
        let is_known = Pages::iter().any(|name| name.starts_with(&own));
        let prefix = if is_known { own.as_str() } else { "new/" };
        for name in Pages::iter().filter(|name| name.starts_with(prefix)) {
            let file = File {
                path: layout
                    .site_root(&stack.name, site)
                    .join(&name[prefix.len()..]),
                mode: Mode(0o644),
                owner: Owner::root(),
                content: Content::Page(name.to_string()),
                keep: Keep::Seeded,
            };
            desired.push(Resource::File(file).into());
        }
    }
    desired
}
