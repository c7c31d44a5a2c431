//! The MD5 sums that answers carry: checksums of the transfer, not security.

use md5::{Digest, Md5};

use super::protocol::AttributeValue;

/// An MD5 sum as 32 lower-case hexadecimal digits.
pub(super) type Hex = [u8; 32];

/// The sum of a message's body.
pub(super) fn of_body(body: &str) -> Hex {
    hex(Md5::digest(body.as_bytes()).into())
}

/// The sum of message attributes, in the order given, which must be by name.
///
/// Format: for each attribute the name, the data type, one byte for the transport (1 text, 2 binary) and the
/// value, each but the byte preceded by its length as 4 bytes, big-endian.
/// Source: Amazon SQS developer guide, "Calculating the MD5 message digest for message attributes".
pub(super) fn of_attributes<'a>(attributes: impl Iterator<Item = (&'a str, &'a AttributeValue)>) -> Hex {
    let mut sum = Md5::new();
    let mut part = |bytes: &[u8], prefix: Option<u8>| {
        if let Some(prefix) = prefix {
            sum.update([prefix]);
        }
        sum.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        sum.update(bytes);
    };
    for (name, value) in attributes {
        part(name.as_bytes(), None);
        part(value.data_type.as_bytes(), None);
        match &value.binary {
            Some(binary) => part(binary, Some(2)),
            None => part(value.string.as_deref().unwrap_or_default().as_bytes(), Some(1)),
        }
    }
    hex(sum.finalize().into())
}

fn hex(sum: [u8; 16]) -> Hex {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(sum) {
        for (digit, nibble) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
            *digit = DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_the_sum_that_md5sum_prints() {
        assert_eq!(&of_body("hello"), b"5d41402abc4b2a76b9719d911017c592");
        assert_eq!(&of_body(""), b"d41d8cd98f00b204e9800998ecf8427e");
    }

    #[test]
    fn attributes_are_length_prefixed() {
        let value = AttributeValue { data_type: "String".into(), string: Some("v".into()), binary: None };
        let bytes = b"\0\0\0\x01n\0\0\0\x06String\x01\0\0\0\x01v";
        let expected = hex(Md5::digest(bytes).into());
        assert_eq!(of_attributes([("n", &value)].into_iter()), expected);
    }
}
