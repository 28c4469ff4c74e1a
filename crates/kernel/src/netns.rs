//! Network namespaces as owned values: make one, enter it for the length of a closure, drop it.
//!
//! No name is put anywhere in the file system: a namespace lives as long as a descriptor, a socket or a process in it.
