//! GPT-2's printable spelling of bytes: vocabulary files write each byte as one visible character.

/// The byte that a character of the spelling stands for.
fn byte_of(c: char) -> Option<u8> {
    match u32::from(c) {
        code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => Some(code as u8),
        // The bytes that are not visible in Latin-1 follow from U+0100, in their own order.
        code @ 0x100..=0x120 => Some((code - 0x100) as u8),
        code @ 0x121..=0x142 => Some((code - 0x121 + 0x7f) as u8),
        0x143 => Some(0xad),
        _ => None,
    }
}

/// The bytes that a token of a vocabulary file stands for. One with a character outside the spelling
/// stands for its own UTF-8.
pub(crate) fn bytes_of(token: &str) -> Vec<u8> {
    token.chars().map(byte_of).collect::<Option<Vec<u8>>>().unwrap_or_else(|| token.as_bytes().to_vec())
}

/// How a vocabulary file writes one byte.
pub(crate) fn spelling_of(byte: u8) -> String {
    let code = match byte {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => u32::from(byte),
        0x00..=0x20 => 0x100 + u32::from(byte),
        0x7f..=0xa0 => 0x121 + u32::from(byte) - 0x7f,
        0xad => 0x143,
    };
    char::from_u32(code).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_character() {
        assert_eq!(('\0'..='\u{200}').filter_map(byte_of).count(), 256);
        for byte in 0..=u8::MAX {
            assert_eq!(bytes_of(&spelling_of(byte)), [byte]);
        }
    }

    #[test]
    fn tokens() {
        assert_eq!(bytes_of("ĠtheĊ"), b" the\n");
        assert_eq!(bytes_of("Ã©"), "é".as_bytes());
        assert_eq!(bytes_of("何"), "何".as_bytes());
    }
}
