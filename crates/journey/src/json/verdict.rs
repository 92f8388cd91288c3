//! A verdict as JSON.

use serde::Serialize;

use crate::baseline::{Deviation, Usual};
use crate::json::milliseconds;
use crate::verdict::{Failure, Later, Share, Spent, Sure, Verdict};

#[derive(Serialize)]
pub(super) struct Form {
    duration_ms: Option<f64>,
    failed: bool,
    shares: Vec<ShareForm>,
    failure: Option<FailureForm>,
    later: Vec<LaterForm>,
    usual: Option<UsualForm>,
    sure: Sure,
    doubts: Vec<String>,
}

#[derive(Serialize)]
struct ShareForm {
    percent: u64,
    duration_ms: f64,
    spent: Spent,
    waiting: bool,
    service: String,
    to: Option<String>,
    name: String,
    mixed: bool,
    spans: usize,
    span_id: String,
}

#[derive(Serialize)]
struct FailureForm {
    first: String,
    because: Vec<String>,
    coped_with: bool,
}

#[derive(Serialize)]
struct LaterForm {
    span_id: String,
    service: String,
    name: String,
    failed: bool,
    duration_ms: f64,
    shares: Vec<ShareForm>,
}

#[derive(Serialize)]
struct UsualForm {
    service: String,
    place: String,
    route: Option<String>,
    requests: u64,
    few: bool,
    p50_ms: f64,
    p95_ms: f64,
    times_p95: Option<f64>,
    most: Option<DeviationForm>,
}

#[derive(Serialize)]
struct DeviationForm {
    service: String,
    spent: Spent,
    duration_ms: f64,
    p50_ms: f64,
    p95_ms: f64,
}

pub(super) fn form(verdict: &Verdict) -> Form {
    Form {
        duration_ms: verdict.took.map(milliseconds),
        failed: verdict.has_failed,
        shares: shares(&verdict.shares),
        failure: verdict.failure.as_ref().map(failure),
        later: verdict.later.iter().map(later).collect(),
        usual: verdict.usual.as_ref().map(usual),
        sure: verdict.sure,
        doubts: verdict.doubts.iter().map(|doubt| doubt.words()).collect(),
    }
}

fn shares(shares: &[Share]) -> Vec<ShareForm> {
    let form = |share: &Share| {
        let Share { service, to, spent, time, percent, name, is_mixed, spans, span } = share;
        ShareForm {
            percent: *percent,
            duration_ms: milliseconds(*time),
            spent: *spent,
            waiting: spent.is_wait(),
            service: service.clone(),
            to: to.clone(),
            name: name.clone(),
            mixed: *is_mixed,
            spans: *spans,
            span_id: span.to_string(),
        }
    };
    shares.iter().map(form).collect()
}

fn failure(failure: &Failure) -> FailureForm {
    FailureForm {
        first: failure.first.to_string(),
        because: failure.because.iter().map(|id| id.to_string()).collect(),
        coped_with: failure.is_coped_with,
    }
}

fn later(later: &Later) -> LaterForm {
    LaterForm {
        span_id: later.span.to_string(),
        service: later.service.clone(),
        name: later.name.clone(),
        failed: later.has_failed,
        duration_ms: milliseconds(later.took),
        shares: shares(&later.shares),
    }
}

fn usual(usual: &Usual) -> UsualForm {
    let deviation = |most: &Deviation| DeviationForm {
        service: most.service.clone(),
        spent: most.spent,
        duration_ms: milliseconds(most.took),
        p50_ms: milliseconds(most.p50),
        p95_ms: milliseconds(most.p95),
    };
    UsualForm {
        service: usual.route.service.clone(),
        place: usual.route.place.clone(),
        route: usual.route.route.clone(),
        requests: usual.requests,
        few: usual.are_few(),
        p50_ms: milliseconds(usual.p50),
        p95_ms: milliseconds(usual.p95),
        times_p95: Some(usual.took as f64 / usual.p95 as f64).filter(|_| usual.p95 > 0),
        most: usual.most.as_ref().map(deviation),
    }
}
