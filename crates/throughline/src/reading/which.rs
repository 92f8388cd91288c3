//! Which requests are wanted: what `traces` and `follow` share.

use std::time::Duration;

use journey::brief::{MOST_HAS, Picks};
use journey::traces::{Filter, Status};

/// Those that everything here is true of.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// Only those in which this service has a part; repeated: each of them
    #[arg(long, value_name = "NAME")]
    service: Vec<String>,
    /// Only those with this route somewhere: `/api/bookings/{id}`, or `GET /api/bookings/{id}`
    #[arg(long, value_name = "ROUTE")]
    route: Option<String>,
    /// Only those that were answered so: `404`, or a class, `5xx`
    #[arg(long, value_name = "STATUS")]
    status: Option<Status>,
    /// Only those in which something failed
    #[arg(long)]
    errors: bool,
    /// Only those whose first span took longer
    #[arg(long, value_name = "DURATION", value_parser = service::parse_duration)]
    slower_than: Option<Duration>,
    /// Only those with a span that has this attribute (or whose resource has it): text, a number, true or false;
    /// repeated: each of them, up to 32
    #[arg(long, value_name = "ATTRIBUTE=VALUE", value_parser = parse_has)]
    has: Vec<(String, String)>,
}

impl Which {
    /// What is looked for, and what must be kept of spans for it.
    ///
    /// # Errors
    /// More attributes than can be asked for at once: a sentence.
    pub(crate) fn filter(self) -> Result<(Filter, Picks), String> {
        let Self { service, route, status, errors, slower_than, has } = self;
        if has.len() > MOST_HAS {
            return Err(format!(
                "`--has` is given {} times: at most {MOST_HAS} attributes can be asked for at once",
                has.len()
            ));
        }
        let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let filter = Filter {
            services: service,
            route,
            status,
            has_errors: errors,
            slower_than: slower_than.map(nanoseconds),
            has: has.iter().enumerate().fold(0, |bits, (at, _)| bits | 1 << at),
            ..Filter::default()
        };
        Ok((filter, Picks { has, ..Picks::default() }))
    }
}

fn parse_has(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or("must be a name and a value: `http.request.method=GET`")?;
    Ok((name.to_owned(), value.to_owned()))
}
