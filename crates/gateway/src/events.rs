//! Server-sent events as raw bytes, one by one: what is passed on stays as it came.

use bytes::{Buf, Bytes, BytesMut};

/// Puts chunks together into events, each with the empty line that ends it.
#[derive(Debug, Default)]
pub(crate) struct Events {
    rest: BytesMut,
    /// How far `rest` was searched.
    seen: usize,
}

impl Events {
    /// An event that is longer is passed on in parts.
    const EVENT_BYTES_MAX: usize = 1 << 20;

    /// Takes a chunk and gives the events that it completes.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Vec<Bytes> {
        self.rest.extend_from_slice(chunk);
        let mut events = Vec::new();
        while let Some(end) = end(&self.rest, self.seen) {
            events.push(self.rest.split_to(end).freeze());
            self.seen = 0;
        }
        self.seen = self.rest.len().saturating_sub(3);
        if self.rest.len() > Self::EVENT_BYTES_MAX {
            events.push(self.rest.copy_to_bytes(self.rest.len()));
            self.seen = 0;
        }
        events
    }

    /// What no empty line ended.
    pub(crate) fn rest(&mut self) -> Bytes {
        self.seen = 0;
        self.rest.split().freeze()
    }
}

/// Where the first event ends: after an empty line.
fn end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(found) = bytes[at..].iter().position(|byte| *byte == b'\n') {
        let line = at + found;
        match &bytes[line + 1..] {
            [b'\n', ..] => return Some(line + 2),
            [b'\r', b'\n', ..] => return Some(line + 3),
            _ => at = line + 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_as_they_went_in_whatever_the_chunks() {
        let stream = b"data: a\n\nevent: x\r\ndata: b\r\n\r\n: note\ndata: c\n\ndata: cut";
        let expected: [&[u8]; 3] = [b"data: a\n\n", b"event: x\r\ndata: b\r\n\r\n", b": note\ndata: c\n\n"];
        for size in 1..=stream.len() {
            let mut events = Events::default();
            let found: Vec<Bytes> = stream.chunks(size).flat_map(|chunk| events.push(chunk)).collect();
            assert_eq!(found, expected, "chunks of {size}");
            assert_eq!(events.rest(), "data: cut");
        }
    }
}
