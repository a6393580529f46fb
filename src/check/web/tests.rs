use super::*;

fn planned(text: &str, known: &str) -> Vec<(String, String, Expect)> {
    let path = std::path::Path::new("counter.toml");
    let stack = crate::stack::parse(path, text.as_bytes()).unwrap();
    let site = Setting::installed();
    let planner = Planner {
        stack: &stack,
        site: &site,
        front: Front::of(&stack),
    };
    let known = Ok(passwords::parse(known.as_bytes()));
    let mut asks = planner.app_asks();
    asks.extend(planner.host_asks());
    for served in &stack.sites {
        asks.extend(planner.site_asks(served, &[], &known).0);
    }
    asks.into_iter()
        .map(|ask| (ask.subject, ask.request.path, ask.expect))
        .collect()
}

#[test]
fn the_default_stack_is_asked_for_all_it_declares() {
    let expected = [
        ("app counter, socket", "/flask/api/ping", Expect::Alive),
        ("app counter, ready", "/flask/health/ready", Expect::Ready),
        (
            "http to https",
            "/",
            Expect::Redirected {
                to: "https://localhost/".into(),
            },
        ),
        ("site /", "/", Expect::Served),
        ("site /open", "/open/", Expect::Served),
        ("site /close, no password", "/close/", Expect::PasswordAsked),
        ("site /close, password", "/close/", Expect::LoggedIn),
        ("site /close, elsewhere", "/close/", Expect::AddressRefused),
        ("site /flask/", "/flask/api/ping", Expect::Served),
        ("site /tavern/, allowed", "/tavern/", Expect::Served),
        (
            "site /tavern/, elsewhere",
            "/tavern/",
            Expect::AddressRefused,
        ),
    ]
    .map(|(subject, path, expect)| (subject.to_owned(), path.to_owned(), expect));
    let found = planned(crate::stack::DEFAULT, "site close admin pw\n");
    assert_eq!(found, expected);
    // Without a kept password everything else is still asked.
    assert_eq!(planned(crate::stack::DEFAULT, "").len(), expected.len() - 1);
}

#[test]
fn a_stack_with_nothing_but_a_page() {
    let text = "name = \"counter\"\nhosts = [\"a.example\", \"b.example\"]\n[tls]\nissuer = \"self-signed\"\n[[site]]\npath = \"/\"\nstatic = \"main\"\n";
    let subjects: Vec<_> = planned(text, "")
        .into_iter()
        .map(|(subject, ..)| subject)
        .collect();
    assert_eq!(subjects, ["http to https", "name b.example", "site /"]);
}

#[test]
fn another_certificate_under_a_name_is_unhealthy() {
    let path = std::path::Path::new("counter.toml");
    let stack = crate::stack::parse(path, crate::stack::DEFAULT.as_bytes()).unwrap();
    let ask = Ask {
        stack: &stack,
        subject: "name b.example".into(),
        request: Request::get(Door::Unix("/x".into()), "/"),
        expect: Expect::Named,
        hints: Hints::default(),
        shows_certificate: false,
    };
    let answer = Ok(Answer {
        status: 200,
        certificate: Some(b"other".to_vec()),
        ..Answer::default()
    });
    let verdict = |file: &[u8]| {
        let leaves = Leaves::from([(stack.name.clone(), Some(file.to_vec()))]);
        ask.findings(&answer, &leaves)[0].verdict
    };
    assert_eq!(verdict(b"own"), Verdict::Unhealthy);
    assert_eq!(verdict(b"other"), Verdict::Healthy);
}

#[test]
fn sites_with_one_path_at_two_names_have_two_names() {
    let text = "name = \"counter\"\nhosts = [\"a.example\", \"b.example\"]\n[tls]\nissuer = \"self-signed\"\n\
                [[site]]\npath = \"/\"\nstatic = \"main\"\n\
                [[site]]\npath = \"/\"\nname = \"second\"\nhost = \"b.example\"\nstatic = \"main\"\n";
    let subjects: Vec<_> = planned(text, "")
        .into_iter()
        .map(|(subject, ..)| subject)
        .filter(|subject| subject.starts_with("site "))
        .collect();
    assert_eq!(subjects, ["site /", "site b.example/"]);
}
