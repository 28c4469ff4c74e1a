//! Planted faults: switches by which tests break one place of the engine and see that they would notice.
//!
//! In a program that is built to be used (without debug assertions) every switch is the constant `false` and nothing
//! of this is there; a feature would make every test build two programs. A fault is armed for the calling thread only,
//! so that tests beside it stay sound.

#[cfg(debug_assertions)]
pub use armed::{Armed, arm, is};

/// Whether the fault of this name is armed in this thread: never.
#[cfg(not(debug_assertions))]
#[inline]
pub const fn is(_name: &'static str) -> bool {
    false
}

#[cfg(debug_assertions)]
mod armed {
    use std::cell::Cell;

    thread_local! {
        static NAME: Cell<Option<&'static str>> = const { Cell::new(None) };
    }

    /// Whether the fault of this name is armed in this thread.
    pub fn is(name: &'static str) -> bool {
        NAME.get() == Some(name)
    }

    /// Arms a fault in this thread until the value is dropped. One at a time.
    #[must_use]
    pub fn arm(name: &'static str) -> Armed {
        NAME.set(Some(name));
        Armed { _private: () }
    }

    /// An armed fault.
    #[derive(Debug)]
    pub struct Armed {
        _private: (),
    }

    impl Drop for Armed {
        fn drop(&mut self) {
            NAME.set(None);
        }
    }
}
