//! Observe, diff, order, apply, verify, retry: the only writer of policy state in the kernel.
