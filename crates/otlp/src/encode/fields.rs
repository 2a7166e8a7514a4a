//! Fields of protobuf messages, written one behind the other.
//!
//! A span is some thirty small texts and numbers. To make a message of it that owns them all, to measure that at every depth
//! and to write it then costs several times what writing at once does.
//!
//! <https://protobuf.dev/programming-guides/encoding/>

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

/// A message that is being written.
pub(super) struct Fields<'b> {
    bytes: &'b mut Vec<u8>,
}

impl<'b> Fields<'b> {
    pub(super) fn new(bytes: &'b mut Vec<u8>) -> Self {
        Self { bytes }
    }

    pub(super) fn varint(&mut self, tag: u32, value: u64) {
        encode_key(tag, WireType::Varint, self.bytes);
        encode_varint(value, self.bytes);
    }

    pub(super) fn fixed64(&mut self, tag: u32, value: u64) {
        encode_key(tag, WireType::SixtyFourBit, self.bytes);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn fixed32(&mut self, tag: u32, value: u32) {
        encode_key(tag, WireType::ThirtyTwoBit, self.bytes);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, tag: u32, value: &[u8]) {
        encode_key(tag, WireType::LengthDelimited, self.bytes);
        encode_varint(value.len() as u64, self.bytes);
        self.bytes.extend_from_slice(value);
    }

    /// A text of a field that is left out when empty.
    pub(super) fn text(&mut self, tag: u32, value: &str) {
        if !value.is_empty() {
            self.bytes(tag, value.as_bytes());
        }
    }

    /// Fields that were written elsewhere.
    pub(super) fn raw(&mut self, fields: &[u8]) {
        self.bytes.extend_from_slice(fields);
    }

    /// A message within this one. What it takes is known when it is written: nearly always one byte holds that, else what
    /// was written moves up.
    pub(super) fn message(&mut self, tag: u32, write: impl FnOnce(&mut Fields<'_>)) {
        encode_key(tag, WireType::LengthDelimited, self.bytes);
        let at = self.bytes.len();
        self.bytes.push(0);
        write(&mut Fields { bytes: self.bytes });
        let end = self.bytes.len();
        let length = (end - at - 1) as u64;
        let more = encoded_len_varint(length) - 1;
        if more > 0 {
            self.bytes.resize(end + more, 0);
            self.bytes.copy_within(at + 1..end, at + 1 + more);
        }
        encode_varint(length, &mut &mut self.bytes[at..=at + more]);
    }
}

/// What goes before a message of so many bytes.
pub(super) fn head(tag: u32, length: usize) -> Vec<u8> {
    let mut head = Vec::with_capacity(12);
    encode_key(tag, WireType::LengthDelimited, &mut head);
    encode_varint(length as u64, &mut head);
    head
}
