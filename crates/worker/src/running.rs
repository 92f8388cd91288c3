//! The runs in progress, and how much room is left for each kind.

use std::{collections::HashMap, time::Duration};

use store::Places;
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::timeout,
};

/// Runs, each in one of its kind's places.
#[derive(Debug)]
pub(crate) struct Running {
    places: Vec<Places>,
    runs: JoinSet<()>,
    kinds: HashMap<Id, String>,
}

impl Running {
    pub(crate) fn new(places: Vec<Places>) -> Self {
        Self { places, runs: JoinSet::new(), kinds: HashMap::new() }
    }

    /// The places that are free, now that some runs may have ended; of the kinds alone that have one.
    pub(crate) fn free(&mut self) -> Vec<Places> {
        while let Some(ended) = self.runs.try_join_next_with_id() {
            self.remove(ended);
        }
        self.room()
    }

    fn room(&self) -> Vec<Places> {
        let room = self.places.iter().map(|places| {
            let taken = self.kinds.values().filter(|kind| **kind == places.kind).count();
            let taken = u16::try_from(taken).unwrap_or(u16::MAX);
            Places { kind: places.kind.clone(), count: places.count.saturating_sub(taken) }
        });
        room.filter(|places| places.count > 0).collect()
    }

    /// The kinds of which there is a place that is free.
    pub(crate) fn kinds_with_room(&self) -> Vec<String> {
        self.room().into_iter().map(|places| places.kind).collect()
    }

    pub(crate) fn begin(&mut self, kind: &str, run: impl Future<Output = ()> + Send + 'static) {
        let id = self.runs.spawn(run).id();
        self.kinds.insert(id, kind.to_owned());
    }

    /// Waits for the end of the next run, for ever where there is none. Its kind, if that had no room before: then more of it
    /// may be waiting.
    pub(crate) async fn next(&mut self) -> Option<String> {
        let Some(ended) = self.runs.join_next_with_id().await else { return std::future::pending().await };
        let before = self.kinds_with_room();
        let kind = self.remove(ended);
        (!before.contains(&kind)).then_some(kind)
    }

    /// Waits, `within` this, for the ends of so many runs that half of the kind's places are free.
    pub(crate) async fn gather(&mut self, kind: &str, within: Duration) {
        let enough = async {
            while !self.has_plenty(kind) {
                self.next().await;
            }
        };
        // Fewer are few, and claimed for all the same.
        let _ = timeout(within, enough).await;
    }

    fn has_plenty(&self, kind: &str) -> bool {
        let count =
            |list: &[Places]| list.iter().find(|places| places.kind == kind).map_or(0, |places| places.count);
        count(&self.room()) >= count(&self.places).div_ceil(2)
    }

    fn remove(&mut self, ended: Result<(Id, ()), JoinError>) -> String {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        self.kinds.remove(&id).unwrap_or_default()
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

    #[tokio::test]
    async fn a_run_takes_a_place_of_its_own_kind_until_it_ends() {
        let mut running = Running::new(places(&[("a", 2), ("b", 1)]));
        running.begin("b", pending());
        assert_eq!(running.room(), places(&[("a", 2)]));
        running.begin("a", ready(()));
        assert_eq!(running.room(), places(&[("a", 1)]));
        assert_eq!(running.next().await, None, "there was room for another one anyway");
        running.begin("a", pending());
        running.begin("a", async { panic!("as the test wants it") });
        assert_eq!(running.room(), []);
        assert_eq!(
            running.next().await.as_deref(),
            Some("a"),
            "one that panics gives its place back as well"
        );
        assert_eq!(running.kinds_with_room(), ["a"]);
        running.begin("a", ready(()));
        tokio::task::yield_now().await;
        assert_eq!(running.room(), []);
        assert_eq!(running.free(), places(&[("a", 1)]), "it has ended by now");
    }

    #[tokio::test]
    async fn half_of_the_places_are_waited_for_but_not_for_long() {
        let mut running = Running::new(places(&[("a", 8), ("b", 8)]));
        (0..4).for_each(|_| running.begin("a", pending()));
        (0..4).for_each(|_| running.begin("a", ready(())));
        assert_eq!(running.next().await.as_deref(), Some("a"));
        running.gather("a", Duration::from_secs(60)).await;
        assert_eq!(running.room(), places(&[("a", 4), ("b", 8)]));
        running.begin("a", pending());
        running.gather("a", Duration::from_millis(1)).await;
        assert_eq!(running.room(), places(&[("a", 3), ("b", 8)]));
    }
}
