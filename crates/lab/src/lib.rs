//! A cluster on one Linux machine, in network namespaces.
