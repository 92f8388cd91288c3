//! From configured addresses to replicas: literal addresses once, DNS names again and again.
//!
//! Promises: a replica whose address stays is left as it is, with all that is known of it; a lookup that fails changes
//! nothing. A replica that goes finishes what is in flight there.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use crate::{replica::Replica, settings::Address, upstream::Upstream};

/// How long the first lookup may keep the start waiting.
const FIRST: Duration = Duration::from_secs(2);

/// What each configured address stands for, as last known.
#[derive(Debug)]
pub(crate) struct Directory {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    host: Arc<str>,
    port: u16,
    known: Vec<IpAddr>,
    /// Whether the last lookup failed: said once, and once when it works again.
    failing: bool,
}

impl Directory {
    pub(crate) fn new(addresses: &[Address]) -> Directory {
        let entry = |address: &Address| Entry {
            host: address.host.as_str().into(),
            port: address.port,
            known: address.host.parse().into_iter().collect(),
            failing: false,
        };
        Directory { entries: addresses.iter().map(entry).collect() }
    }

    /// Whether there is anything to look up again.
    pub(crate) fn has_names(&self) -> bool {
        self.entries.iter().any(Entry::is_name)
    }

    /// Looks every name up.
    pub(crate) async fn look_up(&mut self) {
        for entry in self.entries.iter_mut().filter(|entry| entry.is_name()) {
            let found = tokio::net::lookup_host((&*entry.host, entry.port)).await;
            entry.learn(found.map(|addresses| addresses.map(|address| address.ip()).collect()));
        }
    }

    /// The replicas that should be: those there are, where they stay, and new ones.
    pub(crate) fn replicas(&self, now: &[Arc<Replica>], max_in_flight: u32) -> Vec<Arc<Replica>> {
        let mut wanted: BTreeMap<SocketAddr, &Arc<str>> = BTreeMap::new();
        for entry in &self.entries {
            for ip in &entry.known {
                wanted.entry(SocketAddr::new(*ip, entry.port)).or_insert(&entry.host);
            }
        }
        let keep_or_make = |(address, host): (SocketAddr, &Arc<str>)| {
            let there = now.iter().find(|replica| replica.address == address).cloned();
            there.unwrap_or_else(|| {
                Arc::new(Replica::new(host.clone(), address, max_in_flight, Instant::now()))
            })
        };
        wanted.into_iter().map(keep_or_make).collect()
    }
}

impl Entry {
    fn is_name(&self) -> bool {
        self.host.parse::<IpAddr>().is_err()
    }

    fn learn(&mut self, found: io::Result<Vec<IpAddr>>) {
        let host = &*self.host;
        match found {
            Ok(found) if !found.is_empty() => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!(host, "name found again");
                }
                self.known = found;
            }
            Ok(_) => self.say_failing(&io::Error::other("the name has no address")),
            Err(error) => self.say_failing(&error),
        }
    }

    fn say_failing(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            let (host, kept) = (&*self.host, self.known.len());
            let error = error as &dyn std::error::Error;
            tracing::warn!(host, kept, error.type = "dns", error, "name not found, keeping what is known");
        }
    }
}

/// The first lookup, which the start waits for, but not for long: a name that is not there yet will come.
pub(crate) async fn first(directory: &mut Directory) {
    if tokio::time::timeout(FIRST, directory.look_up()).await.is_err() {
        tracing::warn!(error.type = "dns", "the first lookup takes long, starting without it");
    }
}

/// Looks names up again, for as long as anybody holds the upstream.
pub(crate) async fn keep_looking(upstream: Weak<Upstream>, mut directory: Directory, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        directory.look_up().await;
        let Some(upstream) = upstream.upgrade() else { return };
        upstream.adopt(&directory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(addresses: &[&str]) -> Directory {
        let parse = |text: &&str| text.parse().expect("an address");
        Directory::new(&addresses.iter().map(parse).collect::<Vec<_>>())
    }

    fn names(replicas: &[Arc<Replica>]) -> Vec<&str> {
        replicas.iter().map(|replica| &*replica.name).collect()
    }

    fn ips(texts: &[&str]) -> io::Result<Vec<IpAddr>> {
        Ok(texts.iter().map(|text| text.parse().expect("an address")).collect())
    }

    #[test]
    fn literal_addresses_are_replicas_at_once_and_each_only_once() {
        let directory =
            directory(&["http://127.0.0.1:2", "http://127.0.0.1:1", "http://127.0.0.1:2", "http://[::1]:1"]);
        assert!(!directory.has_names());
        assert_eq!(names(&directory.replicas(&[], 1)), ["127.0.0.1:1", "127.0.0.1:2", "[::1]:1"]);
    }

    #[test]
    fn a_name_is_all_its_addresses_and_those_that_stay_are_the_same_replicas() {
        let mut directory = directory(&["http://api:80"]);
        assert!(directory.has_names());
        assert!(directory.replicas(&[], 1).is_empty());
        directory.entries[0].learn(ips(&["10.0.0.1", "10.0.0.2"]));
        let before = directory.replicas(&[], 1);
        directory.entries[0].learn(ips(&["10.0.0.2", "10.0.0.3"]));
        let after = directory.replicas(&before, 1);
        assert_eq!(names(&after), ["10.0.0.2:80", "10.0.0.3:80"]);
        assert!(Arc::ptr_eq(&before[1], &after[0]));
        assert_eq!(&*after[0].host, "api");
    }

    #[test]
    fn a_failed_or_empty_lookup_keeps_what_is_known() {
        let mut directory = directory(&["http://api:80"]);
        directory.entries[0].learn(ips(&["10.0.0.1"]));
        directory.entries[0].learn(Err(io::Error::other("no name server")));
        directory.entries[0].learn(ips(&[]));
        assert_eq!(names(&directory.replicas(&[], 1)), ["10.0.0.1:80"]);
    }
}
