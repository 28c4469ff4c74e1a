//! The way of a packet through a host, as the interpreter is told it.

use std::net::IpAddr;

/// Which way a packet takes through the host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Way {
    /// From one interface to another.
    Forward,
    /// To the host itself.
    Input,
    /// From the host itself.
    Output,
}

/// Where a packet enters and leaves the host, and where it was sent to before the host translated its
/// destination. The packet itself is the one behind the translation: that is what policy judges, but for
/// what is asked before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passage<'a> {
    /// The interface that it came in by; none for what the host itself sends.
    pub in_interface: Option<&'a str>,
    /// The interface that it goes out by, behind any translation; none for what ends here.
    pub out_interface: Option<&'a str>,
    /// The way.
    pub way: Way,
    /// Address and port before destination NAT; none when nothing was translated.
    pub original: Option<(IpAddr, u16)>,
}

impl<'a> Passage<'a> {
    /// From one interface to another.
    pub const fn forward(in_interface: &'a str, out_interface: &'a str) -> Self {
        Self {
            in_interface: Some(in_interface),
            out_interface: Some(out_interface),
            way: Way::Forward,
            original: None,
        }
    }

    /// From an interface to the host itself.
    pub const fn input(in_interface: &'a str) -> Self {
        Self {
            in_interface: Some(in_interface),
            out_interface: None,
            way: Way::Input,
            original: None,
        }
    }

    /// From the host itself to an interface.
    pub const fn output(out_interface: &'a str) -> Self {
        Self {
            in_interface: None,
            out_interface: Some(out_interface),
            way: Way::Output,
            original: None,
        }
    }

    /// The same for a packet that was sent to this address and port and whose destination the host translated.
    #[must_use]
    pub const fn translated_from(mut self, dst: IpAddr, port: u16) -> Self {
        self.original = Some((dst, port));
        self
    }
}
