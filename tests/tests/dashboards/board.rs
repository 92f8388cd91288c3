//! The dashboards and data sources of `grafana/`, as far as the tests look at them.

use std::{collections::BTreeSet, fs, path::PathBuf};

use serde_json::Value;

/// One file of `grafana/dashboards`.
#[derive(Debug)]
pub(crate) struct Dashboard {
    /// Its file's name without the ending: `path`, or a service.
    pub(crate) name: String,
    /// All of it.
    pub(crate) json: Value,
}

/// One query, wherever it is written down.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    /// For messages: `path, Is telemetry being lost? A`.
    pub(crate) place: String,
    /// As Grafana would send it, but for its variables.
    pub(crate) text: String,
    /// Whether single requests are shown as points.
    pub(crate) has_exemplars: bool,
    /// The labels that legends name, or that a variable takes its values from.
    pub(crate) shown: Vec<String>,
}

impl Query {
    /// With a value for each of Grafana's variables: all instances, rates over `window`.
    pub(crate) fn concrete(&self, window: &str) -> String {
        self.text
            .replace("$__rate_interval", window)
            .replace("$__tags", "instance=~\".+\"")
            .replace("$instance", ".*")
    }
}

fn grafana(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../grafana").join(path)
}

/// Every dashboard.
pub(crate) fn dashboards() -> Vec<Dashboard> {
    let mut files: Vec<_> = fs::read_dir(grafana("dashboards"))
        .expect("grafana/dashboards is there")
        .map(|file| file.expect("it can be listed").path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| {
            let name = file.file_stem().and_then(|stem| stem.to_str()).expect("our names are UTF-8");
            let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{name}: {error}"));
            let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            Dashboard { name: name.to_owned(), json }
        })
        .collect()
}

/// The text of the provisioned data sources, with `$$` read as Grafana reads it.
pub(crate) fn data_sources() -> String {
    let path = grafana("provisioning/datasources/throughline.yaml");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.replace("$$", "$")
}

/// The values of a key in [`data_sources`], as they are in YAML of one line each.
pub(crate) fn values_of(key: &str) -> Vec<String> {
    let key = format!("{key}: ");
    let lines = data_sources();
    let values = lines.lines().filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(&key));
    values.map(|value| value.trim_matches(['\'', '"']).to_owned()).collect()
}

impl Dashboard {
    /// Its panels.
    pub(crate) fn panels(&self) -> &[Value] {
        list(&self.json["panels"])
    }

    /// Its variables.
    pub(crate) fn variables(&self) -> &[Value] {
        list(&self.json["templating"]["list"])
    }

    /// The queries of its panels and variables.
    pub(crate) fn queries(&self) -> Vec<Query> {
        let variables = self.variables().iter().filter(|variable| variable["type"] == "query");
        let of_variables = variables.map(|variable| self.query_of(variable));
        self.queries_of_panels().into_iter().chain(of_variables).collect()
    }

    /// The queries of its panels.
    pub(crate) fn queries_of_panels(&self) -> Vec<Query> {
        let queries = self.panels().iter().flat_map(|panel| {
            list(&panel["targets"]).iter().map(|target| Query {
                place: format!("{}, {} {}", self.name, text(&panel["title"]), text(&target["refId"])),
                text: text(&target["expr"]).to_owned(),
                has_exemplars: target["exemplar"] == true,
                shown: braced(text(&target["legendFormat"])),
            })
        });
        queries.collect()
    }

    fn query_of(&self, variable: &Value) -> Query {
        let place = format!("{}, variable {}", self.name, text(&variable["name"]));
        let definition = text(&variable["definition"]);
        assert_eq!(variable["query"]["query"], definition, "{place}");
        let arguments = definition.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let parts = arguments.and_then(|arguments| arguments.rsplit_once(", "));
        let (metric, label) = parts.unwrap_or_else(|| panic!("{place}: `label_values(METRIC, LABEL)`"));
        Query { place, text: metric.to_owned(), has_exemplars: false, shown: vec![label.to_owned()] }
    }
}

/// The queries from a span to the metrics of its kind.
pub(crate) fn queries_of_spans() -> Vec<Query> {
    let queries = values_of("query");
    let place = |number| format!("data source Jaeger, query {number}");
    let query =
        |(number, text)| Query { place: place(number), text, has_exemplars: false, shown: Vec::new() };
    queries.into_iter().enumerate().map(query).collect()
}

/// Every query there is.
pub(crate) fn all_queries() -> Vec<Query> {
    dashboards().iter().flat_map(Dashboard::queries).chain(queries_of_spans()).collect()
}

/// The uids of the provisioned data sources.
pub(crate) fn uids() -> BTreeSet<String> {
    values_of("uid").into_iter().collect()
}

/// What stands in `{{…}}`.
fn braced(legend: &str) -> Vec<String> {
    legend.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0.to_owned())).collect()
}

/// A list that may be absent.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A text; empty where it is absent.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
