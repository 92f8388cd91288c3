//! What `docker-compose.yml` says, read as Compose reads it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value;

use crate::engine::{compose, output, root};

/// The file as Compose understands it with these variables set, tools included.
pub(crate) fn config(variables: &[(&str, &str)]) -> Value {
    let mut command = compose(&["--profile", "tools", "config", "--format", "json"]);
    let text = output(command.envs(variables.iter().copied()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Its services by name.
pub(crate) fn services(config: &Value) -> BTreeMap<&str, &Value> {
    let services = config["services"].as_object().expect("the file has services");
    services.iter().map(|(name, service)| (name.as_str(), service)).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// `service address:published→target` of every port that is open on the host.
fn ports(config: &Value) -> BTreeSet<String> {
    let of_service = |(name, service): (&&str, &&Value)| {
        let port = |port: &Value| {
            format!("{name} {}:{}→{}", text(&port["host_ip"]), text(&port["published"]), port["target"])
        };
        list(&service["ports"]).iter().map(port).collect::<Vec<_>>()
    };
    services(config).iter().flat_map(of_service).collect()
}

fn set(ports: &[&str]) -> BTreeSet<String> {
    ports.iter().map(|port| (*port).to_owned()).collect()
}

#[test]
fn four_ports_are_open_on_the_host_and_only_on_loopback() {
    let wanted = set(&[
        "load_balancer 127.0.0.1:8080→8080",
        "jaeger 127.0.0.1:16686→16686",
        "grafana 127.0.0.1:3000→3000",
        "prometheus 127.0.0.1:9090→9090",
    ]);
    assert_eq!(ports(&config(&[])), wanted);
}

#[test]
fn every_port_and_the_address_can_be_chosen() {
    let chosen = config(&[
        ("THROUGHLINE_BIND", "10.0.0.7"),
        ("THROUGHLINE_PORT", "1"),
        ("JAEGER_PORT", "2"),
        ("GRAFANA_PORT", "3"),
        ("PROMETHEUS_PORT", "4"),
    ]);
    let wanted = set(&[
        "load_balancer 10.0.0.7:1→8080",
        "jaeger 10.0.0.7:2→16686",
        "grafana 10.0.0.7:3→3000",
        "prometheus 10.0.0.7:4→9090",
    ]);
    assert_eq!(ports(&chosen), wanted);
}

#[test]
fn every_service_is_checked_bounded_pinned_and_started_again() {
    // One runs to its end, one is a command, one has no shell to be asked in: `otel-collector-ready` asks it.
    let unchecked = ["telemetry-init", "throughline", "otel-collector"];
    let once = ["telemetry-init", "throughline"];
    let config = config(&[]);
    let mut wrong = Vec::new();
    for (name, service) in services(&config) {
        let mut wanted = |holds: bool, what: &str| {
            if !holds {
                wrong.push(format!("{name}: {what}"));
            }
        };
        let tag = text(&service["image"]).rsplit_once(':').map(|(_, tag)| tag).unwrap_or_default();
        wanted(!tag.is_empty() && tag != "latest", "its image is pinned to a version");
        wanted(service["mem_limit"].is_string(), "its memory is bounded");
        let checked = !list(&service["healthcheck"]["test"]).is_empty();
        wanted(checked != unchecked.contains(&name), "it has a health check");
        let restart = if once.contains(&name) { "no" } else { "unless-stopped" };
        wanted(text(&service["restart"]) == restart, &format!("its restart policy is `{restart}`"));
        wanted(
            !text(&service["logging"]["options"]["max-size"]).is_empty(),
            "the log that the engine keeps is bounded",
        );
        wanted(list(&service["cap_drop"]) == [Value::from("ALL")], "it gives up every capability");
        let options = list(&service["security_opt"]);
        wanted(options == [Value::from("no-new-privileges:true")], "it can gain no privileges");
        let volumes = list(&service["volumes"]).iter().map(|volume| text(&volume["source"]));
        wanted(!volumes.clone().any(|source| source.ends_with("docker.sock")), "it does not hold the engine");
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_programs_that_the_tests_build_are_the_versions_that_the_file_pins() {
    let install = read("tests/programs/install");
    let dockerfile = read("Dockerfile");
    let manifest = read("tests/programs/otelcol.yaml");
    let config = config(&[]);
    let services = services(&config);
    let tag = |service: &str| text(&services[service]["image"]).rsplit(':').next().unwrap_or_default();
    for wanted in [format!("OTELCOL={}\n", tag("otel-collector")), format!("JAEGER={} ", tag("jaeger"))] {
        assert!(install.contains(&wanted), "tests/programs/install has no `{wanted}`");
    }
    let version = format!("  version: {}\n", tag("otel-collector"));
    assert!(manifest.contains(&version), "tests/programs/otelcol.yaml has no `{version}`");
    let arguments = services["load_balancer"]["build"]["args"].as_object().expect("the image has arguments");
    for (name, value) in arguments {
        let wanted = format!("ARG {name}={}\n", text(value));
        assert!(dockerfile.contains(&wanted), "Dockerfile has no `{wanted}`");
    }
}

#[test]
fn every_setting_is_told_in_the_head_of_the_file() {
    let file = read("docker-compose.yml");
    let (head, body) = file.split_once("\nname:").expect("the settings come before the name");
    let variables: BTreeSet<_> =
        body.split("${").skip(1).map(|rest| rest.split([':', '}']).next().unwrap_or_default()).collect();
    assert!(variables.contains("THROUGHLINE_PORT"), "{variables:?}");
    let words: BTreeSet<_> = head.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let untold: Vec<_> = variables.difference(&words).collect();
    assert!(untold.is_empty(), "not in the head of docker-compose.yml: {untold:?}");
}

/// Grafana is in no package, so this is all that is known of it here: what is mounted into it is there, the folder of the
/// dashboards is the one that the provider reads, and the data sources are services of this file.
#[test]
fn grafana_finds_its_dashboards_and_its_data_sources_are_services_of_the_file() {
    let config = config(&[]);
    let services = services(&config);
    let mounts: BTreeMap<_, _> = list(&services["grafana"]["volumes"])
        .iter()
        .map(|volume| (text(&volume["target"]), text(&volume["source"])))
        .collect();
    let provisioning = Path::new(mounts["/etc/grafana/provisioning"]);
    let provider = read(provisioning.join("dashboards/throughline.yaml"));
    let folder = after(&provider, "path: ").next().expect("the provider has a path");
    let dashboards = fs::read_dir(mounts[folder]).expect("its folder is mounted");
    assert!(dashboards.count() > 0, "no dashboards in {folder}");
    let sources = read(provisioning.join("datasources/throughline.yaml"));
    let urls: Vec<_> = after(&sources, " url: http://").collect();
    assert_eq!(urls, ["prometheus:9090", "jaeger:16686"]);
    for url in urls {
        let (host, port) = url.split_once(':').expect("host and port");
        let open =
            list(&services[host]["ports"]).iter().any(|one| one["target"].as_u64() == port.parse().ok());
        assert!(open, "`{host}` does not listen on {port}");
    }
}

/// What follows `mark` on its lines.
fn after<'t>(text: &'t str, mark: &'t str) -> impl Iterator<Item = &'t str> {
    text.lines().filter_map(move |line| Some(line.split_once(mark)?.1))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
