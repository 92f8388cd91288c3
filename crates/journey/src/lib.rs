//! OTLP files → one request's story. Knows OTLP and the flat line, nothing of ours.
