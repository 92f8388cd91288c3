//! What a request may be refused for: it is not what OTLP says.

/// Why a request cannot be read. The sender is told, and must not send it again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("the request is not a protobuf message of OTLP")]
    Protobuf(#[from] prost::DecodeError),
    #[error("the request is not JSON")]
    Json(#[from] serde_json::Error),
    #[error("`{member}` must be {expected}")]
    Member { member: &'static str, expected: &'static str },
    #[error("`{id}` is {found} bytes long, but must be {expected}")]
    Id { id: &'static str, found: usize, expected: usize },
    #[error("the request's body cannot be decompressed")]
    Compression(#[source] std::io::Error),
}

impl Malformed {
    /// The whole chain on one line, for the answer.
    pub(crate) fn told(&self) -> String {
        let mut told = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            told = format!("{told}: {error}");
            cause = error.source();
        }
        told
    }
}
