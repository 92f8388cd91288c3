//! Choosing a replica: pure functions over what is known of each.
//!
//! Promises: a replica that was not tried yet comes before one that was; one that is not ejected before one that is;
//! one with a free place before a full one (except under `hash` without a load factor, where waiting for the right one
//! is the point).
//! Only when nothing else is left is an ejected replica tried ("panic": better a doubtful answer than none).

use crate::{
    latency::{Expected, compared},
    rendezvous::{self, LoadFactor},
};

/// How a replica is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Balance {
    /// Each in its turn
    RoundRobin,
    /// The better of two drawn at random, by requests in flight and latency
    LeastLoaded,
    /// Always the same one for the same key (the cache's), as long as it is there
    Hash,
}

/// One replica as a pick sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct View {
    /// Stable over the replica's life and over restarts: a hash of its address.
    pub(crate) id: u64,
    pub(crate) standing: Standing,
    /// Requests in flight and waiting.
    pub(crate) load: u32,
    /// Whether a request would have to wait.
    pub(crate) full: bool,
    /// The time to the head of an answer, errors counted as slow.
    pub(crate) latency: Expected,
    /// Whether this request has been tried there.
    pub(crate) tried: bool,
}

/// What health says of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Takes requests.
    In,
    /// Left alone long enough: one request may find out.
    ProbeDue,
    /// Left alone.
    Out,
}

/// What is asked of a pick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) balance: Balance,
    /// What `hash` hashes; without one it picks as `least-loaded` does.
    pub(crate) key: Option<u64>,
    /// How far `hash` lets a replica's load be from the mean.
    pub(crate) load_factor: LoadFactor,
    /// How many picks there were before: whose turn it is.
    pub(crate) turn: u64,
    pub(crate) random: u64,
    /// Whether this request can be tried again elsewhere and so may find out about an ejected replica.
    pub(crate) may_probe: bool,
}

/// Which replica, and in what spirit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) index: usize,
    pub(crate) spirit: Spirit,
}

/// Why a replica was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spirit {
    /// It takes requests.
    Trust,
    /// To find out whether it takes requests again, while others do.
    Probe,
    /// Nothing else is left.
    Panic,
}

/// `None` only when there are no replicas.
pub(crate) fn pick(views: &[View], wish: Wish) -> Option<Choice> {
    let usable = |view: &View| view.standing == Standing::In;
    let any_in = views.iter().any(usable);
    if wish.may_probe && any_in {
        let due = |view: &View| view.standing == Standing::ProbeDue && !view.tried && !view.full;
        if let Some(index) = views.iter().position(due) {
            return Some(Choice { index, spirit: Spirit::Probe });
        }
    }
    let fresh_in = |view: &View| usable(view) && !view.tried;
    let with_room = |view: &View| fresh_in(view) && !view.full;
    let keyed = wish.balance == Balance::Hash && wish.key.is_some();
    let trust = |index| Choice { index, spirit: Spirit::Trust };
    if !keyed && let Some(index) = among(views, with_room, wish) {
        return Some(trust(index));
    }
    if let Some(index) = among(views, fresh_in, wish) {
        return Some(trust(index));
    }
    // Tried and still trusted comes before ejected and untried: an ejected one failed several times in a row.
    if let Some(index) = among(views, usable, wish) {
        return Some(trust(index));
    }
    let panic = |index| Choice { index, spirit: Spirit::Panic };
    among(views, |view| !view.tried, wish).or_else(|| among(views, |_| true, wish)).map(panic)
}

/// One of those that `admits` lets in.
fn among(views: &[View], admits: impl Fn(&View) -> bool, wish: Wish) -> Option<usize> {
    let admitted = || views.iter().enumerate().filter(|(_, view)| admits(view));
    let count = admitted().count();
    let nth = |n: usize| admitted().nth(n).map(|(index, _)| index);
    match (wish.balance, wish.key) {
        _ if count < 2 => nth(0),
        (Balance::RoundRobin, _) => nth((wish.turn % count as u64) as usize),
        (Balance::Hash, Some(key)) => rendezvous::choose(key, wish.load_factor, admitted()),
        (Balance::LeastLoaded | Balance::Hash, _) => {
            let (one, other) = two_of(count, wish.random);
            let (one, other) = (nth(one)?, nth(other)?);
            Some(if is_better(&views[other], &views[one]) { other } else { one })
        }
    }
}

/// Two different indexes below `count` (which is at least 2).
fn two_of(count: usize, random: u64) -> (usize, usize) {
    let one = ((random >> 32) % count as u64) as usize;
    let step = 1 + ((random & 0xffff_ffff) % (count as u64 - 1)) as usize;
    (one, (one + step) % count)
}

