//! Hosts as people declare them, and as they change them.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::rig::Files;

/// A stack file's content, before it is text.
#[derive(Debug, Clone)]
pub(super) struct Stack {
    pub(super) name: &'static str,
    any_host: bool,
    extra_host: bool,
    sites: Vec<Site>,
    apps: Vec<App>,
    containers: Vec<Container>,
    openings: Vec<&'static str>,
    saves: bool,
    page: bool,
}

#[derive(Debug, Clone)]
struct Site {
    path: &'static str,
    name: &'static str,
    /// A directory of the owner's instead of seeded pages.
    own: bool,
    /// The place of the app that it leads to.
    app: Option<usize>,
    accounts: Vec<&'static str>,
    allow: Vec<&'static str>,
    any: bool,
}

#[derive(Debug, Clone)]
struct App {
    name: &'static str,
    accounts: Vec<&'static str>,
    key: Option<&'static str>,
    alias: bool,
}

#[derive(Debug, Clone)]
struct Container {
    role: &'static str,
    own_name: bool,
    image: &'static str,
    volume: Option<&'static str>,
}

/// Names that run into each other once they are joined with dashes.
const STACKS: [&str; 4] = ["a", "a-b", "b", "counter"];
const SITES: [(&str, &str); 5] = [
    ("/", "main"),
    ("/open", "open"),
    ("/x/y/", "b-x"),
    ("/z", "x"),
    ("/~old", "redirect"),
];
const ACCOUNTS: [&str; 2] = ["ann", "bob"];
const ALLOWED: [&str; 3] = ["127.0.0.1", "192.168.1.0/24", "::1"];

fn sites() -> impl Strategy<Value = Vec<Site>> {
    let site = |(path, name): (&'static str, &'static str)| {
        (
            prop::bool::weighted(0.2),
            prop::option::weighted(0.5, 0..2_usize),
            // Their hashes are slow on purpose.
            prop_oneof![4 => Just(Vec::new()), 1 => subsequence(&ACCOUNTS[..], 1..=1)],
            subsequence(&ALLOWED[..], 0..=2),
            any::<bool>(),
        )
            .prop_map(move |(own, app, accounts, allow, any)| Site {
                path,
                name,
                own,
                app,
                accounts,
                allow,
                any,
            })
    };
    subsequence(&SITES[..], 1..=4)
        .prop_flat_map(move |chosen| chosen.into_iter().map(site).collect::<Vec<_>>())
}

fn apps() -> impl Strategy<Value = Vec<App>> {
    let app = |name: &'static str| {
        (
            subsequence(&ACCOUNTS[..], 1..=1),
            prop::option::of(select(vec!["hits", "shop:count"])),
            prop::bool::weighted(0.3),
        )
            .prop_map(move |(accounts, key, alias)| App {
                name,
                accounts,
                key,
                alias,
            })
    };
    let names = prop_oneof![
        5 => Just(Vec::new()),
        4 => subsequence(vec!["api", "b-api", "counter"], 1..=1),
    ];
    names.prop_flat_map(move |names| names.into_iter().map(app).collect::<Vec<_>>())
}

fn containers() -> impl Strategy<Value = Vec<Container>> {
    let container = |role: &'static str| {
        (
            any::<bool>(),
            select(vec!["redis:7-alpine", "redis:8.2"]),
            prop::option::weighted(0.3, select(vec!["data", "more"])),
        )
            .prop_map(move |(own_name, image, volume)| Container {
                role,
                own_name,
                image: if role == "db" {
                    "postgres:15-alpine"
                } else {
                    image
                },
                volume,
            })
    };
    prop_oneof![
        6 => subsequence(vec!["redis", "cache"], 0..=1),
        1 => subsequence(vec!["redis", "cache"], 2..=2),
        2 => subsequence(vec!["redis", "db"], 1..=2)
    ]
    .prop_flat_map(move |roles| roles.into_iter().map(container).collect::<Vec<_>>())
}

fn stack(name: &'static str) -> impl Strategy<Value = Stack> {
    (
        any::<bool>(),
        sites(),
        apps(),
        containers(),
        subsequence(vec!["ssh", "80/tcp", "443/tcp", "8080/tcp"], 0..=4),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
    )
        .prop_map(
            move |(extra_host, sites, apps, containers, openings, saves, page)| Stack {
                name,
                any_host: false,
                extra_host,
                sites,
                apps,
                containers,
                openings,
                saves,
                page,
            },
        )
}

