//! List, watch and compare-and-swap with revisions: memory and embedded, and the client of the REST API.
