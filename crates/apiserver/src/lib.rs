//! A Kubernetes-style REST API over a store, on a unix socket.