/// One to three stacks; one of them may answer to any name.
fn host() -> impl Strategy<Value = Vec<Stack>> {
    let names = prop_oneof![
        1 => subsequence(&STACKS[..], 1..=1),
        1 => subsequence(&STACKS[..], 2..=3),
        1 => Just(vec!["a", "a-b"])
    ];
    let stacks = names.prop_flat_map(|names| names.into_iter().map(stack).collect::<Vec<_>>());
    (stacks, prop::option::of(0..3_usize)).prop_map(|(mut stacks, any)| {
        if let Some(stack) = any.and_then(|index| stacks.get_mut(index)) {
            stack.any_host = true;
        }
        stacks
    })
}

/// A change that a person makes to what is declared.
#[derive(Debug, Clone)]
enum Edit {
    AddSite(usize, Site),
    RemoveSite(usize),
    ChangeSite(usize, Site),
    Apps(usize, Vec<App>),
    Containers(usize, Vec<Container>),
    Image(usize),
    Volume(usize),
    Hosts(usize),
    Backups(usize),
    Page(usize),
    Openings(usize, Vec<&'static str>),
    AddStack(Stack),
    RemoveStack(usize),
    Rename(usize, &'static str),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = || 0..3_usize;
    let one_site = || sites().prop_map(|sites| sites.into_iter().next_back());
    let site = || one_site().prop_filter_map("a site", |site| site);
    prop_oneof![
        (at(), site()).prop_map(|(at, site)| Edit::AddSite(at, site)),
        at().prop_map(Edit::RemoveSite),
        (at(), site()).prop_map(|(at, site)| Edit::ChangeSite(at, site)),
        (at(), apps()).prop_map(|(at, apps)| Edit::Apps(at, apps)),
        (at(), containers()).prop_map(|(at, containers)| Edit::Containers(at, containers)),
        at().prop_map(Edit::Image),
        at().prop_map(Edit::Volume),
        at().prop_map(Edit::Hosts),
        at().prop_map(Edit::Backups),
        at().prop_map(Edit::Page),
        (at(), subsequence(vec!["ssh", "80/tcp", "8080/tcp"], 0..=3))
            .prop_map(|(at, openings)| Edit::Openings(at, openings)),
        select(&STACKS[..])
            .prop_flat_map(stack)
            .prop_map(Edit::AddStack),
        at().prop_map(Edit::RemoveStack),
        (at(), select(&STACKS[..])).prop_map(|(at, name)| Edit::Rename(at, name)),
    ]
}

fn make(mut stacks: Vec<Stack>, edit: Edit) -> Vec<Stack> {
    let count = stacks.len();
    let mut change = |at: usize, with: &dyn Fn(&mut Stack)| with(&mut stacks[at % count]);
    match edit {
        Edit::AddSite(at, site) => change(at, &|stack| {
            if stack.sites.iter().all(|known| known.name != site.name) {
                stack.sites.push(site.clone());
            }
        }),
        Edit::RemoveSite(at) => change(at, &|stack| {
            if stack.sites.len() > 1 {
                stack.sites.pop();
            }
        }),
        Edit::ChangeSite(at, site) => change(at, &|stack| {
            let known = stack.sites.iter_mut().find(|known| known.name == site.name);
            if let Some(known) = known {
                *known = site.clone();
            }
        }),
        Edit::Apps(at, apps) => change(at, &|stack| stack.apps = apps.clone()),
        Edit::Containers(at, containers) => {
            change(at, &|stack| stack.containers = containers.clone());
        }
        Edit::Image(at) => change(at, &|stack| {
            for container in &mut stack.containers {
                container.image = if container.role == "db" {
                    "postgres:15.9-alpine"
                } else {
                    "redis:8.2"
                };
            }
        }),
        Edit::Volume(at) => change(at, &|stack| {
            for container in &mut stack.containers {
                container.volume = Some("moved");
            }
        }),
        Edit::Backups(at) => change(at, &|stack| stack.saves = !stack.saves),
        Edit::Page(at) => change(at, &|stack| stack.page = !stack.page),
        Edit::Hosts(at) => change(at, &|stack| stack.extra_host = !stack.extra_host),
        Edit::Openings(at, openings) => change(at, &|stack| stack.openings = openings.clone()),
        Edit::AddStack(stack) => {
            if stacks.iter().all(|known| known.name != stack.name) {
                stacks.push(stack);
            }
        }
        Edit::RemoveStack(at) => {
            if count > 1 {
                stacks.remove(at % count);
            }
        }
        Edit::Rename(at, name) => {
            if stacks.iter().all(|known| known.name != name) {
                stacks[at % count].name = name;
            }
        }
    }
    stacks
}

/// A pair of hosts: the second is another altogether, or the first with a few edits.
pub(super) fn pair() -> impl Strategy<Value = (Vec<Stack>, Vec<Stack>)> {
    let edited = (host(), prop::collection::vec(edit(), 1..=3)).prop_map(|(first, edits)| {
        let second = edits.into_iter().fold(first.clone(), make);
        (first, second)
    });
    prop_oneof![3 => edited, 1 => (host(), host())]
}

fn list(words: &[&str]) -> String {
    format!("{words:?}")
}

/// The stack files of a host.
pub(super) fn files(stacks: &[Stack]) -> Files {
    stacks
        .iter()
        .map(|stack| (stack.name.to_owned(), stack.text()))
        .collect()
}

impl Stack {
    fn text(&self) -> String {
        let hosts = match (self.any_host, self.extra_host) {
            (true, _) => "*".to_owned(),
            (false, false) => format!("{}.example", self.name),
            (false, true) => format!("{0}.example\", \"*.{0}.example", self.name),
        };
        let mut text = format!(
            "name = \"{}\"\nhosts = [\"{hosts}\"]\n[tls]\nissuer = \"self-signed\"\n",
            self.name
        );
        // An app without a container has nowhere to keep its count.
        let stores = self.containers.iter().map(|one| one.role);
        let stores: Vec<&str> = stores.filter(|role| *role != "db").collect();
        let apps: &[App] = if stores.is_empty() { &[] } else { &self.apps };
        for site in &self.sites {
            let _ = writeln!(
                text,
                "[[site]]\npath = \"{}\"\nname = \"{}\"",
                site.path, site.name
            );
            match site.app.and_then(|at| apps.get(at)) {
                Some(app) => text.push_str(&format!("app = \"{}\"\n", app.name)),
                None if site.own => text.push_str("static = \"/srv/pages\"\n"),
                None => text.push_str(&format!("static = \"{}\"\n", site.name)),
            }
            text.push_str(&site.access());
        }
        if self.page {
            text.push_str("[[site]]\npath = \"/tavern/\"\npage = \"status\"\n");
        }
        for (at, app) in apps.iter().enumerate() {
            let role = stores[at % stores.len()];
            let _ = writeln!(
                text,
                "[app.{}]\nserve = \"counter\"\nneeds = [\"{role}\"]\naccounts = {}",
                app.name,
                list(&app.accounts)
            );
            if let Some(key) = app.key {
                let _ = writeln!(text, "count-key = \"{key}\"");
            }
            if app.alias {
                // Each may stand once on a host. One that moves from app to app is not among these: see the report
                // of what a unit set aside for it is.
                let alias = match (self.name, app.name) {
                    ("counter", "counter") => "flask-app".to_owned(),
                    (stack, app) => format!("old-{stack}-{app}"),
                };
                let _ = writeln!(text, "alias = \"{alias}\"");
            }
        }
        for container in &self.containers {
            let _ = writeln!(
                text,
                "[container.{}]\nkind = \"{}\"\nimage = \"{}\"",
                container.role,
                if container.role == "db" {
                    "postgres"
                } else {
                    "redis"
                },
                container.image
            );
            if container.own_name {
                let _ = writeln!(text, "name = \"own-{}-{}\"", self.name, container.role);
            }
            if let Some(volume) = container.volume {
                let _ = writeln!(
                    text,
                    "volume = \"{}.{}.{volume}\"",
                    self.name, container.role
                );
            }
        }
        let _ = writeln!(text, "[firewall]\nallow = {}", list(&self.openings));
        if self.saves {
            let _ = writeln!(text, "[backup]\nto = \"/srv/backup\"");
        }
        text
    }
}

impl Site {
    fn access(&self) -> String {
        let mut rules = Vec::new();
        if !self.accounts.is_empty() {
            rules.push(format!("accounts = {}", list(&self.accounts)));
        }
        if !self.allow.is_empty() {
            rules.push(format!("allow = {}", list(&self.allow)));
        }
        if rules.is_empty() {
            return String::new();
        }
        let require = if self.any { "any" } else { "all" };
        rules.push(format!("require = \"{require}\""));
        format!("access = {{ {} }}\n", rules.join(", "))
    }
}
