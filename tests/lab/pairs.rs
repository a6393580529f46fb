//! What a plan says is what is done: over many changes of the stack files, step by step as the journal has it, and
//! nothing is left to do afterwards.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;
use tavern::plan::SCHEMA;
use tavern::resource::{Action, Resource};

use crate::points::note;
use crate::site::host_with_binary;
use crate::support::lab::{Host, Image, redis_image_tar};

const PAIRS: usize = 30;

#[test]
fn what_is_planned_is_what_is_done() {
    let host = host_with_binary(Image::TrixiePrepared, "pairs13");
    host.load_image(&redis_image_tar());
    host.ok("docker tag redis:7-alpine redis:7 && mkdir -p /srv/pages && echo OWN >/srv/pages/index.html");
    host.ok("ufw allow 22/tcp && ufw --force enable && /root/tavernctl install --yes");
    let schema = serde_json::from_str(SCHEMA).expect("JSON");
    let judge = jsonschema::validator_for(&schema).expect("a schema");
    let began = Instant::now();
    let (mut seen, mut steps) = (BTreeSet::new(), 0);
    let mut generation = 1;
    let mut from = Stacks::default();
    let mut chance = Chance(0x7a76_6572_6e31_3931);
    for pair in 0..PAIRS {
        let to = from.changed(pair, &mut chance);
        let name = format!("pair {pair}: {from:?} -> {to:?}");
        generation += 1;
        let told = Told::of(&host, &to, generation, &name);
        assert!(judge.is_valid(&told.plan), "{name}\n{}", told.plan);
        let planned = planned(&told.plan);
        assert!(!planned.is_empty(), "{name}");
        assert_eq!(printed(&told.text), shown(&planned), "{name}");
        assert_eq!(journaled(&told.journal), planned, "{name}");
        steps += planned.len();
        seen.extend(planned.iter().map(|step| {
            let kind = step.id.split(':').next().unwrap_or_default();
            format!("{}{kind}", step.action.sign())
        }));
        from = to;
    }
    // Without these the pairs would show little.
    for change in [
        "+file",
        "~file",
        "-file",
        "+link",
        "-link",
        "+directory",
        "-directory",
        "+unit",
        "~unit",
        "↻unit",
        "-unit",
        "+container",
        "~container",
        "-container",
        "+firewall",
        "-firewall",
        "~nginx",
        "+htpasswd",
        "~htpasswd",
        "+credential",
        "~certificate",
    ] {
        assert!(seen.contains(change), "no {change} in {seen:?}");
    }
    note(&format!(
        "{PAIRS} pairs of stack files on {}: {steps} steps planned, journaled alike, nothing left; {:.0} s",
        Image::TrixiePrepared.name(),
        began.elapsed().as_secs_f32()
    ));
}

/// Numbers that look random and are the same in every run (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).expect("a small number")
    }
}

/// How many variants each part of the stack files has; [`Stacks`] holds one of each.
const VARIANTS: [usize; 10] = [3, 4, 2, 6, 4, 3, 5, 4, 3, 3];

/// The stack files of a host: which variant of each part they have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Stacks([usize; VARIANTS.len()]);

impl Stacks {
    /// Others, in whose texts one to three parts differ: each part has its turn.
    fn changed(&self, turn: usize, chance: &mut Chance) -> Self {
        let mut other = *self;
        let mut part = turn % VARIANTS.len();
        for _ in 0..=chance.below(3) {
            other.change(part, chance);
            part = chance.below(VARIANTS.len());
        }
        // A part of an app that is not there, or one that was changed and changed back.
        while other.files() == self.files() {
            other.change(chance.below(VARIANTS.len()), chance);
        }
        other
    }

    fn change(&mut self, part: usize, chance: &mut Chance) {
        let variants = VARIANTS[part];
        self.0[part] = (self.0[part] + 1 + chance.below(variants - 1)) % variants;
    }

