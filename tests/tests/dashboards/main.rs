//! The dashboards ask what operators ask, of metrics that exist, and a real Prometheus that has read a real run has an
//! answer to each of their queries.

use std::collections::{BTreeMap, BTreeSet};

use board::{Dashboard, Query, all_queries, dashboards, list, text};

/// The dashboards and data sources.
mod board;
/// What a query names.
mod promql;
/// The queries, asked after a real run.
mod run;

/// `telemetry::names`: the value of each constant by its name.
fn names() -> BTreeMap<&'static str, &'static str> {
    let source = include_str!("../../../crates/telemetry/src/names.rs");
    let constants = source.lines().filter_map(|line| line.strip_prefix("pub const "));
    let texts = constants.filter_map(|constant| {
        let (name, value) = constant.split_once(": &str = \"")?;
        Some((name, value.strip_suffix("\";")?))
    });
    texts.collect()
}

/// Whether the Collector's Prometheus exporter makes `series` of the metric `name`: dots become `_`, then come the unit
/// and what is told of it.
fn is_series_of(series: &str, name: &str) -> bool {
    let Some(rest) = series.strip_prefix(&name.replace('.', "_")) else { return false };
    let ends = |unit: &str| {
        let kind = rest.strip_prefix(unit);
        kind.is_some_and(|kind| ["", "_total", "_bucket", "_sum", "_count"].contains(&kind))
    };
    ["", "_seconds", "_bytes"].into_iter().any(ends)
}

fn named(query: &Query) -> promql::Named {
    promql::named(&query.text).unwrap_or_else(|error| panic!("{}: {error}", query.place))
}

#[test]
fn every_metric_of_a_query_is_in_telemetry_names() {
    let names = names();
    let metrics: Vec<_> = names.iter().filter(|(constant, _)| constant.starts_with("METRIC_")).collect();
    assert!(metrics.len() > 20, "names.rs is read: {metrics:?}");
    for query in all_queries() {
        let named = named(&query);
        assert!(!named.selected.is_empty(), "{}: no metric in `{}`", query.place, query.text);
        for (series, _) in named.selected {
            let known = metrics.iter().any(|(_, name)| is_series_of(&series, name));
            assert!(known, "{}: `{series}` is no metric of telemetry::names", query.place);
        }
    }
}

#[test]
fn every_label_of_a_query_is_in_telemetry_names() {
    // What Prometheus and the exporter add themselves.
    let mut labels: BTreeSet<String> = ["job", "instance", "le"].map(String::from).into();
    labels.extend(names().values().map(|name| name.replace('.', "_")));
    for query in all_queries() {
        let named = named(&query);
        let selected = named.selected.iter().flat_map(|(_, labels)| labels);
        for label in selected.chain(&named.grouped) {
            assert!(labels.contains(label), "{}: `{label}` is no name of telemetry::names", query.place);
        }
    }
}

#[test]
fn there_is_one_dashboard_a_service_and_one_of_the_whole_path() {
    let names: Vec<_> = dashboards().into_iter().map(|dashboard| dashboard.name).collect();
    assert_eq!(names, ["cache", "http_server", "load_balancer", "path", "worker"]);
}

#[test]
fn every_dashboard_is_found_and_looks_at_what_happens_now() {
    for Dashboard { name, json } in dashboards() {
        assert_eq!(json["uid"], format!("throughline-{name}"), "links lead to it by its uid");
        assert!(json["id"].is_null(), "{name}: ids are Grafana's own");
        assert!(json["schemaVersion"].is_u64(), "{name}");
        assert_eq!(
            json["tags"],
            serde_json::json!(["throughline"]),
            "{name}: dashboards link to each other by it"
        );
        assert_eq!(json["links"][0]["tags"], json["tags"], "{name}");
        assert_eq!((&json["time"]["from"], &json["refresh"]), (&"now-15m".into(), &"10s".into()), "{name}");
    }
}

