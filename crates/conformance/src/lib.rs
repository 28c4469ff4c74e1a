//! Runner of case files.
