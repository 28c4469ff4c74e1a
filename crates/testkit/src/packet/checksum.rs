//! The checksum of the network and transport layers.

/// The ones' complement sum of RFC 1071 over `parts`, of which all but the last have even length.
pub fn internet(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for part in parts {
        let (pairs, odd) = part.as_chunks::<2>();
        for pair in pairs {
            sum += u32::from(u16::from_be_bytes(*pair));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        if let [byte] = odd {
            sum += u32::from(*byte) << 8;
            sum = (sum & 0xffff) + (sum >> 16);
        }
    }
    !u16::try_from(sum).expect("carries were folded in")
}
