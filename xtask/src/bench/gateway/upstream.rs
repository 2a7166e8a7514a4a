//! An upstream that answers at once, always the same. A process of its own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

#[allow(clippy::print_stdout)]
pub(crate) fn run() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let body = serde_json::json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_767_225_600, "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 220, "completion_tokens": 2, "total_tokens": 222},
    })
    .to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_1\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let answer = (head + &body).into_bytes();
    for stream in listener.incoming() {
        let (stream, answer) = (stream?, answer.clone());
        // A connection that ends is one that is no longer needed.
        std::thread::spawn(move || drop(serve(stream, &answer)));
    }
    Ok(())
}

fn serve(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut buffer, mut chunk) = (Vec::new(), [0; 16 << 10]);
    loop {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        buffer.extend_from_slice(&chunk[..read]);
        while let Some(end) = end(&buffer) {
            buffer.drain(..end);
            stream.write_all(answer)?;
        }
    }
}

/// Where the first request ends, if it is all there.
fn end(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|end| end == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&bytes[..head]).ok()?.to_ascii_lowercase();
    let length =
        text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.trim().parse().ok());
    let end = head + 4 + length.unwrap_or(0);
    (bytes.len() >= end).then_some(end)
}
