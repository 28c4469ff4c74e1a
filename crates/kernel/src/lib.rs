//! The only crate with system calls: rtnetlink, nf_tables, conntrack, NFLOG, network namespaces, sysctl.
