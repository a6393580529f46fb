use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const fn secs(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn mends() -> impl Strategy<Value = Mend> {
    prop::sample::select(Mend::ALL.to_vec())
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => prop::sample::select(Sight::ALL.to_vec()).prop_map(Event::Seen),
        2 => Just(Event::Died),
        2 => Just(Event::Tick),
        1 => prop::option::of(mends()).prop_map(|done| Event::Mended(Mended::Done(done))),
        1 => Just(Event::Mended(Mended::Busy)),
        1 => mends().prop_map(|mend| Event::Mended(Mended::Failed(mend))),
        1 => Just(Event::Held),
        1 => Just(Event::Unheld),
    ]
}

/// Events with the milliseconds before each.
fn stories() -> impl Strategy<Value = Vec<(u64, Event)>> {
    prop::collection::vec((0..20_000u64, events()), 1..200)
}

/// Plays a story; gives each moment with the state before, the event, the state after and its effects.
fn play(story: &[(u64, Event)]) -> Vec<(Moment, State, Event, State, Vec<Effect>)> {
    let (mut now, mut state) = (Duration::ZERO, State::default());
    let mut told = Vec::new();
    for (wait, event) in story {
        now += Duration::from_millis(*wait);
        let (next, effects) = step(&state, *event, now);
        told.push((now, state, *event, next.clone(), effects));
        state = next;
    }
    told
}

