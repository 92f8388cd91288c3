//! Which processes there are, and what each is told: from the settings and the addresses of those before it.

use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
};

use anyhow::Context;

use super::child::Addresses;

/// A process to be: what it is and what it is told, apart from its own addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// `http_server`.
    pub(super) service: &'static str,
    /// From 1 on.
    pub(super) number: u16,
    /// The flags of its listeners; where it listens is its first start's choice.
    pub(super) listens: &'static [&'static str],
    /// The port of its first listener; 0 lets the system choose.
    pub(super) port: u16,
    pub(super) arguments: Vec<OsString>,
    /// What may hold a password: an argument can be read by every user of the machine.
    pub(super) environment: Vec<(&'static str, String)>,
}

impl Plan {
    /// `http_server-1`.
    pub(super) fn name(&self) -> String {
        format!("{}-{}", self.service, self.number)
    }

    /// `http-server`.
    pub(super) fn subcommand(&self) -> String {
        self.service.replace('_', "-")
    }

    /// Where it shall listen: on the addresses of its first start, if there was one.
    pub(super) fn flags(&self, addresses: Option<&Addresses>) -> Vec<String> {
        let chosen = |index: usize| match addresses {
            Some(addresses) => addresses.listens[index],
            None => SocketAddr::from((Ipv4Addr::LOCALHOST, if index == 0 { self.port } else { 0 })),
        };
        let admin = addresses.map_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), |addresses| addresses.admin);
        let listens = self.listens.iter().enumerate().map(|(index, flag)| (*flag, chosen(index)));
        listens
            .chain([("--admin-listen", admin)])
            .flat_map(|(flag, address)| [flag.to_owned(), address.to_string()])
            .collect()
    }

    fn new(service: &'static str, number: u16, arguments: Vec<OsString>) -> Self {
        Self { service, number, listens: &["--listen"], port: 0, arguments, environment: Vec::new() }
    }

    fn telling(mut self, otlp_endpoint: &str) -> Self {
        self.environment.push(("THROUGHLINE_OTLP_ENDPOINT", otlp_endpoint.to_owned()));
        self
    }

    fn on(mut self, database_url: &str) -> Self {
        self.environment.push(("THROUGHLINE_DATABASE_URL", database_url.to_owned()));
        self
    }
}

pub(super) fn collector(directory: &Path) -> Plan {
    let arguments = vec!["--directory".into(), directory.into()];
    Plan { listens: &["--listen", "--http-listen"], ..Plan::new("collector", 1, arguments) }
}

pub(super) fn http_servers(count: u16, database_url: &str, otlp_endpoint: &str) -> Vec<Plan> {
    let plan = |number| Plan::new("http_server", number, Vec::new()).telling(otlp_endpoint).on(database_url);
    (1..=count).map(plan).collect()
}

/// Whoever tries webhooks here has the receiver on this machine: its address is allowed.
pub(super) fn workers(count: u16, database_url: &str, otlp_endpoint: &str) -> Vec<Plan> {
    let plan = |number| {
        let plan = Plan::new("worker", number, vec!["--allow-private-addresses".into()]);
        Plan { listens: &[], ..plan }.telling(otlp_endpoint).on(database_url)
    };
    (1..=count).map(plan).collect()
}

pub(super) fn caches(
    count: u16,
    servers: &[SocketAddr],
    otlp_endpoint: &str,
    redis_url: Option<&str>,
) -> Vec<Plan> {
    let plan = |number| {
        let mut plan = Plan::new("cache", number, upstream(servers)).telling(otlp_endpoint);
        plan.environment.extend(redis_url.map(|url| ("THROUGHLINE_REDIS_URL", url.to_owned())));
        plan
    };
    (1..=count).map(plan).collect()
}

/// Its clients are on this machine: their trace context is believed, so that `curl -H traceparent:…` shows something.
/// `shared`: whether the caches have a Redis in common, so that a hot key may be at several.
pub(super) fn load_balancer(port: u16, caches: &[SocketAddr], otlp_endpoint: &str, shared: bool) -> Plan {
    let mut arguments = upstream(caches);
    arguments.extend(["--balance", "hash", "--trusted-peers", "loopback"].map(OsString::from));
    if shared {
        arguments.extend(["--hash-load-factor", "1.25"].map(OsString::from));
    }
    Plan { port, ..Plan::new("load_balancer", 1, arguments) }.telling(otlp_endpoint)
}

fn upstream(replicas: &[SocketAddr]) -> Vec<OsString> {
    replicas.iter().flat_map(|replica| ["--upstream".into(), format!("http://{replica}").into()]).collect()
}

/// Says at once what would otherwise come to light only when everything else runs.
pub(super) fn port_is_free(port: u16) -> anyhow::Result<()> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    bound.map(drop).with_context(|| {
        format!("cannot serve on 127.0.0.1:{port}: choose another --port (0 lets the system choose)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(ports: &[u16]) -> Vec<SocketAddr> {
        ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect()
    }

    #[test]
    fn each_process_is_told_of_the_next_hop_only() {
        let caches = caches(2, &addresses(&[1, 2]), "http://c", None);
        assert_eq!(
            caches[1].arguments.join(std::ffi::OsStr::new(" ")),
            "--upstream http://127.0.0.1:1 --upstream http://127.0.0.1:2"
        );
        assert_eq!(caches[1].name(), "cache-2");
        let alone = "--upstream http://127.0.0.1:3 --balance hash --trusted-peers loopback";
        for (shared, expected) in
            [(false, alone.to_owned()), (true, format!("{alone} --hash-load-factor 1.25"))]
        {
            let edge = load_balancer(80, &addresses(&[3]), "http://c", shared);
            assert_eq!(edge.arguments.join(std::ffi::OsStr::new(" ")), *expected);
        }
        let edge = load_balancer(80, &[], "http://c", false);
        assert_eq!((edge.port, edge.subcommand().as_str()), (80, "load-balancer"));
    }

    #[test]
    fn what_may_hold_a_password_is_no_argument() {
        for plans in [http_servers, workers] {
            let plans = plans(1, "postgres://user:secret@db/x", "http://user:secret@c");
            assert!(!format!("{:?}", plans[0].arguments).contains("secret"));
            let names: Vec<_> = plans[0].environment.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, ["THROUGHLINE_OTLP_ENDPOINT", "THROUGHLINE_DATABASE_URL"]);
        }
        let caches = caches(1, &[], "http://user:secret@c", Some("redis://user:secret@r"));
        assert!(!format!("{:?}", caches[0].arguments).contains("secret"));
        assert_eq!(caches[0].environment[1], ("THROUGHLINE_REDIS_URL", "redis://user:secret@r".to_owned()));
    }

    #[test]
    fn a_port_in_use_is_said_with_what_to_do() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = format!("{:#}", port_is_free(port).unwrap_err());
        assert!(error.contains(&format!("127.0.0.1:{port}")) && error.contains("--port"), "{error}");
        assert!(port_is_free(0).is_ok());
    }
}
