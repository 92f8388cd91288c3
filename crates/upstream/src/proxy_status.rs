//! `Proxy-Status` (RFC 9209): which proxy says what of an answer. Whoever reads it knows that a proxy nearer to the
//! fault has done what could be done: nobody tries such a request again.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// The field.
pub const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// An answer that `proxy` made itself. `error` is a type of RFC 9209 §2.3, `details` a text without quotes.
pub fn own_answer(proxy: &'static str, error: &'static str, details: Option<&str>) -> HeaderValue {
    let details = details.map(|details| format!("; details=\"{details}\"")).unwrap_or_default();
    let member = format!("{proxy}; error={error}{details}");
    // Only a text that is not ours could be unfit for a field, and then the type alone must do.
    HeaderValue::try_from(member).unwrap_or(HeaderValue::from_static(error))
}

/// Signs a gateway's kind of error that `proxy` passes on as the replica gave it. Call it for every answer passed on.
pub fn note_received(proxy: &'static str, status: StatusCode, headers: &mut HeaderMap) {
    let received = match status {
        StatusCode::BAD_GATEWAY => 502,
        StatusCode::SERVICE_UNAVAILABLE => 503,
        StatusCode::GATEWAY_TIMEOUT => 504,
        _ => return,
    };
    if let Ok(member) = HeaderValue::try_from(format!("{proxy}; received-status={received}")) {
        headers.append(PROXY_STATUS, member);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateways_error_is_signed_by_whoever_passes_it_on() {
        let mut headers = HeaderMap::new();
        note_received("cache", StatusCode::OK, &mut headers);
        note_received("cache", StatusCode::INTERNAL_SERVER_ERROR, &mut headers);
        assert!(headers.is_empty());
        note_received("cache", StatusCode::SERVICE_UNAVAILABLE, &mut headers);
        note_received("edge", StatusCode::SERVICE_UNAVAILABLE, &mut headers);
        let members: Vec<_> = headers.get_all(PROXY_STATUS).iter().collect();
        assert_eq!(members, ["cache; received-status=503", "edge; received-status=503"]);
    }

    #[test]
    fn an_own_answer_names_its_error() {
        assert_eq!(own_answer("cache", "dns_error", None), "cache; error=dns_error");
        let value = own_answer("cache", "dns_error", Some("no replica is known"));
        assert_eq!(value, "cache; error=dns_error; details=\"no replica is known\"");
    }
}
