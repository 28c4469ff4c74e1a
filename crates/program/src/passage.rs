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
    /// Of what the host itself sends, the interface that the way to `original` leads to; none where it is the same
    /// as behind the translation.
    pub first_out_interface: Option<&'a str>,
}

impl<'a> Passage<'a> {
    /// From one interface to another.
    pub const fn forward(in_interface: &'a str, out_interface: &'a str) -> Self {
        Self {
            in_interface: Some(in_interface),
            out_interface: Some(out_interface),
            way: Way::Forward,
            original: None,
            first_out_interface: None,
        }
    }

    /// From an interface to the host itself.
    pub const fn input(in_interface: &'a str) -> Self {
        Self {
            in_interface: Some(in_interface),
            out_interface: None,
            way: Way::Input,
            original: None,
            first_out_interface: None,
        }
    }

    /// From the host itself to an interface.
    pub const fn output(out_interface: &'a str) -> Self {
        Self {
            in_interface: None,
            out_interface: Some(out_interface),
            way: Way::Output,
            original: None,
            first_out_interface: None,
        }
    }

    /// The same for a packet that was sent to this address and port and whose destination the host translated.
    #[must_use]
    pub const fn translated_from(mut self, dst: IpAddr, port: u16) -> Self {
        self.original = Some((dst, port));
        self
    }

    /// The same for a packet of the host itself that would have gone out by this interface untranslated.
    #[must_use]
    pub const fn first_out_by(mut self, interface: &'a str) -> Self {
        self.first_out_interface = Some(interface);
        self
    }

    /// By which interface the packet passes the hooks before translation, when it does.
    pub(crate) fn early_interface(&self) -> Option<&'a str> {
        match self.way {
            Way::Output => self.first_out_interface.or(self.out_interface),
            Way::Forward | Way::Input => self.in_interface,
        }
    }
}
