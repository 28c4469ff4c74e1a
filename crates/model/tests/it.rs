//! Conversion from `api` objects, text in, text out.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod it {
    mod closed;
    mod cluster;
    mod objects;
    mod policies;
    mod render;
}
