//! What a pick by key promises, over many keys, loads and replicas.

use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;
use crate::{
    latency::Expected,
    pick::{Balance, Standing, Wish, pick},
};

fn factor(text: &str) -> LoadFactor {
    text.parse().expect("a load factor")
}

fn idle(id: u64) -> View {
    View { id, standing: Standing::In, load: 0, full: false, latency: Expected::UNKNOWN, tried: false }
}

/// The replica of `views` that takes a request with this key.
fn picked(views: &[View], key: u64, load_factor: LoadFactor) -> usize {
    let balance = Balance::Hash;
    let wish = Wish { balance, key: Some(key), load_factor, turn: 0, random: 0, may_probe: false };
    pick(views, wish).expect("there are replicas").index
}

#[test]
fn a_load_factor_is_off_or_a_number_from_1_to_100() {
    let check = |text: &str, expected: Option<&str>| {
        let got = text.parse::<LoadFactor>().ok().map(|factor| factor.to_string());
        assert_eq!(got.as_deref(), expected, "{text:?}");
    };
    for (text, shown) in
        [("off", "off"), ("1", "1"), ("1.0", "1"), ("1.25", "1.25"), ("1.5", "1.5"), ("100.00", "100")]
    {
        check(text, Some(shown));
    }
    for text in [
        "",
        "0",
        "0.99",
        "100.01",
        "101",
        "1000",
        "1.",
        ".5",
        "1.255",
        "1,25",
        "125%",
        "+1",
        "-1",
        "1e1",
        " 1",
        "inf",
        "NaN",
        "Off",
        "1.2.5",
        "١",
        "4294967297",
    ] {
        check(text, None);
    }
}

#[test]
fn the_bound_is_the_factor_times_the_mean_with_the_new_request_rounded_up() {
    let check = |text: &str, all: u64, count: u64, most: u32| {
        let admits = |load| factor(text).admits(load, all, count);
        assert!(admits(most - 1) && !admits(most), "{text} of {all} at {count}");
    };
    check("1.25", 0, 2, 1);
    check("1.25", 2, 2, 2);
    check("1.25", 3, 2, 3);
    check("1.25", 11, 3, 5);
    check("1.25", 12, 3, 6);
    check("1", 3, 4, 1);
    check("1", 4, 4, 2);
    check("1.01", 399, 4, 101);
    check("100", 1, 2, 100);
    assert!(LoadFactor::OFF.admits(u32::MAX, 0, 1));
    assert!(!factor("100").admits(u32::MAX, u64::from(u32::MAX), 1000));
}

#[test]
fn a_hot_key_goes_on_in_its_own_order_and_comes_back() {
    let mut views = [1, 2, 3].map(|id| idle(mix(id)));
    let key = 7;
    let mut order = [0, 1, 2];
    order.sort_by_key(|index| std::cmp::Reverse(weight(key, views[*index].id)));
    let mut went = Vec::new();
    for _ in 0..12 {
        let index = picked(&views, key, factor("1.25"));
        views[index].load += 1;
        went.push(order.iter().position(|other| *other == index).expect("one of the three"));
    }
    assert_eq!(went, [0, 1, 0, 1, 0, 1, 2, 0, 1, 0, 1, 2]);
    views[order[0]].load = 0;
    assert_eq!(picked(&views, key, factor("1.25")), order[0]);
}

#[test]
fn a_full_replica_is_waited_for_only_where_the_key_has_no_other() {
    let mut views = [1, 2].map(|id| View { load: 9, ..idle(mix(id)) });
    let own = picked(&views, 7, LoadFactor::OFF);
    let check = |views: &[View], expected_off: usize, expected_on: usize| {
        let got = [LoadFactor::OFF, factor("1.25")].map(|factor| picked(views, 7, factor));
        assert_eq!(got, [expected_off, expected_on], "{views:?}");
    };
    check(&views, own, own);
    views[own].full = true;
    check(&views, own, 1 - own);
    views[1 - own].full = true;
    check(&views, own, own);
    // With everybody full the queues are kept even as well.
    views[own].load = 20;
    check(&views, own, 1 - own);
}

#[test]
fn an_ejected_or_tried_replicas_keys_go_to_the_next_and_its_load_counts_for_nothing() {
    let views = [1, 2, 3].map(|id| View { load: 4, ..idle(mix(id)) });
    for key in 0..100 {
        for factor in [LoadFactor::OFF, factor("1.25")] {
            let own = picked(&views, key, factor);
            let others: Vec<View> = views.into_iter().filter(|view| view.id != views[own].id).collect();
            let next = others[picked(&others, key, factor)].id;
            for gone in [
                View { standing: Standing::Out, load: 0, ..views[own] },
                View { standing: Standing::Out, load: 1000, ..views[own] },
                View { tried: true, load: 0, ..views[own] },
            ] {
                let mut views = views;
                views[own] = gone;
                assert_eq!(views[picked(&views, key, factor)].id, next, "{views:?}");
            }
        }
    }
}