#[test]
fn every_panel_asks_one_question_and_has_what_it_takes_to_answer() {
    let provisioned = board::uids();
    assert_eq!(provisioned, ["jaeger", "prometheus"].map(String::from).into());
    for dashboard in dashboards() {
        let panels = dashboard.panels();
        assert!((6..=10).contains(&panels.len()), "{}: {} panels", dashboard.name, panels.len());
        let titles: BTreeSet<_> = panels.iter().map(|panel| text(&panel["title"])).collect();
        assert_eq!(titles.len(), panels.len(), "{}: a question is asked twice: {titles:?}", dashboard.name);
        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
        assert_eq!(ids.len(), panels.len(), "{}: an id is there twice", dashboard.name);
        for variable in dashboard.variables().iter().filter(|variable| variable["type"] == "query") {
            let uid = text(&variable["datasource"]["uid"]);
            assert!(provisioned.contains(uid), "{}: data source `{uid}`", dashboard.name);
        }
        for panel in panels {
            let title = text(&panel["title"]);
            assert!(title.ends_with('?') && title.len() > 10, "{}: `{title}`", dashboard.name);
            if panel["type"] == "text" {
                assert_ne!(text(&panel["options"]["content"]), "", "{title}");
                continue;
            }
            assert_ne!(text(&panel["description"]), "", "{title}");
            assert_ne!(text(&panel["fieldConfig"]["defaults"]["unit"]), "", "{title}: no unit");
            let targets = list(&panel["targets"]);
            let refs: BTreeSet<_> = targets.iter().map(|target| text(&target["refId"])).collect();
            assert!(!refs.is_empty() && refs.len() == targets.len(), "{title}: {refs:?}");
            for asked in targets.iter().chain([panel]) {
                let uid = text(&asked["datasource"]["uid"]);
                assert!(provisioned.contains(uid), "{title}: data source `{uid}`");
            }
        }
    }
}

#[test]
fn panels_lie_side_by_side() {
    for dashboard in dashboards() {
        let mut taken = BTreeSet::new();
        for panel in dashboard.panels() {
            let [x, y, w, h] =
                ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().expect("a number"));
            assert!(w > 0 && h > 0 && x + w <= 24, "{}: {panel}", dashboard.name);
            for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(taken.insert(place), "{}: {} covers another", dashboard.name, panel["title"]);
            }
        }
    }
}

#[test]
fn every_variable_that_is_used_is_defined() {
    for dashboard in dashboards() {
        let variables = dashboard.variables().iter().map(|variable| text(&variable["name"]));
        let defined: BTreeSet<_> = variables.collect();
        let all = dashboard.json["panels"].to_string();
        let used: BTreeSet<_> = all
            .split('$')
            .skip(1)
            .map(|rest| rest.trim_start_matches('{'))
            .map(|rest| {
                rest.split(|one: char| !one.is_ascii_alphanumeric() && one != '_').next().unwrap_or_default()
            })
            .filter(|name| !name.starts_with("__"))
            .collect();
        assert_eq!(used, defined, "{}", dashboard.name);
    }
}

#[test]
fn data_sources_lead_to_each_other_and_to_a_dashboard_that_exists() {
    let uids = board::uids();
    let targets = board::values_of("datasourceUid");
    assert_eq!(
        targets,
        ["jaeger", "prometheus"],
        "from an exemplar to its trace, from a span to its metrics"
    );
    assert!(targets.iter().all(|target| uids.contains(target)), "{targets:?}");
    let link = "/d/throughline-path?var-trace_id=${__value.raw}";
    assert!(board::values_of("url").iter().any(|url| url == link), "from an exemplar to its log lines");
    let dashboards = dashboards();
    let path = dashboards.iter().find(|dashboard| dashboard.name == "path").expect("the whole path has one");
    assert!(
        path.variables().iter().any(|variable| variable["name"] == "trace_id"),
        "the link sets `trace_id`"
    );
}
