//! Packet marks: the part that is ours, and class numbers inside it.

use std::fmt;

/// A packet mark as the kernel holds it: 32 bits, ours and everybody else's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Mark(pub u32);

/// The contiguous run of mark bits that belongs to us. At least 8 bits (`engine.md` §1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MarkMask(u32);

/// A mask that cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MaskError {
    /// Fewer than 8 bits.
    #[error("mark mask {mask:#010x} has {bits} bits: at least 8 are needed, as in 0xffff0000")]
    TooNarrow {
        /// The mask as given.
        mask: u32,
        /// How many bits it has.
        bits: u32,
    },
    /// The bits are not one run.
    #[error("mark mask {mask:#010x} is not contiguous: use one run of bits, as in 0xffff0000")]
    NotContiguous {
        /// The mask as given.
        mask: u32,
    },
}

impl Default for MarkMask {
    fn default() -> Self {
        Self(0xffff_0000)
    }
}

impl MarkMask {
    /// Checks a mask.
    ///
    /// # Errors
    /// When it has fewer than 8 bits or is not one contiguous run.
    pub const fn new(mask: u32) -> Result<Self, MaskError> {
        if mask.count_ones() < 8 {
            return Err(MaskError::TooNarrow {
                mask,
                bits: mask.count_ones(),
            });
        }
        let run = mask >> mask.trailing_zeros();
        if run & run.wrapping_add(1) == 0 {
            Ok(Self(mask))
        } else {
            Err(MaskError::NotContiguous { mask })
        }
    }

    /// The mask's bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The bits that are everybody else's.
    pub const fn foreign(self) -> u32 {
        !self.0
    }

    /// How many bits the mask has, 8 to 32.
    pub const fn width(self) -> u32 {
        self.0.count_ones()
    }

    /// The largest number that fits: all ones.
    pub const fn max(self) -> u32 {
        self.0 >> self.0.trailing_zeros()
    }

    /// A number in our bits. Bits that do not fit are cut: callers allot numbers up to [`Self::max`].
    pub const fn encode(self, number: u32) -> Mark {
        Mark((number << self.0.trailing_zeros()) & self.0)
    }

    /// The number in our bits.
    pub const fn decode(self, mark: Mark) -> u32 {
        (mark.0 & self.0) >> self.0.trailing_zeros()
    }
}

impl fmt::Display for MarkMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_the_mask() {
        for mask in [0xffff_0000, 0x0000_ff00, 0xff, 0xffff_ffff, 0x0ff0_0000] {
            let mask = MarkMask::new(mask).unwrap();
            for number in [0, 1, 2, mask.max() / 2, mask.max() - 1, mask.max()] {
                assert_eq!(mask.decode(mask.encode(number)), number);
                assert_eq!(mask.encode(number).0 & mask.foreign(), 0);
            }
        }
        assert!(matches!(
            MarkMask::new(0x7f),
            Err(MaskError::TooNarrow { bits: 7, .. })
        ));
        assert!(matches!(
            MarkMask::new(0xff00_ff00),
            Err(MaskError::NotContiguous { .. })
        ));
    }
}