/// From 1 to 100, as it is written.
fn any_factor() -> impl Strategy<Value = LoadFactor> {
    (100..=10_000_u32).prop_map(|percent| factor(&format!("{}.{:02}", percent / 100, percent % 100)))
}

fn any_standing() -> impl Strategy<Value = Standing> {
    prop_oneof![3 => Just(Standing::In), 1 => Just(Standing::ProbeDue), 1 => Just(Standing::Out)]
}

fn any_views() -> impl Strategy<Value = Vec<View>> {
    let load = prop_oneof![0..8_u32, 0..2000_u32, Just(u32::MAX)];
    let view = (any::<u64>(), any_standing(), load, any::<bool>(), any::<bool>());
    let view =
        view.prop_map(|(id, standing, load, full, tried)| View { standing, load, full, tried, ..idle(id) });
    vec(view, 1..10)
}

/// So many idle replicas, each with another id.
fn all_idle(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<View>> {
    proptest::collection::hash_set(any::<u64>(), count).prop_map(|ids| ids.into_iter().map(idle).collect())
}

proptest! {
    #[test]
    fn no_replica_is_taken_beyond_the_bound(
        views in any_views(), key in any::<u64>(), percent in 100..=10_000_u32
    ) {
        let fresh = |view: &&View| view.standing == Standing::In && !view.tried;
        let all: u128 = views.iter().filter(fresh).map(|view| u128::from(view.load)).sum();
        let count = views.iter().filter(fresh).count() as u128;
        prop_assume!(count > 0);
        let factor = factor(&format!("{}.{:02}", percent / 100, percent % 100));
        let view = &views[picked(&views, key, factor)];
        let bound = (u128::from(percent) * (all + 1)).div_ceil(100 * count);
        prop_assert!(fresh(&view));
        prop_assert!(u128::from(view.load) < bound, "{} and one more is beyond {bound}", view.load);
    }

    #[test]
    fn while_requests_come_and_go_everybody_is_within_the_bound_when_one_is_added(
        mut views in all_idle(1..8),
        steps in vec((any::<bool>(), 0..3_u64, any::<Index>()), 1..200),
        factor in any_factor(),
    ) {
        for (ends, key, at) in steps {
            if ends {
                let view = at.get(&views).id;
                let view = views.iter_mut().find(|other| other.id == view).expect("it is one of them");
                view.load = view.load.saturating_sub(1);
                continue;
            }
            let index = picked(&views, key, factor);
            views[index].load += 1;
            let all: u32 = views.iter().map(|view| view.load).sum();
            let percent = factor.percent.expect("it is on");
            prop_assert!(views[index].load <= (percent * all).div_ceil(100 * views.len() as u32));
        }
    }

    #[test]
    fn without_a_factor_load_says_nothing(views in any_views(), key in any::<u64>()) {
        let fresh = |view: &&View| view.standing == Standing::In && !view.tried;
        prop_assume!(views.iter().any(|view| fresh(&view)));
        let own = views.iter().filter(fresh).max_by_key(|view| mix(key ^ mix(view.id))).expect("one is fresh");
        prop_assert_eq!(views[picked(&views, key, LoadFactor::OFF)].id, own.id);
    }

    #[test]
    fn a_replica_that_goes_or_comes_moves_only_its_own_keys(
        views in all_idle(2..9), gone in any::<Index>(), keys in vec(any::<u64>(), 50), on in any_factor()
    ) {
        let mut fewer = views.clone();
        let gone = fewer.remove(gone.index(views.len()));
        for factor in [LoadFactor::OFF, on] {
            for &key in &keys {
                // Read in the other direction: of the keys at `fewer`, only those move that belong to the one that comes.
                let with = views[picked(&views, key, factor)].id;
                let without = fewer[picked(&fewer, key, factor)].id;
                prop_assert!(with == without || with == gone.id);
            }
        }
    }

    #[test]
    fn with_equal_loads_a_key_is_where_it_belongs(
        mut views in all_idle(1..9), key in any::<u64>(), load in 0..1000_u32, on in any_factor()
    ) {
        views.iter_mut().for_each(|view| view.load = load);
        prop_assert_eq!(picked(&views, key, on), picked(&views, key, LoadFactor::OFF));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Of 20,000 keys in a row, each of up to eight replicas has its share within a tenth of it (five standard
    /// deviations of a fair draw).
    #[test]
    fn keys_are_shared_evenly(views in all_idle(2..9), first in any::<u64>(), on in any_factor()) {
        const KEYS: usize = 20_000;
        let mut shares = vec![0_usize; views.len()];
        for key in 0..KEYS as u64 {
            shares[picked(&views, first.wrapping_add(key), on)] += 1;
        }
        let fair = KEYS / views.len();
        prop_assert!(shares.iter().all(|share| share.abs_diff(fair) <= fair / 10), "{shares:?}");
    }
}
