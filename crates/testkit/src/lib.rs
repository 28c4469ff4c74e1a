//! Fixtures, packet builders, network namespace guard, random clusters.
