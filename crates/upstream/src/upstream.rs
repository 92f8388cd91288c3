//! The replicas of one next hop, shared by all threads of the process.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::{
    client::Client,
    discover::{self, Directory},
    measure,
    pick::{self, Balance, Spirit, Standing, View, Wish},
    pool::Pool,
    rendezvous::LoadFactor,
    replica::Replica,
    retry::Budget,
    settings::Settings,
};

/// The replicas of one next hop and what is known of them; shared by all threads of the process.
#[derive(Debug)]
pub struct Upstream {
    pub(crate) settings: Settings,
    pub(crate) budget: Budget,
    replicas: RwLock<Arc<[Arc<Replica>]>>,
    turn: AtomicU64,
}

/// A setting that cannot be used beside the others.
#[derive(Debug, thiserror::Error)]
#[error("`{setting}` is `{value}`, but must be {expected}")]
pub struct StartError {
    /// The flag.
    pub setting: &'static str,
    /// What it was.
    pub value: String,
    /// The accepted form.
    pub expected: String,
}

impl Upstream {
    /// Looks the names up once and goes on doing so in the background (on the current Tokio runtime).
    pub async fn start(settings: Settings) -> Result<Arc<Upstream>, StartError> {
        check(&settings)?;
        let mut directory = Directory::new(&settings.upstream);
        let every = settings.resolve_interval;
        let upstream = Arc::new(Upstream {
            settings,
            budget: Budget::default(),
            replicas: RwLock::new(Arc::default()),
            turn: AtomicU64::new(0),
        });
        discover::first(&mut directory).await;
        upstream.adopt(&directory);
        measure::observe(&upstream);
        if directory.has_names() {
            tokio::spawn(discover::keep_looking(Arc::downgrade(&upstream), directory, every));
        }
        Ok(upstream)
    }

    /// A client with a connection pool of its own: one a thread, made within that thread's runtime.
    pub fn client(self: &Arc<Self>) -> Client {
        let most = self.settings.max_idle_connections as usize;
        Client::new(self.clone(), Pool::new(most, self.settings.idle_connection_timeout))
    }

    /// For `/readyz`: at least one replica is not ejected.
    pub fn is_usable(&self) -> bool {
        let now = Instant::now();
        self.replicas().iter().any(|replica| replica.standing(now) == Standing::In)
    }

    /// The replica for a request that has been tried at `tried`; `None` when there is none at all.
    pub(crate) fn choose(
        &self,
        now: Instant,
        tried: &[u64],
        key: Option<u64>,
        may_probe: bool,
    ) -> Option<(Arc<Replica>, Spirit)> {
        let replicas = self.replicas();
        let view = |replica: &Arc<Replica>| replica.view(now, tried.contains(&replica.id));
        let views: Vec<View> = replicas.iter().map(view).collect();
        let wish = Wish {
            balance: self.settings.balance,
            key,
            load_factor: self.settings.hash_load_factor,
            turn: self.turn.fetch_add(1, Relaxed),
            random: fastrand::u64(..),
            may_probe,
        };
        let mut choice = pick::pick(&views, wish)?;
        if choice.spirit == Spirit::Probe
            && !replicas[choice.index].begin_probe(now, self.settings.try_timeout())
        {
            choice = pick::pick(&views, Wish { may_probe: false, ..wish })?;
        }
        let replica = &replicas[choice.index];
        tracing::debug!(
            replica = &*replica.name,
            spirit = ?choice.spirit,
            load = views[choice.index].load,
            of = views.len(),
            "replica picked"
        );
        Some((replica.clone(), choice.spirit))
    }

    pub(crate) fn replicas(&self) -> Arc<[Arc<Replica>]> {
        self.replicas.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes over to the replicas that `directory` knows.
    pub(crate) fn adopt(&self, directory: &Directory) {
        let before = self.replicas();
        let after = directory.replicas(&before, self.settings.max_in_flight);
        let without = |list: &[Arc<Replica>], other: &[Arc<Replica>], say: fn(&str)| {
            for replica in list.iter().filter(|replica| !other.iter().any(|o| Arc::ptr_eq(o, replica))) {
                say(&replica.name);
            }
        };
        without(&after, &before, |replica| tracing::info!(replica, "replica added"));
        without(&before, &after, |replica| tracing::info!(replica, "replica removed"));
        *self.replicas.write().unwrap_or_else(PoisonError::into_inner) = after.into();
    }
}

fn check(settings: &Settings) -> Result<(), StartError> {
    let (one, all) = (settings.try_timeout(), settings.request_timeout());
    if settings.try_timeout.is_some() && one > all {
        return Err(StartError {
            setting: "--try-timeout",
            value: shown(one),
            expected: format!("at most `--request-timeout` ({})", shown(all)),
        });
    }
    let factor = settings.hash_load_factor;
    if factor != LoadFactor::OFF && settings.balance != Balance::Hash {
        return Err(StartError {
            setting: "--hash-load-factor",
            value: factor.to_string(),
            expected: "`off` unless `--balance` is `hash`".to_owned(),
        });
    }
    Ok(())
}

fn shown(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}
