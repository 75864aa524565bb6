//! The fields of an encoded message, without their meaning.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use prost::{
    bytes::{Buf, Bytes},
    encoding::{WireType, decode_key, decode_varint},
};
use prost_types::field_descriptor_proto::Type;

/// One encoded value.
#[derive(Clone, Debug)]
pub(super) enum Wire {
    Varint(u64),
    Fixed64(u64),
    Bytes(Bytes),
}

impl Wire {
    pub(super) fn default_of(kind: Type) -> Self {
        match kind {
            Type::String | Type::Bytes | Type::Message => Self::Bytes(Bytes::new()),
            Type::Double => Self::Fixed64(0),
            _ => Self::Varint(0),
        }
    }

    pub(super) fn bytes(self) -> Result<Bytes> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            other => bail!("expected bytes, found {other:?}"),
        }
    }

    pub(super) fn integer(self) -> Result<i64> {
        match self {
            Self::Varint(value) => Ok(value.cast_signed()),
            other => bail!("expected an integer, found {other:?}"),
        }
    }

    pub(super) fn double(self) -> Result<f64> {
        match self {
            Self::Fixed64(bits) => Ok(f64::from_bits(bits)),
            other => bail!("expected a double, found {other:?}"),
        }
    }
}

/// All values of a message by field number, in the order in which they came.
pub(super) fn fields(mut bytes: Bytes) -> Result<BTreeMap<i32, Vec<Wire>>> {
    let mut fields: BTreeMap<i32, Vec<Wire>> = BTreeMap::new();
    while bytes.has_remaining() {
        let (number, kind) = decode_key(&mut bytes)?;
        let value = match kind {
            WireType::Varint => Wire::Varint(decode_varint(&mut bytes)?),
            WireType::SixtyFourBit => Wire::Fixed64(bytes.try_get_u64_le()?),
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut bytes)?)?;
                ensure!(length <= bytes.remaining(), "a field is longer than its message");
                Wire::Bytes(bytes.split_to(length))
            }
            other => bail!("the contract has no field of wire type {other:?}"),
        };
        fields.entry(i32::try_from(number)?).or_default().push(value);
    }
    Ok(fields)
}

/// The members of a list: numbers come packed into one value, everything else one by one.
pub(super) fn unpack(kind: Type, value: Wire) -> Result<Vec<Wire>> {
    let packed = match value {
        Wire::Bytes(ref packed) if !matches!(kind, Type::String | Type::Bytes | Type::Message) => packed,
        single => return Ok(vec![single]),
    };
    let mut packed = packed.clone();
    let mut values = Vec::new();
    while packed.has_remaining() {
        values.push(match kind {
            Type::Double => Wire::Fixed64(packed.try_get_u64_le()?),
            _ => Wire::Varint(decode_varint(&mut packed)?),
        });
    }
    Ok(values)
}
