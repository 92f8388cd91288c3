//! The runs in progress, and how much room is left for each kind.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use store::{Kind, Places, Task};
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::timeout,
};
use uuid::Uuid;

use crate::fair::Fair;

/// Runs, each in one of its kind's places.
#[derive(Debug)]
pub(crate) struct Running {
    places: Vec<Places>,
    fair: Fair,
    runs: JoinSet<()>,
    taken: HashMap<Id, Place>,
}

/// A place that is taken.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    kind: String,
    webhook: Option<Uuid>,
    since: Instant,
}

impl Running {
    pub(crate) fn new(places: Vec<Places>) -> Self {
        let deliveries = places.iter().find(|places| places.kind == Kind::DeliverWebhook.as_str());
        let fair = Fair::new(deliveries.map_or(0, |places| places.count));
        Self { places, fair, runs: JoinSet::new(), taken: HashMap::new() }
    }

    /// Takes a place for a task, for which there is room; where its receiver has its share of the places already, says how
    /// long to put it off.
    pub(crate) fn take(&mut self, task: &Task, now: Instant) -> Result<Place, Duration> {
        if let Some(webhook) = task.webhook {
            self.fair.take(webhook, now)?;
        }
        Ok(Place { kind: task.kind.clone(), webhook: task.webhook, since: now })
    }

    /// The places that are free, now that some runs may have ended; of the kinds alone that have one.
    pub(crate) fn free(&mut self) -> Vec<Places> {
        while let Some(ended) = self.runs.try_join_next_with_id() {
            self.remove(ended);
        }
        self.room()
    }

    fn room(&self) -> Vec<Places> {
        let room =
            self.places.iter().map(|places| Places { count: self.left(&places.kind), ..places.clone() });
        room.filter(|places| places.count > 0).collect()
    }

    /// How many of a kind's places are free.
    fn left(&self, kind: &str) -> u16 {
        let taken = self.taken.values().filter(|place| place.kind == kind).count();
        self.count(kind).saturating_sub(u16::try_from(taken).unwrap_or(u16::MAX))
    }

    /// How many places a kind has.
    fn count(&self, kind: &str) -> u16 {
        self.places.iter().find(|places| places.kind == kind).map_or(0, |places| places.count)
    }

    /// The kinds of which there is a place that is free.
    pub(crate) fn kinds_with_room(&self) -> Vec<String> {
        self.room().into_iter().map(|places| places.kind).collect()
    }

    /// Begins the run in its place.
    pub(crate) fn begin(&mut self, place: Place, run: impl Future<Output = ()> + Send + 'static) {
        let id = self.runs.spawn(run).id();
        self.taken.insert(id, place);
    }

    /// Waits for the end of the next run, for ever where there is none. Its kind, if that had no room before: then more of it
    /// may be waiting.
    pub(crate) async fn next(&mut self) -> Option<String> {
        let Some(ended) = self.runs.join_next_with_id().await else { return std::future::pending().await };
        self.remove(ended).filter(|kind| self.left(kind) <= 1)
    }

    /// Waits, `within` this, for the ends of so many runs that half of the kind's places are free.
    pub(crate) async fn gather(&mut self, kind: &str, within: Duration) {
        let enough = async {
            while self.left(kind) < self.count(kind).div_ceil(2) {
                self.next().await;
            }
        };
        // Fewer are few, and claimed for all the same.
        let _ = timeout(within, enough).await;
    }

    /// The kind whose place is free now.
    fn remove(&mut self, ended: Result<(Id, ()), JoinError>) -> Option<String> {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        let place = self.taken.remove(&id)?;
        if let Some(webhook) = place.webhook {
            self.fair.ended(webhook, place.since.elapsed());
        }
        Some(place.kind)
    }

    /// Waits for the end of all.
    pub(crate) async fn all(&mut self) {
        while !self.runs.is_empty() {
            self.next().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    fn places(counts: &[(&str, u16)]) -> Vec<Places> {
        counts.iter().map(|(kind, count)| Places { kind: (*kind).to_owned(), count: *count }).collect()
    }

    impl Running {
        fn run(&mut self, kind: &str, run: impl Future<Output = ()> + Send + 'static) {
            let place = Place { kind: kind.to_owned(), webhook: None, since: Instant::now() };
            self.begin(place, run);
        }
    }

    #[tokio::test]
    async fn a_run_takes_a_place_of_its_own_kind_until_it_ends() {
        let mut running = Running::new(places(&[("a", 2), ("b", 1)]));
        running.run("b", pending());
        assert_eq!(running.room(), places(&[("a", 2)]));
        running.run("a", ready(()));
        assert_eq!(running.room(), places(&[("a", 1)]));
        assert_eq!(running.next().await, None, "there was room for another one anyway");
        running.run("a", pending());
        running.run("a", async { panic!("as the test wants it") });
        assert_eq!(running.room(), []);
        assert_eq!(
            running.next().await.as_deref(),
            Some("a"),
            "one that panics gives its place back as well"
        );
        assert_eq!(running.kinds_with_room(), ["a"]);
        running.run("a", ready(()));
        tokio::task::yield_now().await;
        assert_eq!(running.room(), []);
        assert_eq!(running.free(), places(&[("a", 1)]), "it has ended by now");
    }

    #[tokio::test]
    async fn half_of_the_places_are_waited_for_but_not_for_long() {
        let mut running = Running::new(places(&[("a", 8), ("b", 8)]));
        (0..4).for_each(|_| running.run("a", pending()));
        (0..4).for_each(|_| running.run("a", ready(())));
        assert_eq!(running.next().await.as_deref(), Some("a"));
        running.gather("a", Duration::from_secs(60)).await;
        assert_eq!(running.room(), places(&[("a", 4), ("b", 8)]));
        running.run("a", pending());
        running.gather("a", Duration::from_millis(1)).await;
        assert_eq!(running.room(), places(&[("a", 3), ("b", 8)]));
    }
}