/// The moments of mends, each with how many there were in a row by then.
fn times(told: &[(Moment, State, Event, State, Vec<Effect>)]) -> Vec<(Moment, u32)> {
    let is_mend = |effect: &Effect| matches!(effect, Effect::Mend(_));
    told.iter()
        .filter(|(.., effects)| effects.iter().any(is_mend))
        .map(|(now, .., after, _)| (*now, after.mends))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn never_two_mends_within_the_pause(story in stories()) {
        let told = play(&story);
        for (index, pair) in times(&told).windows(2).enumerate() {
            let ((first, count), (second, _)) = (pair[0], pair[1]);
            let busy = |(now, _, event, ..): &&(Moment, State, Event, State, Vec<Effect>)| {
                *now >= first && *now <= second && *event == Event::Mended(Mended::Busy)
            };
            // One that found another run at work has done nothing: it may come sooner.
            let least = if told.iter().any(|one| busy(&one)) { FIRST_PAUSE } else { pause(count) };
            prop_assert!(second - first >= least, "mend {index}: {first:?}, {second:?}");
        }
    }

    #[test]
    fn only_one_mend_at_a_time(story in stories()) {
        let mut is_mending = false;
        for (_, before, event, _, effects) in play(&story) {
            if matches!(event, Event::Mended(_) | Event::Held) || before.phase == Phase::Held {
                is_mending = false;
            }
            for effect in effects {
                if matches!(effect, Effect::Mend(_)) {
                    prop_assert!(!is_mending);
                    is_mending = true;
                }
            }
        }
    }

    #[test]
    fn what_is_held_is_left_alone(story in stories()) {
        for (_, before, event, after, effects) in play(&story) {
            if event == Event::Held || (before.phase == Phase::Held && event != Event::Unheld) {
                prop_assert_eq!(after.phase, Phase::Held);
                prop_assert_eq!(effects, []);
            }
        }
    }

    #[test]
    fn somebody_elses_container_is_never_mended(story in stories()) {
        for (_, before, event, _, effects) in play(&story) {
            let is_foreign = event == Event::Seen(Sight::Foreign)
                || (before.phase == Phase::Foreign && !matches!(event, Event::Seen(_)));
            let mends = effects.iter().any(|effect| matches!(effect, Effect::Mend(_)));
            prop_assert!(!(is_foreign && mends));
        }
    }

    #[test]
    fn what_is_right_is_never_touched(story in stories()) {
        for (_, before, event, _, effects) in play(&story) {
            let mends = effects.iter().any(|effect| matches!(effect, Effect::Mend(_)));
            prop_assert!(!(event == Event::Seen(Sight::Right) && mends));
            // Nor on a death alone: Docker is asked first.
            let was_well = matches!(before.phase, Phase::Up { .. } | Phase::Unseen);
            prop_assert!(!(was_well && event == Event::Died && mends));
        }
    }

    #[test]
    fn a_crash_loop_is_said_once_until_it_is_over(story in stories()) {
        let mut is_said = false;
        for (.., after, effects) in play(&story) {
            for effect in effects {
                match effect {
                    Effect::Say(Saying::CrashLoop) => {
                        prop_assert!(!is_said);
                        is_said = true;
                    }
                    Effect::Say(Saying::CrashLoopOver) => {
                        prop_assert!(is_said);
                        is_said = false;
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(after.is_crash_loop, is_said);
        }
    }

    #[test]
    fn nothing_is_said_twice_in_a_row(story in stories()) {
        let mut last = None;
        for (.., effects) in play(&story) {
            for effect in effects {
                if let Effect::Say(saying) = effect {
                    prop_assert!(last != Some(saying), "{saying:?} twice");
                    last = Some(saying);
                }
            }
        }
    }

    #[test]
    fn it_comes_up_once_it_can(
        story in stories(),
        mut world in prop::sample::select(vec![
            Sight::Right, Sight::Silent, Sight::Unhealthy, Sight::Restarting,
            Sight::Stopped, Sight::Changed, Sight::Missing, Sight::NoImage,
        ]),
    ) {
        let (mut now, mut state) = (Duration::ZERO, State::default());
        for (wait, event) in &story {
            now += Duration::from_millis(*wait);
            state = step(&state, *event, now).0;
        }
        // Nothing is held any more, and what was under way failed.
        let mut queue = vec![(now, Event::Unheld), (now, Event::Mended(Mended::Busy)), (now, Event::Seen(world))];
        let (begun, first) = (now, world);
        for _ in 0..2_000 {
            if matches!(state.phase, Phase::Up { .. }) {
                break;
            }
            queue.sort_by_key(|(at, _)| *at);
            prop_assert!(!queue.is_empty(), "it waits for nothing in {state:?}");
            let (at, event) = queue.remove(0);
            now = now.max(at);
            let (next, effects) = step(&state, event, now);
            state = next;
            for effect in effects {
                match effect {
                    Effect::Look => queue.push((now, Event::Seen(world))),
                    Effect::WakeAt(at) => queue.push((at, Event::Tick)),
                    Effect::Mend(_) => {
                        world = Sight::Right;
                        queue.push((now + Duration::from_millis(700), Event::Mended(Mended::Done(None))));
                    }
                    Effect::Say(_) => {}
                }
            }
        }
        let is_up = matches!(state.phase, Phase::Up { .. });
        prop_assert!(is_up, "{state:?}");
        // What is merely silent is given its time.
        let limit = if first == Sight::Silent { PATIENCE } else { Duration::ZERO };
        prop_assert!(now - begun <= limit + secs(15), "{:?}", now - begun);
    }
}

/// Plays one world of which every mend works, and gives how long it took to be up.
fn recovery(world: Sight, state: State, begun: Moment) -> (Duration, u32) {
    let (mut now, mut state, mut world) = (begun, state, world);
    let mut queue = vec![(now, Event::Seen(world))];
    let mut mends = 0;
    while !matches!(state.phase, Phase::Up { .. }) {
        queue.sort_by_key(|(at, _)| *at);
        let (at, event) = queue.remove(0);
        now = now.max(at);
        let (next, effects) = step(&state, event, now);
        state = next;
        for effect in effects {
            match effect {
                Effect::Look => queue.push((now, Event::Seen(world))),
                Effect::WakeAt(at) => queue.push((at, Event::Tick)),
                Effect::Mend(_) => {
                    mends += 1;
                    world = Sight::Right;
                    queue.push((now + secs(1), Event::Mended(Mended::Done(None))));
                }
                Effect::Say(_) => {}
            }
        }
    }
    (now - begun, mends)
}

#[test]
fn each_loss_is_mended_once_and_soon() {
    for world in [
        Sight::Stopped,
        Sight::Changed,
        Sight::Missing,
        Sight::NoImage,
        Sight::Unhealthy,
        Sight::Restarting,
    ] {
        let (took, mends) = recovery(world, State::default(), secs(1));
        assert!(took <= secs(6) && mends == 1, "{world:?}: {took:?}");
    }
}

#[test]
fn after_many_failures_it_is_still_soon() {
    let mut state = State::default();
    let mut now = secs(1);
    let (next, _) = step(&state, Event::Seen(Sight::NoImage), now);
    state = next;
    for _ in 0..30 {
        now += secs(2);
        state = step(&state, Event::Mended(Mended::Failed(Mend::Image)), now).0;
        let Phase::Needs { mend, at } = state.phase else {
            panic!("{state:?}")
        };
        // The step that failed is the one that is tried again.
        assert_eq!(mend, Mend::Image);
        assert!(at - now <= LONGEST_PAUSE);
        now = at;
        let (next, effects) = step(&state, Event::Tick, now);
        assert!(effects.contains(&Effect::Mend(Mend::Image)), "{effects:?}");
        state = next;
    }
    state = step(&state, Event::Mended(Mended::Failed(Mend::Image)), now).0;
    let (took, _) = recovery(Sight::NoImage, state, now);
    assert!(took <= secs(15), "{took:?}");
}

#[test]
fn a_crash_loop_is_known_by_its_deaths_and_over_when_steady() {
    let mut state = State::default();
    let mut now = secs(1);
    for death in 1..=DEATHS {
        state = step(&state, Event::Seen(Sight::Right), now).0;
        now += secs(20);
        let (next, effects) = step(&state, Event::Died, now);
        assert_eq!(
            effects.contains(&Effect::Say(Saying::CrashLoop)),
            death == DEATHS
        );
        state = next;
        now += secs(1);
    }
    state = step(&state, Event::Seen(Sight::Right), now).0;
    let mut said = Vec::new();
    for _ in 0..3 {
        now += STEADY;
        let (next, effects) = step(&state, Event::Tick, now);
        said.extend(effects);
        state = next;
    }
    assert_eq!(said, [Effect::Say(Saying::CrashLoopOver)]);
    // Deaths far apart are none.
    for _ in 0..20 {
        now += DEATHS_WITHIN;
        let (next, effects) = step(&state, Event::Died, now);
        assert_eq!(effects, [Effect::Look]);
        state = next;
    }
}

/// Seen as stopped while it was being removed.
#[test]
fn more_than_was_seen_is_said_when_it_was_done() {
    let says = |done| {
        let seen = step(&State::default(), Event::Seen(Sight::Stopped), secs(1));
        assert!(seen.1.contains(&Effect::Say(Saying::Down(Mend::Start))));
        let mended = Event::Mended(Mended::Done(done));
        step(&seen.0, mended, secs(2)).1
    };
    let create = Effect::Say(Saying::Down(Mend::Create));
    assert_eq!(says(Some(Mend::Create)), [create, Effect::Look]);
    assert_eq!(says(Some(Mend::Start)), [Effect::Look]);
    assert_eq!(says(None), [Effect::Look]);
}

#[test]
fn the_pause_grows_to_its_bound() {
    let pauses: Vec<_> = (1..=6).map(|count| pause(count).as_secs()).collect();
    assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
    assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
}

// --- the diagram -----------------------------------------------------------------------------

const PAGE: &str = include_str!("../../www/docs/supervision.md");

fn word(event: Event) -> String {
    match event {
        Event::Seen(sight) => {
            let text = serde_json::to_string(&sight).unwrap();
            text.trim_matches('"').to_owned()
        }
        Event::Died => "died".into(),
        Event::Mended(Mended::Done(_)) => "mended".into(),
        Event::Mended(Mended::Busy) => "locked".into(),
        Event::Mended(Mended::Failed(at)) => format!("failed at {}", at.as_str()),
        Event::Tick => "time".into(),
        Event::Held => "held".into(),
        Event::Unheld => "unheld".into(),
    }
}

/// Every change of phase that `step` can make, from every state that is three events away.
fn changes() -> BTreeSet<(String, Event2, String)> {
    let mut events: Vec<Event> = Sight::ALL.into_iter().map(Event::Seen).collect();
    events.extend([Event::Died, Event::Tick, Event::Held, Event::Unheld]);
    events.extend(
        [
            Mended::Done(None),
            Mended::Done(Some(Mend::Create)),
            Mended::Busy,
        ]
        .map(Event::Mended),
    );
    events.extend(Mend::ALL.map(|mend| Event::Mended(Mended::Failed(mend))));
    let waits = [Duration::ZERO, secs(1), PATIENCE];
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![(State::default(), secs(1), 0)];
    while let Some((state, now, depth)) = open.pop() {
        for event in &events {
            for wait in waits {
                let (next, _) = step(&state, *event, now + wait);
                let (from, to) = (state.phase.name(), next.phase.name());
                if from != to {
                    let is_seen = matches!(event, Event::Seen(_));
                    found.insert((from.to_owned(), (is_seen, word(*event)), to.to_owned()));
                }
                if depth < 2 && seen.insert(format!("{next:?}")) {
                    open.push((next, now + wait, depth + 1));
                }
            }
        }
    }
    found
}

/// Whether it is something seen, and its word.
type Event2 = (bool, String);

/// The lines that the page must have.
fn wanted() -> BTreeSet<String> {
    let mut arrows: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    let mut sights: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, (is_seen, word), to) in changes() {
        if is_seen {
            sights.entry(word).or_default().insert(to);
        } else {
            arrows.entry((from, to)).or_default().insert(word);
        }
    }
    let list = |set: BTreeSet<String>| set.into_iter().collect::<Vec<_>>().join(", ");
    let arrows = arrows
        .into_iter()
        // From and to everywhere: said in words.
        .filter(|((from, to), _)| from != "held" && to != "held")
        .map(|((from, to), events)| format!("{from} --> {to}: {}", list(events)));
    let sights = sights
        .into_iter()
        .map(|(sight, to)| format!("| {sight} | {} |", list(to)));
    arrows.chain(sights).collect()
}

#[test]
fn the_diagram_in_the_docs_is_the_code() {
    let wanted = wanted();
    let (_, page) = PAGE.split_once("## How it goes on").unwrap();
    let found: BTreeSet<String> = page
        .lines()
        .map(str::trim)
        .filter(|line| line.contains(" --> ") || line.starts_with("| "))
        .filter(|line| !line.starts_with("[*]") && !line.starts_with("| seen |"))
        .filter(|line| !line.starts_with("| ---"))
        .map(str::to_owned)
        .collect();
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| {
        a.difference(b).cloned().collect::<Vec<_>>().join("\n")
    };
    assert_eq!(only(&wanted, &found), "", "not drawn");
    assert_eq!(only(&found, &wanted), "", "drawn, and not so");
}

#[test]
fn a_hold_leads_away_from_everything_and_ends_in_a_look() {
    let mut to_held = BTreeSet::new();
    for (from, (_, word), to) in changes() {
        if to == "held" {
            assert_eq!(word, "held");
            to_held.insert(from);
        } else if from == "held" {
            assert_eq!((to.as_str(), word.as_str()), ("unseen", "unheld"));
        }
    }
    assert!(to_held.len() >= 12, "{to_held:?}");
}
