//! The signature of a delivery, as the Standard Webhooks specification says: `v1,` and the base64 of the HMAC-SHA256 of
//! `ID.TIMESTAMP.BODY`, made with the webhook's key.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The value of `webhook-signature`. `seconds` since 1970 are the value of `webhook-timestamp`.
pub(crate) fn sign(key: &[u8], id: &str, seconds: u64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length (RFC 2104 §2)");
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(secret: &str, id: &str, seconds: u64, body: &str, expected: &str) {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        assert_eq!(sign(&key, id, seconds, body.as_bytes()), expected);
    }

    #[test]
    fn it_is_that_of_the_specifications_own_libraries() {
        check(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        );
    }

    #[test]
    fn every_part_is_signed() {
        let signed = |id, seconds, body: &str| sign(b"key", id, seconds, body.as_bytes());
        let all = [signed("a", 1, "x"), signed("b", 1, "x"), signed("a", 2, "x"), signed("a", 1, "y")];
        let different: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len(), "{all:?}");
        assert_ne!(sign(b"key", "a", 1, b"x"), sign(b"other", "a", 1, b"x"));
    }
}
