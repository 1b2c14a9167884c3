//! Server-sent events, as chat completions use them.
//!
//! Invariant: bytes may be cut anywhere, even inside a character, and give the same events.

/// A line longer than this is no chat completion.
const LONGEST_LINE: usize = 4 * 1024 * 1024;

/// Takes bytes, gives the data of whole events.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    data: Option<String>,
    /// The last byte was a carriage return: a line feed right after it belongs to it.
    after_return: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct LineTooLong;

impl Parser {
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, LineTooLong> {
        let mut events = Vec::new();
        for byte in bytes {
            let ends = match byte {
                b'\n' => !std::mem::take(&mut self.after_return),
                b'\r' => {
                    self.after_return = true;
                    true
                }
                other => {
                    self.after_return = false;
                    self.line.push(*other);
                    if self.line.len() > LONGEST_LINE {
                        return Err(LineTooLong);
                    }
                    false
                }
            };
            if ends {
                events.extend(self.end_line());
            }
        }
        Ok(events)
    }

    /// What an unfinished last event holds, for servers that do not end it with an empty line.
    pub(super) fn finish(mut self) -> Option<String> {
        let line = self.end_line();
        line.or(self.data)
    }

    fn end_line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_start_matches('\u{feff}');
        if line.is_empty() {
            return self.data.take();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if field == "data" {
            let value = value.strip_prefix(' ').unwrap_or(value);
            match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                none => *none = Some(value.to_owned()),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str =
        ": hello\r\n\r\ndata: {\"a\":\"ü\"}\n\nevent: x\ndata: one\ndata:two\r\r\nid: 3\n\ndata: [DONE]";

    #[test]
    fn events_do_not_depend_on_where_the_bytes_are_cut() {
        for size in 1..STREAM.len() {
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for piece in STREAM.as_bytes().chunks(size) {
                events.extend(parser.push(piece).unwrap());
            }
            events.extend(parser.finish());
            assert_eq!(events, ["{\"a\":\"ü\"}", "one\ntwo", "[DONE]"], "cut every {size} bytes");
        }
    }
}
