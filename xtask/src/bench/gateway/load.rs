//! The load: connections that ask, wait for the answer, and ask again. A process of its own, as bare as it can be.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;

use super::Measured;

/// Where to, how many at once, how long.
#[derive(Args)]
pub(crate) struct Options {
    address: SocketAddr,
    connections: u32,
    seconds: u64,
    #[arg(long)]
    key: String,
}

/// A call of a usual size.
fn request(key: &str) -> Vec<u8> {
    let prompt = "The middle watch runs from midnight to four. ".repeat(20);
    let body = serde_json::json!({"model": "gpt-4o-mini", "max_tokens": 100, "messages": [
        {"role": "system", "content": "Answer in one word."}, {"role": "user", "content": prompt},
    ]})
    .to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\nuser-agent: bench\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

#[allow(clippy::print_stdout)]
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let (request, until) = (request(&options.key), Instant::now() + Duration::from_secs(options.seconds));
    let begun = Instant::now();
    let threads: Vec<_> = (0..options.connections)
        .map(|_| {
            let (request, address) = (request.clone(), options.address);
            std::thread::spawn(move || ask(address, &request, until))
        })
        .collect();
    let mut times = Vec::new();
    for thread in threads {
        times.extend(thread.join().map_err(|_| anyhow::anyhow!("a connection panicked"))??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    times.sort_unstable();
    let at =
        |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default().as_secs_f64() * 1e6;
    let measured = Measured { calls: times.len() as u64, seconds, p50_us: at(50), p99_us: at(99) };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

/// One call, to see whether it is answered.
pub(super) fn once(address: SocketAddr, key: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(&request(key))?;
    answer(&mut stream, &mut Vec::new())
}

fn ask(address: SocketAddr, request: &[u8], until: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let (mut times, mut buffer) = (Vec::new(), Vec::new());
    while Instant::now() < until {
        let begun = Instant::now();
        stream.write_all(request)?;
        answer(&mut stream, &mut buffer)?;
        times.push(begun.elapsed());
    }
    Ok(times)
}

/// Reads one answer to its end.
fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<()> {
    buffer.clear();
    let mut chunk = [0; 16 << 10];
    loop {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            bail!("the connection ended");
        }
        buffer.extend_from_slice(&chunk[..read]);
        if let Some(head) = buffer.windows(4).position(|end| end == b"\r\n\r\n") {
            let text = std::str::from_utf8(&buffer[..head])?.to_ascii_lowercase();
            anyhow::ensure!(text.starts_with("http/1.1 200"), "{}", String::from_utf8_lossy(buffer));
            let length = text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            let length: usize = length.context("the answer has a length")?.parse()?;
            if buffer.len() >= head + 4 + length {
                return Ok(());
            }
        }
    }
}
