//! Server-sent events, read from chunks that may end anywhere
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

/// One event.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SseEvent {
    /// The event's type, where the server names one.
    pub event: Option<String>,
    /// The data; several lines are joined by line feeds.
    pub data: String,
}

/// Puts chunks of bytes together into events.
#[derive(Debug, Default)]
pub struct SseParser {
    /// The line that is not complete yet.
    line: Vec<u8>,
    event: SseEvent,
    has_data: bool,
    /// The last chunk ended in a carriage return; a line feed that follows belongs to it.
    after_cr: bool,
    is_started: bool,
}

/// An event is larger than [`SseParser::EVENT_BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is over the limit of {} bytes", SseParser::EVENT_BYTES_MAX)]
pub struct SseError;

impl SseParser {
    /// The largest event that is taken, in bytes.
    pub const EVENT_BYTES_MAX: usize = 16 << 20;

    /// Takes a chunk and gives the events that it completes.
    ///
    /// # Errors
    /// If an event grows beyond [`SseParser::EVENT_BYTES_MAX`]; the stream is then of no use any more.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Vec<SseEvent>, SseError> {
        let mut events = Vec::new();
        for &byte in chunk {
            let is_second_half = std::mem::take(&mut self.after_cr) && byte == b'\n';
            match byte {
                _ if is_second_half => {}
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    events.extend(self.end_line());
                }
                _ => self.line.push(byte),
            }
            if self.line.len() + self.event.data.len() > Self::EVENT_BYTES_MAX {
                return Err(SseError);
            }
        }
        Ok(events)
    }

    /// Ends a line; an empty one ends the event.
    fn end_line(&mut self) -> Option<SseEvent> {
        let bytes = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&bytes);
        let mut line = &*text;
        if !std::mem::replace(&mut self.is_started, true) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            "event" => self.event.event = Some(value.to_owned()),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "\u{feff}: hello\r\nevent: delta\r\ndata: {\"a\":\r\ndata: \"é\"}\r\n\r\n\
                          id: 7\nretry: 5\n\ndata:two\n\nevent: none\n\ndata\n\ndata: cut off";

    fn expected() -> Vec<SseEvent> {
        let event =
            |event: Option<&str>, data: &str| SseEvent { event: event.map(Into::into), data: data.into() };
        vec![event(Some("delta"), "{\"a\":\n\"é\"}"), event(None, "two"), event(None, "")]
    }

    #[test]
    fn chunks_may_end_anywhere() {
        for size in 1..=STREAM.len() {
            let mut parser = SseParser::default();
            let events: Vec<_> =
                STREAM.as_bytes().chunks(size).flat_map(|chunk| parser.push(chunk).expect("small")).collect();
            assert_eq!(events, expected(), "chunks of {size}");
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut parser = SseParser::default();
        let chunk = vec![b'x'; 1 << 20];
        let refused = (0..20).any(|_| parser.push(&chunk).is_err());
        assert!(refused);
    }
}
