use super::*;

/// What is there for the page, and only with it; once, however many stacks show it.
#[test]
fn the_status_page_is_as_reviewed() {
    let text = "name = \"b\"\nhosts = [\"b.example\"]\n[tls]\nissuer = \"self-signed\"\n\
                [[site]]\npath = \"/tavern/\"\npage = \"status\"\n";
    let other = parse(Path::new("b.toml"), text.as_bytes()).unwrap();
    let closed = "page = \"status\"";
    let own = "access = { accounts = [\"ann\"] }\npage = \"status\"";
    let stacks = [stack(closed, own), other];
    let desired = expand(&stacks, &facts(), &Layout::system(), &Edge::public()).unwrap();
    let ids: Vec<String> = desired
        .iter()
        .map(|d| d.resource.id().to_string())
        .collect();
    let about: Vec<&String> = ids.iter().filter(|id| id.contains("status")).collect();
    let mut shown = format!("{about:#?}\n");
    for path in [
        "/etc/systemd/system/tavern-status.socket",
        "/etc/systemd/system/tavern-status.service",
        "/etc/tmpfiles.d/tavern.conf",
        "/etc/sysusers.d/tavern.conf",
        "/etc/nginx/sites-available/tavern-b.conf",
    ] {
        shown.push_str(&format!("== {path}\n{}", text_of(&desired, path)));
    }
    insta::assert_snapshot!(shown);
    let none = [stack(closed, "static = \"status\"")];
    let without = expand(&none, &facts(), &Layout::system(), &Edge::public()).unwrap();
    assert!(
        !without
            .iter()
            .any(|d| d.resource.id().to_string().contains("tavern-status"))
    );
}
