//! What a response says of its trace and of the time taken: `traceresponse`, `x-trace-id`, `Server-Timing`.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::Body;

use super::{ServerBody, ending::Running};
use crate::tracked::{self, Slot, Tracked};

const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");
const X_TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// Where the trace id is in `traceresponse`, which is formed as `traceparent` is.
const TRACE_ID: std::ops::Range<usize> = 3..35;

/// Puts the headers on and sends the body after them; a message without a body ends here.
pub(super) fn finish<R: Body<Data = Bytes>>(
    mut running: Running,
    response: Response<Slot<R>>,
) -> Response<ServerBody<R>> {
    let (mut parts, slot) = response.into_parts();
    running.answered(parts.status);
    write(&running, &mut parts.headers);
    let is_read = tracked::has_body(running.is_head(), parts.status);
    let inner = Tracked::new(slot, &parts.headers, is_read, running);
    Response::from_parts(parts, ServerBody { inner })
}

fn write(running: &Running, headers: &mut HeaderMap) {
    let value = Bytes::copy_from_slice(&running.traceresponse());
    let text = |bytes| {
        HeaderValue::from_maybe_shared(bytes).expect("hexadecimal digits and dashes are a header's value")
    };
    headers.insert(X_TRACE_ID, text(value.slice(TRACE_ID)));
    headers.insert(TRACERESPONSE, text(value));

    let mut timing = running.timing();
    for behind in headers.get_all(SERVER_TIMING) {
        timing.extend_from_slice(b", ");
        timing.extend_from_slice(behind.as_bytes());
    }
    if let Ok(timing) = HeaderValue::from_maybe_shared(Bytes::from(timing)) {
        headers.insert(SERVER_TIMING, timing);
    }
}

/// This hop's entries, of which the database's is one.
pub(super) fn timing(
    service: &str,
    description: Option<&str>,
    elapsed: Duration,
    db: Option<Duration>,
) -> Vec<u8> {
    let mut text = Vec::with_capacity(64);
    text.extend_from_slice(service.as_bytes());
    if let Some(description) = description {
        text.extend_from_slice(b";desc=");
        text.extend_from_slice(description.as_bytes());
    }
    text.extend_from_slice(b";dur=");
    write_millis(&mut text, elapsed);
    if let Some(db) = db {
        text.extend_from_slice(b", db;dur=");
        write_millis(&mut text, db);
    }
    text
}

/// Milliseconds with three decimals, without the detour over floating point.
fn write_millis(text: &mut Vec<u8>, time: Duration) {
    let micros = time.as_micros();
    let mut digits = [b'0'; 40];
    let (mut rest, mut place) = (micros, digits.len());
    while rest > 0 || digits.len() - place < 5 {
        place -= 1;
        if digits.len() - place == 4 {
            digits[place] = b'.';
        } else {
            digits[place] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
    text.extend_from_slice(&digits[place..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_decimals() {
        let table = [(0, "0.000"), (1, "0.001"), (999, "0.999"), (1000, "1.000"), (1_234_567, "1234.567")];
        for (micros, expected) in table {
            let mut text = Vec::new();
            write_millis(&mut text, Duration::from_micros(micros));
            assert_eq!(String::from_utf8(text).unwrap(), expected);
        }
        let mut longest = Vec::new();
        write_millis(&mut longest, Duration::MAX);
        assert!(longest.ends_with(b"615999.999"), "{}", String::from_utf8_lossy(&longest));
    }

    #[test]
    fn the_hops_own_entry_comes_first() {
        let table = [
            (None, None, "cache;dur=1.500"),
            (Some("hit"), None, "cache;desc=hit;dur=1.500"),
            (None, Some(700), "cache;dur=1.500, db;dur=0.700"),
        ];
        for (description, db, expected) in table {
            let text =
                timing("cache", description, Duration::from_micros(1500), db.map(Duration::from_micros));
            assert_eq!(String::from_utf8(text).unwrap(), expected);
        }
    }
}
