//! What a receiver's answer means for the delivery, from its status and `Retry-After` alone.

use std::time::Duration;

use http::StatusCode;
use store::Outcome;

use crate::outcome::{Again, Failure};

/// `retry_after` is what the answer asked for, if it did.
pub(crate) fn judge(status: StatusCode, retry_after: Option<Duration>) -> Result<Outcome, Failure> {
    match status {
        _ if status.is_success() => Ok(Outcome::Done),
        // The receiver wants no more of it (Standard Webhooks).
        StatusCode::GONE => Ok(Outcome::Unsubscribe { reason: "its receiver answered 410 Gone".into() }),
        // A signed body is for the one whose URL was registered; who has moved registers anew.
        _ if status.is_redirection() => Err(failure(status, "redirects are not followed", Again::Later)),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Err(failure(status, "", retry_after.map_or(Again::Later, Again::After)))
        }
        _ => Err(failure(status, "", Again::Later)),
    }
}

fn failure(status: StatusCode, remark: &str, again: Again) -> Failure {
    let reason = status.canonical_reason().unwrap_or_default();
    let mut error = format!("the receiver answered {} {reason}", status.as_str()).trim_end().to_owned();
    if !remark.is_empty() {
        error += &format!(": {remark}");
    }
    Failure { kind: status.as_str().to_owned().into(), error, again }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, retry_after: Option<u64>, expected: Result<&str, (&str, Again)>) {
        let judged = judge(StatusCode::from_u16(status).unwrap(), retry_after.map(Duration::from_secs));
        let judged = match &judged {
            Ok(Outcome::Done) => Ok("done"),
            Ok(Outcome::Unsubscribe { reason }) => Ok(reason.as_str()),
            Ok(other) => panic!("{other:?}"),
            Err(failure) => {
                assert_eq!(failure.kind, status.to_string());
                Err((failure.error.as_str(), failure.again))
            }
        };
        assert_eq!(judged, expected, "{status} {retry_after:?}");
    }

    #[test]
    fn an_answer_is_judged_by_its_status() {
        let after = |seconds| Again::After(Duration::from_secs(seconds));
        check(200, None, Ok("done"));
        check(204, Some(9), Ok("done"));
        check(299, None, Ok("done"));
        check(410, Some(9), Ok("its receiver answered 410 Gone"));
        check(429, None, Err(("the receiver answered 429 Too Many Requests", Again::Later)));
        check(429, Some(30), Err(("the receiver answered 429 Too Many Requests", after(30))));
        check(503, Some(30), Err(("the receiver answered 503 Service Unavailable", after(30))));
        check(500, Some(30), Err(("the receiver answered 500 Internal Server Error", Again::Later)));
        check(400, None, Err(("the receiver answered 400 Bad Request", Again::Later)));
        check(404, None, Err(("the receiver answered 404 Not Found", Again::Later)));
        check(599, None, Err(("the receiver answered 599", Again::Later)));
        let moved = "the receiver answered 301 Moved Permanently: redirects are not followed";
        check(301, None, Err((moved, Again::Later)));
        let there = "the receiver answered 308 Permanent Redirect: redirects are not followed";
        check(308, Some(3), Err((there, Again::Later)));
    }
}
