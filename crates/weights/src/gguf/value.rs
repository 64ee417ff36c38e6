//! What the metadata of a GGUF file says.

use super::cursor::Cursor;

/// Bytes of the longest string: a chat template.
const MAX_STRING: usize = 16 << 20;

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum GgufValue {
    /// An integer that is not negative, of whatever width.
    Unsigned(u64),
    /// An integer below zero.
    Negative(i64),
    /// A float, of either width.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// Text.
    String(String),
    /// Values of one type. Arrays do not hold arrays.
    Array(Vec<GgufValue>),
}

impl GgufValue {
    /// The integer, if it is one and not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Unsigned(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Unsigned(value) => Some(*value as f64),
            Self::Negative(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The text, if it is some.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(value) => Some(value),
            _ => None,
        }
    }

    /// The values, if they are several.
    pub fn as_array(&self) -> Option<&[GgufValue]> {
        match self {
            Self::Array(values) => Some(values),
            _ => None,
        }
    }
}

/// The number that stands for an array.
const ARRAY: u32 = 9;

/// Reads a type and a value of it.
pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<GgufValue, String> {
    let kind = cursor.u32()?;
    if kind != ARRAY {
        return read_one(cursor, kind);
    }
    let kind = cursor.u32()?;
    let least = least_bytes(kind).ok_or_else(|| format!("an array of type {kind} is not supported"))?;
    let count = cursor.count(least)?;
    let values = (0..count).map(|_| read_one(cursor, kind));
    Ok(GgufValue::Array(values.collect::<Result<_, _>>()?))
}

/// Bytes that a value of this type takes at the least.
fn least_bytes(kind: u32) -> Option<usize> {
    Some(match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        8 | 10..=12 => 8,
        _ => return None,
    })
}

fn read_one(cursor: &mut Cursor<'_>, kind: u32) -> Result<GgufValue, String> {
    let signed = |value: i64| u64::try_from(value).map_or(GgufValue::Negative(value), GgufValue::Unsigned);
    Ok(match kind {
        0 => GgufValue::Unsigned(u8::from_le_bytes(cursor.array()?).into()),
        1 => signed(i8::from_le_bytes(cursor.array()?).into()),
        2 => GgufValue::Unsigned(u16::from_le_bytes(cursor.array()?).into()),
        3 => signed(i16::from_le_bytes(cursor.array()?).into()),
        4 => GgufValue::Unsigned(cursor.u32()?.into()),
        5 => signed(i32::from_le_bytes(cursor.array()?).into()),
        6 => GgufValue::Float(f32::from_le_bytes(cursor.array()?).into()),
        7 => match cursor.array()? {
            [0] => GgufValue::Bool(false),
            [1] => GgufValue::Bool(true),
            [other] => return Err(format!("{other} is no truth value")),
        },
        8 => GgufValue::String(cursor.string(MAX_STRING)?.to_owned()),
        10 => GgufValue::Unsigned(cursor.u64()?),
        11 => signed(i64::from_le_bytes(cursor.array()?)),
        12 => GgufValue::Float(f64::from_le_bytes(cursor.array()?)),
        _ => return Err(format!("type {kind} is not supported")),
    })
}
