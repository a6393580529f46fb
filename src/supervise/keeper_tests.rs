use std::collections::BTreeMap;

use super::*;
use crate::host::memory::MemoryHost;
use crate::model::ImageRef;
use crate::resource::{Mend, Network, Probe, Sight};

const NAME: &str = "redis-web";

fn container() -> Container {
    let image: ImageRef = "redis:7-alpine".parse().unwrap();
    Container {
        name: NAME.into(),
        stack: "web".into(),
        image,
        command: Vec::new(),
        uid: 999,
        group: "root".into(),
        mounts: Vec::new(),
        memory: 0,
        pids: 0,
        network: Network::None,
        environment: BTreeMap::new(),
        probe: Probe::of_redis(),
        settle: Vec::new(),
    }
}

/// One that keeps a container, and begins no work.
fn keeper(begin: Begin) -> Keeper {
    let mut keeper = Keeper::new(MemoryHost::prepared().doors());
    keeper.begin = begin;
    keeper.keep(vec![container()]);
    keeper
}

fn done(keeper: &mut Keeper, number: u64, event: Event) {
    keeper.take(Message::Done(Done {
        number,
        name: NAME.into(),
        event,
        error: None,
        cause: None,
    }));
}

#[test]
fn a_mend_for_which_there_is_no_thread_is_tried_again() {
    let mut keeper = keeper(|_, order, _| match order.work {
        Work::Look => Ok(()),
        Work::Mend(_) => Err(HostError::Unexpected("cannot start a thread".into())),
    });
    done(&mut keeper, 1, Event::Seen(Sight::Missing));
    let kept = &keeper.kept[NAME];
    assert_eq!(kept.state.phase.name(), "needs_create");
    assert!(kept.work.is_none() && kept.wake.is_some());
    assert_eq!(kept.mends, 0);
    let later = keeper.now() + Duration::from_secs(20);
    let (state, effects) = step(&keeper.kept[NAME].state, Event::Tick, later);
    assert_eq!(state.phase.name(), "mending_create");
    assert!(effects.contains(&Effect::Mend(Mend::Create)));
}

#[test]
fn a_look_that_hangs_is_told_to_systemd_and_a_mend_may_fetch_for_hours() {
    let mut keeper = keeper(|_, _, _| Ok(()));
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    assert!(!keeper.is_stuck(STUCK_LOOK - Duration::from_secs(60)));
    assert!(keeper.is_stuck(hours(1)));
    keeper.handle(NAME, Event::Seen(Sight::Missing));
    assert!(!keeper.is_stuck(hours(8)));
    assert!(keeper.is_stuck(hours(25)));
    done(
        &mut keeper,
        2,
        Event::Mended(Mended::Done(Some(Mend::Create))),
    );
    assert!(!keeper.is_stuck(Duration::from_secs(60)));
}

#[test]
fn the_end_of_an_older_look_is_not_the_end_of_a_mend() {
    let mut keeper = keeper(|_, _, _| Ok(()));
    // The look that `keep` began is number 1; a mend begins while it goes on.
    keeper.handle(NAME, Event::Seen(Sight::Missing));
    assert_eq!(keeper.kept[NAME].work.map(|(number, _)| number), Some(2));
    done(&mut keeper, 1, Event::Seen(Sight::Missing));
    assert_eq!(keeper.kept[NAME].work.map(|(number, _)| number), Some(2));
    // A mend that was not its turn counts for none.
    done(&mut keeper, 2, Event::Mended(Mended::Busy));
    assert!(keeper.kept[NAME].work.is_none());
    assert_eq!(keeper.kept[NAME].mends, 0);
    done(
        &mut keeper,
        3,
        Event::Mended(Mended::Done(Some(Mend::Create))),
    );
    assert_eq!(keeper.kept[NAME].mends, 1);
}