/// Whether a further request has less time to expect at `one`.
fn is_better(one: &View, other: &View) -> bool {
    let (first, second) = compared(one.latency, other.latency);
    first * f64::from(one.load + 1) < second * f64::from(other.load + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rendezvous::mix;

    const FAST: Expected = Expected { seconds: 0.001, certainty: 1.0 };
    const IN: View =
        View { id: 0, standing: Standing::In, load: 0, full: false, latency: FAST, tried: false };
    const OUT: View = View { standing: Standing::Out, ..IN };
    const DUE: View = View { standing: Standing::ProbeDue, ..IN };
    const FULL: View = View { full: true, ..IN };
    const TRIED: View = View { tried: true, ..IN };

    fn wish(balance: Balance) -> Wish {
        Wish { balance, key: Some(7), load_factor: LoadFactor::OFF, turn: 0, random: 0, may_probe: true }
    }

    fn check(views: &[View], wish: Wish, expected: Option<(usize, Spirit)>) {
        let got = pick(views, wish).map(|choice| (choice.index, choice.spirit));
        assert_eq!(got, expected, "{views:?} {wish:?}");
    }

    #[test]
    fn the_best_tier_that_has_anybody_is_picked_from() {
        use Spirit::*;
        for balance in [Balance::RoundRobin, Balance::LeastLoaded] {
            let wish = wish(balance);
            check(&[], wish, None);
            check(&[IN], wish, Some((0, Trust)));
            check(&[OUT, IN], wish, Some((1, Trust)));
            check(&[FULL, IN], wish, Some((1, Trust)));
            check(&[TRIED, IN], wish, Some((1, Trust)));
            check(&[TRIED, FULL], wish, Some((1, Trust)));
            check(&[TRIED, OUT], wish, Some((0, Trust)));
            check(&[IN, DUE], wish, Some((1, Probe)));
            check(&[IN, DUE], Wish { may_probe: false, ..wish }, Some((0, Trust)));
            check(&[IN, View { tried: true, ..DUE }], wish, Some((0, Trust)));
            check(&[OUT, OUT], wish, Some((0, Panic)));
            check(&[OUT, DUE], wish, Some((0, Panic)));
            check(&[View { tried: true, ..OUT }, OUT], wish, Some((1, Panic)));
            check(&[View { tried: true, ..OUT }], wish, Some((0, Panic)));
        }
    }

    #[test]
    fn round_robin_takes_each_in_its_turn_and_skips_the_ejected() {
        let views = [IN, OUT, IN];
        let turns: Vec<usize> = (0..4)
            .filter_map(|turn| pick(&views, Wish { turn, ..wish(Balance::RoundRobin) }))
            .map(|choice| choice.index)
            .collect();
        assert_eq!(turns, [0, 2, 0, 2]);
    }

    #[test]
    fn of_two_the_one_with_less_to_expect_wins() {
        let slow = View { latency: Expected { seconds: 0.004, certainty: 1.0 }, ..IN };
        let busy = View { load: 2, ..IN };
        for random in 0..64 {
            let wish = Wish { random: mix(random), ..wish(Balance::LeastLoaded) };
            assert_eq!(pick(&[slow, IN], wish).map(|choice| choice.index), Some(1));
            assert_eq!(pick(&[busy, slow], wish).map(|choice| choice.index), Some(0));
        }
    }

    #[test]
    fn a_burst_is_shared_evenly_whatever_is_not_known() {
        let check = |latencies: [Expected; 2], expected: [u32; 2]| {
            let mut views = latencies.map(|latency| View { latency, ..IN });
            for random in 0..70 {
                let wish = Wish { random: mix(random), ..wish(Balance::LeastLoaded) };
                views[pick(&views, wish).expect("there are replicas").index].load += 1;
            }
            let [one, other] = views.map(|view| view.load);
            let near = |got: u32, expected: u32| got.abs_diff(expected) <= 1;
            assert!(near(one, expected[0]) && near(other, expected[1]), "{latencies:?}: {one} and {other}");
        };
        let known = |milliseconds: f64| Expected { seconds: milliseconds / 1e3, certainty: 1.0 };
        let old = |milliseconds: f64| Expected { certainty: 0.01, ..known(milliseconds) };
        check([known(7.0), Expected::UNKNOWN], [35, 35]);
        check([Expected::UNKNOWN, known(7.0)], [35, 35]);
        check([Expected::UNKNOWN, Expected::UNKNOWN], [35, 35]);
        check([known(7.0), old(7.0)], [35, 35]);
        check([known(7.0), known(14.0)], [47, 23]);
    }

    #[test]
    fn two_different_ones_are_drawn_and_everyone_is() {
        let mut drawn = [0; 5];
        for random in 0..1000 {
            let (one, other) = two_of(5, mix(random));
            assert_ne!(one, other);
            drawn[one] += 1;
            drawn[other] += 1;
        }
        assert!(drawn.iter().all(|count| (300..500).contains(count)), "{drawn:?}");
    }

    #[test]
    fn a_key_stays_where_it_is_when_another_replica_goes() {
        let all: Vec<View> = (1..=4).map(|id| View { id: mix(id), ..IN }).collect();
        let fewer = &all[..3];
        let mut moved = 0;
        for key in 0..1000 {
            let wish = Wish { key: Some(mix(key)), ..wish(Balance::Hash) };
            let before = pick(&all, wish).map(|choice| choice.index);
            let after = pick(fewer, wish).map(|choice| choice.index);
            if before == Some(3) {
                moved += 1;
            } else {
                assert_eq!(before, after);
            }
        }
        assert!((200..300).contains(&moved), "{moved} of 1000 keys lived on the one of four that went");
    }

    #[test]
    fn a_key_waits_for_its_full_replica_but_not_for_an_ejected_one() {
        let mut views: Vec<View> = (1..=2).map(|id| View { id: mix(id), ..IN }).collect();
        let wish = wish(Balance::Hash);
        let home = pick(&views, wish).expect("there are replicas").index;
        views[home].full = true;
        check(&views, wish, Some((home, Spirit::Trust)));
        views[home].standing = Standing::Out;
        check(&views, wish, Some((1 - home, Spirit::Trust)));
    }
}