    /// The name and text of each file.
    fn files(&self) -> Vec<(&'static str, String)> {
        let third = match self.0[8] {
            0 => None,
            1 => Some(
                "[[site]]\npath = \"/\"\nstatic = \"pages\"\naccess = { allow = [\"127.0.0.1\"] }\n",
            ),
            _ => Some(
                "[[site]]\npath = \"/api/\"\napp = \"api\"\n[app.api]\nserve = \"counter\"\nneeds = [\"store\"]\n\
                 accounts = [\"carol\"]\n[container.store]\nkind = \"redis\"\nimage = \"redis:7-alpine\"\n",
            ),
        };
        let mut files = vec![("counter", self.counter())];
        files.extend(self.second().map(|text| ("second", text)));
        files.extend(third.map(|text| {
            (
                "third",
                format!("{}{text}", head("third", "\"third.example\"")),
            )
        }));
        files
    }

    fn counter(&self) -> String {
        let [
            hosts,
            open,
            own,
            close,
            api,
            accounts,
            container,
            _,
            _,
            firewall,
        ] = self.0;
        let hosts = [
            "\"*\"",
            "\"tavern.example\"",
            "\"tavern.example\", \"www.tavern.example\"",
        ][hosts];
        let mut text = head("counter", hosts);
        text += "[[site]]\npath = \"/\"\nname = \"main\"\nstatic = \"main\"\n";
        text += [
            "[[site]]\npath = \"/open\"\nname = \"open\"\nstatic = \"open\"\n",
            "[[site]]\npath = \"/notes\"\nname = \"open\"\nstatic = \"open\"\n",
            "[[site]]\npath = \"/open\"\nname = \"leaflets\"\nstatic = \"leaflets\"\n",
            "",
        ][open];
        text += [
            "",
            "[[site]]\npath = \"/own\"\nname = \"own\"\nstatic = \"/srv/pages\"\n",
        ][own];
        let access = [
            r#"{ accounts = ["admin"], allow = ["127.0.0.1", "::1", "10.0.0.5"], require = "all" }"#,
            r#"{ accounts = ["admin"], allow = ["127.0.0.1", "::1", "10.0.0.5"], require = "any" }"#,
            r#"{ accounts = ["admin", "guest"], allow = ["127.0.0.1"], require = "all" }"#,
            r#"{ accounts = ["guest"] }"#,
            r#"{ allow = ["127.0.0.1", "192.168.7.0/24"] }"#,
            "",
        ][close];
        text += "[[site]]\npath = \"/close\"\nname = \"close\"\nstatic = \"close\"\n";
        if !access.is_empty() {
            let _ = writeln!(text, "access = {access}");
        }
        let alias = ["alias = \"flask-app\"", "alias = \"flask-two\"", ""].get(api);
        if let Some(alias) = alias {
            let accounts = ["\"admin\"", "\"admin\", \"bob\"", "\"bob\""][accounts];
            let container = [
                "name = \"redis-flask\"\nimage = \"redis:7-alpine\"\nvolume = \"redis-flask-data\"",
                "name = \"redis-flask\"\nimage = \"redis:7-alpine\"\nvolume = \"spare-data\"",
                "name = \"redis-two\"\nimage = \"redis:7-alpine\"\nvolume = \"redis-flask-data\"",
                "name = \"redis-flask\"\nimage = \"redis:7\"\nvolume = \"redis-flask-data\"",
                "image = \"redis:7\"",
            ][container];
            let _ = writeln!(
                text,
                "[[site]]\npath = \"/flask/\"\nname = \"flask\"\napp = \"counter\"\n\
                 [app.counter]\nserve = \"counter\"\nneeds = [\"redis\"]\naccounts = [{accounts}]\n{alias}\n\
                 [container.redis]\nkind = \"redis\"\n{container}"
            );
        }
        let more = ["", ", \"8080/tcp\"", ", \"8080/tcp\", \"9000/tcp\""][firewall];
        let _ = writeln!(
            text,
            "[firewall]\nallow = [\"ssh\", \"80/tcp\", \"443/tcp\"{more}]"
        );
        text
    }

