//! Places shared among receivers: one that hangs, or to which very much is to be told, leaves places for the others.
//!
//! Promises: no receiver has more than its share of the places; what is beyond that is put off to when, as far as its
//! deliveries have taken until now, one of these will be free, in the order in which it came. Pure: the time is given.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use uuid::Uuid;

/// What a delivery to a receiver is taken to last of which nothing is known.
const USUAL: Duration = Duration::from_millis(50);
/// A delivery is put off by no less: sooner it would only be claimed and put off once more.
const LEAST: Duration = Duration::from_millis(20);
/// Of how many receivers is remembered how long they took, besides those that are being told something.
const REMEMBERED: usize = 1_000;

/// The receivers of one worker.
#[derive(Debug)]
pub(crate) struct Fair {
    share: u16,
    receivers: HashMap<Uuid, Receiver>,
}

#[derive(Clone, Copy, Debug)]
struct Receiver {
    running: u16,
    /// How long deliveries took, later ones counting more.
    took: Duration,
    /// When the next delivery that is put off will find a place.
    next: Instant,
}

impl Fair {
    /// For so many places: a receiver has a quarter of them at most.
    pub(crate) fn new(places: u16) -> Self {
        Self { share: places.div_ceil(4).max(1), receivers: HashMap::new() }
    }

    /// Takes a place for this receiver; where it has its share already, says how long to put the delivery off.
    pub(crate) fn take(&mut self, webhook: Uuid, now: Instant) -> Result<(), Duration> {
        let receiver =
            self.receivers.entry(webhook).or_insert(Receiver { running: 0, took: USUAL, next: now });
        if receiver.running < self.share {
            receiver.running += 1;
            return Ok(());
        }
        receiver.next = receiver.next.max(now) + receiver.took / u32::from(self.share);
        Err(receiver.next.saturating_duration_since(now).max(LEAST))
    }

    /// A delivery that had a place has ended, after so long.
    pub(crate) fn ended(&mut self, webhook: Uuid, took: Duration) {
        if let Some(receiver) = self.receivers.get_mut(&webhook) {
            receiver.running = receiver.running.saturating_sub(1);
            receiver.took = (receiver.took * 3 + took) / 4;
        }
        if self.receivers.len() > REMEMBERED {
            self.receivers.retain(|_, receiver| receiver.running > 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_receiver_has_its_share_and_what_is_beyond_it_is_put_off_in_order() {
        let (mut fair, now) = (Fair::new(8), Instant::now());
        let (slow, other) = (Uuid::new_v4(), Uuid::new_v4());
        assert_eq!([fair.take(slow, now), fair.take(slow, now)], [Ok(()), Ok(())]);
        for put_off in [25, 50, 75] {
            let expected = Duration::from_millis(put_off).max(LEAST);
            assert_eq!(fair.take(slow, now), Err(expected), "the next of two places, each for {USUAL:?}");
        }
        assert_eq!(fair.take(other, now), Ok(()), "which is nobody else's affair");
        fair.ended(slow, USUAL);
        assert_eq!(fair.take(slow, now), Ok(()));
    }

    #[test]
    fn how_long_to_put_off_is_learned_and_never_too_short() {
        let (mut fair, mut now) = (Fair::new(4), Instant::now());
        let one = Uuid::new_v4();
        let mut lasts = |took: Duration| {
            for _ in 0..40 {
                assert_eq!(fair.take(one, now), Ok(()));
                fair.ended(one, took);
            }
            assert_eq!(fair.take(one, now), Ok(()));
            let put_off = fair.take(one, now).expect_err("it has its one place");
            fair.ended(one, took);
            now += 60 * SECOND;
            put_off
        };
        let hangs = lasts(10 * SECOND);
        assert!(hangs > 9 * SECOND && hangs <= 10 * SECOND, "{hangs:?}");
        assert_eq!(lasts(Duration::from_millis(1)), LEAST);
    }

    #[test]
    fn not_everybody_is_remembered() {
        let (mut fair, now) = (Fair::new(4), Instant::now());
        let kept = Uuid::new_v4();
        assert_eq!(fair.take(kept, now), Ok(()));
        for _ in 0..3 * REMEMBERED {
            let one = Uuid::new_v4();
            assert_eq!(fair.take(one, now), Ok(()));
            fair.ended(one, SECOND);
        }
        assert!(fair.receivers.len() <= REMEMBERED + 1);
        assert_eq!(fair.receivers[&kept].running, 1);
    }
}
