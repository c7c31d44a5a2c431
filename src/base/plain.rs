//! How far text goes on without anything that JSON gives a meaning inside of strings.

use wide::u8x16;

/// How many bytes from the start are neither a quote, nor a backslash, nor a control character.
#[inline]
pub fn plain_length(bytes: &[u8]) -> usize {
    let (blocks, rest) = bytes.as_chunks();
    for (place, block) in blocks.iter().enumerate() {
        if let Some(at) = first_special(block) {
            return place * BLOCK + at;
        }
    }
    blocks.len() * BLOCK + rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1F)).count()
}

const BLOCK: usize = 16;

/// The first byte of the block that is not plain.
#[inline]
fn first_special(block: &[u8; BLOCK]) -> Option<usize> {
    let bytes = u8x16::from(*block);
    let is = |byte: u8| bytes.simd_eq(u8x16::splat(byte));
    let control = bytes.min(u8x16::splat(0x1F)).simd_eq(bytes);
    let special = (is(b'"') | is(b'\\') | control).to_bitmask();
    (special != 0).then_some(special.trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slowly(bytes: &[u8]) -> usize {
        bytes.iter().position(|byte| *byte == b'"' || *byte == b'\\' || *byte < 0x20).unwrap_or(bytes.len())
    }

    #[test]
    fn every_byte_at_every_place() {
        for length in 0..50 {
            for at in 0..length {
                for byte in 0..=0xFF {
                    let mut bytes = vec![b'x'; length];
                    bytes[at] = byte;
                    assert_eq!(plain_length(&bytes), slowly(&bytes), "{byte} at {at} of {length}");
                }
            }
        }
    }
}