    fn second(&self) -> Option<String> {
        let (hosts, rest) = match self.0[7] {
            0 => return None,
            1 => ("\"second.example\"", ""),
            2 => ("\"second.example\"", "access = { accounts = [\"dora\"] }\n"),
            _ => (
                "\"second.example\", \"*.second.example\"",
                "[firewall]\nallow = [\"8443/tcp\", \"9000/tcp\"]\n",
            ),
        };
        let site = "[[site]]\npath = \"/\"\nstatic = \"pages\"\n";
        Some(format!("{}{site}{rest}", head("second", hosts)))
    }
}

fn head(name: &str, hosts: &str) -> String {
    format!("name = \"{name}\"\nhosts = [{hosts}]\n[tls]\nissuer = \"self-signed\"\n")
}

/// What a host told while its stack files were changed.
struct Told {
    /// The plan, as a person reads it.
    text: String,
    plan: Value,
    journal: String,
}

impl Told {
    /// Changes them, in one go: a host of the lab takes long to be asked.
    fn of(host: &Host, stacks: &Stacks, generation: u64, name: &str) -> Self {
        let mut script = "rm /etc/tavern/stacks/*.toml\n".to_owned();
        for (name, text) in stacks.files() {
            let path = Path::new("/etc/tavern/stacks").join(format!("{name}.toml"));
            let _ = writeln!(script, "cat >{} <<'END'\n{text}END", path.display());
        }
        let journal = format!("cat /var/lib/tavern/generations/{generation}/journal.jsonl");
        for command in [
            "tavernctl plan",
            "tavernctl plan --json",
            "tavernctl install --yes 2>&1",
            &journal,
            "tavernctl plan",
        ] {
            let _ = writeln!(script, "{command}; printf '\\036%s\\036' $?");
        }
        let output = host.sh(&script);
        let told: Vec<&str> = output.stdout.split('\u{1e}').collect();
        let [
            text,
            two,
            plan,
            also_two,
            said,
            zero,
            journal,
            found,
            left,
            settled,
            "",
        ] = told[..]
        else {
            panic!("{name}\n{output}");
        };
        let codes = [two, also_two, zero, found, settled];
        assert_eq!(
            codes,
            ["2", "2", "0", "0", "0"],
            "{name}\n{said}\n{left}\n{output}"
        );
        Self {
            text: text.to_owned(),
            plan: serde_json::from_str(plan).expect("JSON"),
            journal: journal.to_owned(),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Step {
    action: Action,
    id: String,
    restarts: Vec<String>,
    after_commit: bool,
}

/// The steps of a plan as JSON.
fn planned(plan: &Value) -> Vec<Step> {
    let steps = plan["steps"].as_array().expect("steps");
    steps
        .iter()
        .map(|step| Step {
            action: serde_json::from_value(step["action"].clone()).expect("an action"),
            id: step["id"].as_str().expect("an id").to_owned(),
            restarts: texts(&step["restarts"]),
            after_commit: step["after_commit"].as_bool().expect("after_commit"),
        })
        .collect()
}

/// The steps of a journal.
fn journaled(journal: &str) -> Vec<Step> {
    let mut after_commit = false;
    let mut steps = Vec::new();
    for line in journal.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        after_commit |= line.get("commit").is_some();
        let Some(step) = line.get("step") else {
            continue;
        };
        let resource: Resource = serde_json::from_value(step["resource"].clone()).expect("one");
        steps.push(Step {
            action: serde_json::from_value(step["action"].clone()).expect("an action"),
            id: resource.id().to_string(),
            restarts: texts(&step["restarts"]),
            after_commit,
        });
    }
    steps
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|text| Some(text.as_str()?.to_owned()))
        .collect()
}

/// The sign and name of each step, as a person reads them.
fn shown(steps: &[Step]) -> Vec<String> {
    let steps = steps.iter();
    steps
        .map(|step| format!("{} {}", step.action.sign(), step.id))
        .collect()
}

/// The same of a printed plan: what is set in is about the step above it.
fn printed(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| Some(line.split_once("  (")?.0.to_owned()))
        .collect()
}
