//! The backend-neutral program of one node and a plain interpreter for it.
#![forbid(unsafe_code)]
